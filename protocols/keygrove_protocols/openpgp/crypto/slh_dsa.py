"""SLH-DSA-SHAKE-128s, -128f and -256s (algorithms 32 to 34): stateless hash-based signatures.

What is signed is the digest, in pure mode and with an empty context. Only version 6 has them.
The library does not: Python takes milliseconds for one.

Source: RFC 9980, section 6; FIPS 205.
"""

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from keygrove_protocols.openpgp.crypto.fips205 import (
    SHAKE_128F,
    SHAKE_128S,
    SHAKE_256S,
    Parameters,
    slh_verify,
)
from keygrove_protocols.openpgp.crypto.hashes import Hash
from keygrove_protocols.openpgp.crypto.material import KeyMaterial
from keygrove_protocols.openpgp.crypto.public_key import (
    PublicKey,
    SigningKey,
    UselessKey,
    Verdict,
)


class ParameterSet(msgspec.Struct, frozen=True, gc=False):
    """Parameters, and what one verification with them costs."""

    of: Parameters
    cost_us: int


_SETS: Mapping[int, ParameterSet] = {
    32: ParameterSet(SHAKE_128S, 1_400),
    33: ParameterSet(SHAKE_128F, 4_000),
    34: ParameterSet(SHAKE_256S, 2_900),
}


def load_slh_dsa(of: KeyMaterial) -> PublicKey:
    """A key that is a public seed and a root."""
    if of.version != 6:
        return UselessKey((of.algorithm,), Verdict.BAD)
    return _SlhDsaKey(of, _SETS[of.algorithm])


class _SlhDsaKey(SigningKey):
    __slots__ = ("_octets", "_parameters")

    DIGEST_OCTETS_MIN: ClassVar[int] = 32

    def __init__(self, of: KeyMaterial, given: ParameterSet) -> None:
        super().__init__((of.algorithm,), given.cost_us)
        self._octets = of.octets
        self._parameters = given.of

    def _check(self, hashed: Hash, digest: bytes, material: bytes) -> bool:
        del hashed
        return slh_verify(self._parameters, self._octets, digest, material)

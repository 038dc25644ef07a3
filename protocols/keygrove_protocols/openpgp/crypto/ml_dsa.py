"""ML-DSA beside EdDSA: ML-DSA-65+Ed25519 (algorithm 30) and ML-DSA-87+Ed448 (31).

A key is the two keys one after the other, EdDSA first, and a signature is the two signatures.
Each is over the digest, in pure mode and with an empty context, and both must be good. Only
version 6 has them.

Source: RFC 9980, section 5; FIPS 204.
"""

from typing import ClassVar, Protocol

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey, MLDSA87PublicKey

from keygrove_protocols.openpgp.crypto.eddsa import ED448_US, ED25519_US
from keygrove_protocols.openpgp.crypto.hashes import Hash
from keygrove_protocols.openpgp.crypto.material import KeyMaterial
from keygrove_protocols.openpgp.crypto.public_key import (
    PublicKey,
    SigningKey,
    UselessKey,
    Verdict,
)

_ML_DSA_65_US, _ML_DSA_87_US = 135, 210


class _Verifies(Protocol):
    """A key of the library."""

    def verify(self, signature: bytes, data: bytes, /) -> None: ...


class _Loads(Protocol):
    """A class of keys of the library."""

    def from_public_bytes(self, data: bytes, /) -> _Verifies: ...


class Pair(msgspec.Struct, frozen=True, gc=False):
    """Two algorithms, and where the keys and the signatures of the first end."""

    classical: _Loads
    post_quantum: _Loads
    key_at: int
    signature_at: int
    cost_us: int


_PAIR_65 = Pair(Ed25519PublicKey, MLDSA65PublicKey, 32, 64, ED25519_US + _ML_DSA_65_US)
_PAIR_87 = Pair(Ed448PublicKey, MLDSA87PublicKey, 57, 114, ED448_US + _ML_DSA_87_US)


def load_ml_dsa_65(of: KeyMaterial) -> PublicKey:
    """A key of 32 and 1,952 octets."""
    return _load(of, _PAIR_65)


def load_ml_dsa_87(of: KeyMaterial) -> PublicKey:
    """A key of 57 and 2,592 octets."""
    return _load(of, _PAIR_87)


def _load(of: KeyMaterial, pair: Pair) -> PublicKey:
    if of.version != 6:
        return UselessKey((of.algorithm,), Verdict.BAD)
    return _CompositeKey(of, pair)


class _CompositeKey(SigningKey):
    __slots__ = ("_loaded", "_octets", "_pair")

    DIGEST_OCTETS_MIN: ClassVar[int] = 32

    def __init__(self, of: KeyMaterial, pair: Pair) -> None:
        super().__init__((of.algorithm,), pair.cost_us)
        self._octets = of.octets
        self._pair = pair
        self._loaded: tuple[_Verifies, _Verifies] | None = None

    def _check(self, hashed: Hash, digest: bytes, material: bytes) -> bool:
        del hashed
        pair = self._pair
        if self._loaded is None:
            classical = pair.classical.from_public_bytes(self._octets[: pair.key_at])
            post_quantum = pair.post_quantum.from_public_bytes(self._octets[pair.key_at :])
            self._loaded = classical, post_quantum
        classical, post_quantum = self._loaded
        classical.verify(material[: pair.signature_at], digest)
        post_quantum.verify(material[pair.signature_at :], digest)
        return True

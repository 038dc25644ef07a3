"""DSA signatures (algorithm 17).

The library takes moduli of 1,024, 2,048, 3,072 and 4,096 bits with orders of 160, 224 and 256.
Keys of other sizes are about, from times before there was a rule. They are done in Python, as
far as that cannot be abused: nothing here is secret.

Source: RFC 9580, section 5.2.3.2; FIPS 186-4, section 4.7.
"""

from cryptography.hazmat.primitives.asymmetric.dsa import (
    DSAParameterNumbers,
    DSAPublicKey,
    DSAPublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from keygrove_protocols.openpgp.crypto.hashes import Hash
from keygrove_protocols.openpgp.crypto.material import KeyMaterial, read_integers
from keygrove_protocols.openpgp.crypto.public_key import (
    PublicKey,
    SigningKey,
    UselessKey,
    Verdict,
)

MODULUS_BITS_MAX = 4_096
ORDER_BITS_MIN, ORDER_BITS_MAX = 160, 256
"""Below, chance signs, and nobody ever made one; above, a hostile key takes too long: time grows
with the order and with the square of the modulus."""

_LIBRARY_MODULUS_BITS = frozenset({1024, 2048, 3072, 4096})
_LIBRARY_ORDER_BITS = frozenset({160, 224, 256})
_ALGORITHMS = (17,)


def load_dsa(of: KeyMaterial) -> PublicKey:
    """A key of a modulus, an order, a generator and a public value."""
    p, q, g, y = (int.from_bytes(one) for one in of.integers(4))
    if not (p & q & 1 and q < p and q.bit_length() >= ORDER_BITS_MIN and 1 < g < p and 1 < y < p):
        return UselessKey(_ALGORITHMS, Verdict.BAD)
    if p.bit_length() > MODULUS_BITS_MAX or q.bit_length() > ORDER_BITS_MAX:
        return UselessKey(_ALGORITHMS, Verdict.UNVERIFIABLE)
    return _DsaKey(DSAPublicNumbers(y, DSAParameterNumbers(p, q, g)), is_strict=of.is_strict)


class _DsaKey(SigningKey):
    __slots__ = ("_is_for_library", "_is_strict", "_loaded", "_numbers", "_order_octets")

    def __init__(self, numbers: DSAPublicNumbers, *, is_strict: bool) -> None:
        bits = numbers.parameter_numbers.p.bit_length()
        order_bits = numbers.parameter_numbers.q.bit_length()
        self._is_for_library = bits in _LIBRARY_MODULUS_BITS and order_bits in _LIBRARY_ORDER_BITS
        slowness = 1 if self._is_for_library else 20
        super().__init__(_ALGORITHMS, 5 + slowness * bits * bits * order_bits // 4_000_000)
        self._numbers = numbers
        self._order_octets = order_bits + 7 >> 3
        self._is_strict = is_strict
        self._loaded: DSAPublicKey | None = None

    def _check(self, hashed: Hash, digest: bytes, material: bytes) -> bool:
        read = read_integers(material, 2, is_strict=self._is_strict)
        if read is None:
            return False
        r, s = int.from_bytes(read[0]), int.from_bytes(read[1])
        order = self._numbers.parameter_numbers.q
        if not (0 < r < order and 0 < s < order):
            return False
        if not self._is_for_library:
            return self._is_signed(r, s, digest)
        if self._loaded is None:
            self._loaded = self._numbers.public_key()
        self._loaded.verify(encode_dss_signature(r, s), digest, hashed.dsa)
        return True

    def _is_signed(self, r: int, s: int, digest: bytes) -> bool:
        """FIPS 186-4, section 4.7; ValueError if the order is not prime and shares a factor."""
        of, y = self._numbers.parameter_numbers, self._numbers.y
        w = pow(s, -1, of.q)
        z = int.from_bytes(digest) >> max(0, 8 * len(digest) - of.q.bit_length())
        v = pow(of.g, z * w % of.q, of.p) * pow(y, r * w % of.q, of.p) % of.p
        return v % of.q == r

"""RSA signatures (algorithms 1 and 3), PKCS #1 v1.5.

The library does the work. For RIPEMD-160, which it does not have, it gives back what stands
behind the padding. Small moduli, which it may come to refuse, are done in Python: nothing here
is secret. All three compare the whole of a DigestInfo and never read it, so that there is no
room behind it for a forger (CVE-2006-4339).

Source: RFC 9580, section 5.2.3.1; RFC 8017, sections 8.2.2 and 9.2.
"""

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from keygrove_protocols.openpgp.crypto.hashes import Hash
from keygrove_protocols.openpgp.crypto.material import KeyMaterial, padded, read_integers
from keygrove_protocols.openpgp.crypto.public_key import (
    PublicKey,
    SigningKey,
    UselessKey,
    Verdict,
)

MODULUS_BITS_MAX = 16_384
"""OpenSSL's own limit; and beyond it one verification takes milliseconds."""

EXPONENT_BITS_MAX = 64
"""OpenSSL's limit for moduli above 3,072 bits; others use 65537 or less."""

_LIBRARY_BITS_MIN = 1024
_ALGORITHMS = (1, 3)
_PKCS1 = PKCS1v15()


def load_rsa(of: KeyMaterial) -> PublicKey:
    """A key of a modulus and an exponent."""
    n, e = (int.from_bytes(one) for one in of.integers(2))
    if not (n & e & 1 and 3 <= e < n):
        return UselessKey(_ALGORITHMS, Verdict.BAD)
    if n.bit_length() > MODULUS_BITS_MAX or e.bit_length() > EXPONENT_BITS_MAX:
        return UselessKey(_ALGORITHMS, Verdict.UNVERIFIABLE)
    return _RsaKey(n, e, is_strict=of.is_strict)


class _RsaKey(SigningKey):
    __slots__ = ("_e", "_is_strict", "_loaded", "_n", "_octets")

    def __init__(self, n: int, e: int, *, is_strict: bool) -> None:
        bits = n.bit_length()
        super().__init__(_ALGORITHMS, _cost_us(bits, e.bit_length()))
        self._n = n
        self._e = e
        self._octets = bits + 7 >> 3
        self._is_strict = is_strict
        self._loaded: RSAPublicKey | None = None

    def _check(self, hashed: Hash, digest: bytes, material: bytes) -> bool:
        read = read_integers(material, 1, is_strict=self._is_strict)
        signature = padded(read[0], self._octets) if read else None
        if signature is None:
            return False
        if self._n.bit_length() < _LIBRARY_BITS_MIN:
            return self._is_encoded(int.from_bytes(signature), hashed.digest_info + digest)
        if self._loaded is None:
            self._loaded = RSAPublicNumbers(self._e, self._n).public_key()
        if hashed.prehashed is None:
            found = self._loaded.recover_data_from_signature(signature, _PKCS1, None)
            return found == hashed.digest_info + digest
        self._loaded.verify(signature, digest, _PKCS1, hashed.prehashed)
        return True

    def _is_encoded(self, signature: int, info: bytes) -> bool:
        """Whether the signature is that of this DigestInfo, padded as it must be."""
        padding = self._octets - 3 - len(info)
        if padding < 8 or signature >= self._n:
            return False
        encoded = b"\0\1" + b"\xff" * padding + b"\0" + info
        return pow(signature, self._e, self._n) == int.from_bytes(encoded)


def _cost_us(bits: int, exponent_bits: int) -> int:
    """What one call costs, and a squaring of such a number for each bit of the exponent."""
    return 5 + bits * bits * (exponent_bits + 1) // 6_600_000

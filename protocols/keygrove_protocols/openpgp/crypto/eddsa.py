"""EdDSA signatures: EdDSALegacy on Ed25519 (algorithm 22), Ed25519 (27), Ed448 (28).

What is signed is the digest. The legacy form has the two halves of a signature as MPIs, which
lose the zeros in front, and the point as an MPI behind an octet of 0x40.

Source: RFC 9580, sections 5.2.3.3 to 5.2.3.5 and 5.5.5.5; RFC 8032.
"""

from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from keygrove_protocols.openpgp.crypto.hashes import Hash
from keygrove_protocols.openpgp.crypto.material import KeyMaterial, padded, read_integers
from keygrove_protocols.openpgp.crypto.public_key import (
    PublicKey,
    SigningKey,
    UselessKey,
    Verdict,
)

ED25519_US = 62
ED448_US = 145

_LEGACY, _ED25519, _ED448 = (22,), (27,), (28,)


def load_eddsa_legacy(of: KeyMaterial) -> PublicKey:
    """A key that is a point with its prefix. Version 6 forbids it; on Ed448 it is LibrePGP's."""
    curve, point = of.curve_and_point()
    if curve != "ed25519":
        return UselessKey(_LEGACY, Verdict.UNVERIFIABLE)
    if of.version == 6 or len(point) != 33 or point[0] != 0x40:
        return UselessKey(_LEGACY, Verdict.BAD)
    return _LegacyKey(point[1:])


def load_ed25519(of: KeyMaterial) -> PublicKey:
    """A key of 32 octets."""
    return _Ed25519Key(_ED25519, of.octets)


def load_ed448(of: KeyMaterial) -> PublicKey:
    """A key of 57 octets."""
    return _Ed448Key(of.octets)


class _Ed25519Key(SigningKey):
    __slots__ = ("_loaded", "_point")

    def __init__(self, algorithms: tuple[int, ...], point: bytes) -> None:
        super().__init__(algorithms, ED25519_US)
        self._point = point
        self._loaded: Ed25519PublicKey | None = None

    def _check(self, hashed: Hash, digest: bytes, material: bytes) -> bool:
        del hashed
        if self._loaded is None:
            self._loaded = Ed25519PublicKey.from_public_bytes(self._point)
        self._loaded.verify(material, digest)
        return True


class _LegacyKey(_Ed25519Key):
    __slots__ = ()

    def __init__(self, point: bytes) -> None:
        super().__init__(_LEGACY, point)

    def _check(self, hashed: Hash, digest: bytes, material: bytes) -> bool:
        read = read_integers(material, 2, is_strict=False)
        if read is None:
            return False
        r, s = padded(read[0], 32), padded(read[1], 32)
        if r is None or s is None:
            return False
        return super()._check(hashed, digest, r + s)


class _Ed448Key(SigningKey):
    __slots__ = ("_loaded", "_point")

    def __init__(self, point: bytes) -> None:
        super().__init__(_ED448, ED448_US)
        self._point = point
        self._loaded: Ed448PublicKey | None = None

    def _check(self, hashed: Hash, digest: bytes, material: bytes) -> bool:
        del hashed
        if self._loaded is None:
            self._loaded = Ed448PublicKey.from_public_bytes(self._point)
        self._loaded.verify(material, digest)
        return True

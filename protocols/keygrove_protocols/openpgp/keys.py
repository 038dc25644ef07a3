"""Key packets: what a primary key or subkey is, and what it is called.

    version  body
    2, 3     u8 version, u32 created, u16 days of validity (0: none), u8 algorithm, MPI n, MPI e
    4        u8 4, u32 created, u8 algorithm, material
    5, 6     u8 version, u32 created, u8 algorithm, u32 octets of material, material

    version  fingerprint                            key ID
    2, 3     MD5 of the octets of n and e           the last 8 octets of n
    4        SHA-1 of 0x99, u16 length, body        the last 8 octets
    5, 6     SHA-256 of 0x9A/0x9B, u32 length, body the first 8 octets

    algorithm              material
    1, 2, 3  RSA           MPI n, e
    16, 20   ElGamal       MPI p, g, y
    17       DSA           MPI p, q, g, y
    19, 22   ECDSA, EdDSA  u8 length, OID of the curve, MPI point
    18       ECDH          the same, u8 length, parameters of the key derivation
    25-36    see `_FIXED`  that many octets

An MPI is u16 bits and as many octets as these need. Leading zero bits are malformed in
version 6; older keys with such an MPI are about, and the fingerprint covers the octets as
they stand. SKS servers hold them; GnuPG and Sequoia refuse them. Material of algorithms not
named here is taken as it is.

The key itself is not looked into: an RSA modulus may be even, a point off its curve.

Source: RFC 9580, sections 5.5.2 to 5.5.5 and 9.2; RFC 9980 for algorithms 30 to 36;
draft-koch-librepgp for version 5.
"""

import hashlib
from collections.abc import Mapping
from typing import NewType

import msgspec

from keygrove_protocols.errors import MalformedPrimaryError, UnsupportedKeyVersionError

Fingerprint = NewType("Fingerprint", bytes)
"""The name of a key: 16 octets for versions 2 and 3, 20 for version 4, 32 for 5 and 6."""

KeyId = NewType("KeyId", bytes)
"""The short name of a key, 8 octets. Anybody can make a second key of the same."""

Digest = NewType("Digest", bytes)
"""The name of a certificate's state in recon, 16 octets."""


class Key(msgspec.Struct, frozen=True, gc=False):
    """What the body of a key packet says.

    `bits` is the size as people name it, 0 where the algorithm is unknown; `curve` is None
    where there is none, or none we know. Times are UTC seconds.
    """

    version: int
    created: int
    algorithm: int
    bits: int
    curve: str | None
    validity_days: int
    fingerprint: Fingerprint
    key_id: KeyId


class Size(msgspec.Struct, frozen=True, gc=False):
    """How large a key is, and on which curve."""

    bits: int
    curve: str | None = None


CURVES: Mapping[bytes, Size] = {
    bytes.fromhex(oid): Size(bits, name)
    for oid, name, bits in (
        ("2A8648CE3D030107", "nistp256", 256),
        ("2B81040022", "nistp384", 384),
        ("2B81040023", "nistp521", 521),
        ("2B8104000A", "secp256k1", 256),
        ("2B2403030208010107", "brainpoolP256r1", 256),
        ("2B240303020801010B", "brainpoolP384r1", 384),
        ("2B240303020801010D", "brainpoolP512r1", 512),
        ("2B06010401DA470F01", "ed25519", 255),
        ("2B060104019755010501", "cv25519", 255),
        ("2B6570", "ed25519", 255),
        ("2B6571", "ed448", 448),
        ("2B656F", "x448", 448),
    )
}
"""By object identifier (RFC 9580, section 9.2; the last three as GnuPG 2.3 writes them)."""

_RSA = (1, 2, 3)
_INTEGERS = {1: 2, 2: 2, 3: 2, 16: 3, 17: 4, 20: 3}  # algorithm: number of MPIs
_ECDH, _ON_CURVES = 18, (18, 19, 22)
_FIXED = {  # algorithm: octets of material, size
    25: (32, Size(255, "x25519")),
    26: (56, Size(448, "x448")),
    27: (32, Size(255, "ed25519")),
    28: (57, Size(448, "ed448")),
    30: (32 + 1952, Size(0)),  # ML-DSA-65 and Ed25519
    31: (57 + 2592, Size(0)),  # ML-DSA-87 and Ed448
    32: (32, Size(128)),  # SLH-DSA-SHAKE-128s
    33: (32, Size(128)),  # SLH-DSA-SHAKE-128f
    34: (64, Size(256)),  # SLH-DSA-SHAKE-256s
    35: (32 + 1184, Size(0)),  # ML-KEM-768 and X25519
    36: (56 + 1568, Size(0)),  # ML-KEM-1024 and X448
}


def parse_key(body: bytes, *, is_strict: bool = False) -> Key:
    """Read the body of a key packet, of a primary key or a subkey.

    Strictly read, leading zero bits are malformed in keys of any version.

    Raises:
        MalformedPrimaryError: the octets do not fit the version and the algorithm.
        UnsupportedKeyVersionError: a version other than 2 to 6.
    """
    match body[0] if body else None:
        case 2 | 3:
            return _parse_v3(body, is_strict=is_strict)
        case 4:
            return _parse_v4(body, is_strict=is_strict)
        case 5 | 6:
            return _parse_v6(body)
        case None:
            raise MalformedPrimaryError("a key packet is empty", offset=0)
        case version:
            text = f"a key is of version {version}: send one of version 4 or 6"
            raise UnsupportedKeyVersionError(text, offset=0)


def _parse_v3(body: bytes, *, is_strict: bool) -> Key:
    reader = _Reader(body, 8, is_strict=is_strict)
    if body[7] not in _RSA:
        raise MalformedPrimaryError("a key of version 2 or 3 that is not RSA", offset=7)
    modulus, exponent = reader.integer(), reader.integer()
    reader.finish()
    return Key(
        version=body[0],
        created=int.from_bytes(body[1:5]),
        algorithm=body[7],
        bits=int.from_bytes(modulus).bit_length(),
        curve=None,
        validity_days=int.from_bytes(body[5:7]),
        fingerprint=Fingerprint(hashlib.md5(modulus + exponent, usedforsecurity=False).digest()),
        key_id=KeyId(modulus[-8:].rjust(8, b"\0")),
    )


def _parse_v4(body: bytes, *, is_strict: bool) -> Key:
    size = _read_material(_Reader(body, 6, is_strict=is_strict), body)
    if len(body) > 0xFFFF:
        raise MalformedPrimaryError("a key of version 4 ends within 65535 octets")
    framed = b"\x99" + len(body).to_bytes(2) + body
    fingerprint = hashlib.sha1(framed, usedforsecurity=False).digest()
    return _key(body, size, fingerprint, fingerprint[-8:])


def _parse_v6(body: bytes) -> Key:
    reader = _Reader(body, 10, is_strict=body[0] == 6)
    if int.from_bytes(body[6:10]) != len(body) - 10:
        raise MalformedPrimaryError("a key states another length than it has", offset=6)
    size = _read_material(reader, body)
    framed = (b"\x9a" if body[0] == 5 else b"\x9b") + len(body).to_bytes(4) + body
    fingerprint = hashlib.sha256(framed).digest()
    return _key(body, size, fingerprint, fingerprint[:8])


def _key(body: bytes, size: Size, fingerprint: bytes, key_id: bytes) -> Key:
    return Key(
        version=body[0],
        created=int.from_bytes(body[1:5]),
        algorithm=body[5],
        bits=size.bits,
        curve=size.curve,
        validity_days=0,
        fingerprint=Fingerprint(fingerprint),
        key_id=KeyId(key_id),
    )


def _read_material(reader: "_Reader", body: bytes) -> Size:
    """Check the material of a key of version 4 to 6, and say how large the key is."""
    algorithm = body[5]
    if count := _INTEGERS.get(algorithm):
        first = reader.integer()
        for _ in range(count - 1):
            reader.integer()
        size = Size(int.from_bytes(first).bit_length())
    elif algorithm in _ON_CURVES:
        size = CURVES.get(reader.identifier(), Size(0))
        reader.integer()
        if algorithm == _ECDH:
            reader.octets(reader.octets(1)[0])
    elif algorithm in _FIXED:
        octets, size = _FIXED[algorithm]
        reader.octets(octets)
    else:
        return Size(0)
    reader.finish()
    return size


class _Reader:
    """Takes fields off a key's body, and refuses what is not there."""

    def __init__(self, body: bytes, start: int, *, is_strict: bool) -> None:
        if len(body) < start:
            raise MalformedPrimaryError("a key ends within its first fields", offset=len(body))
        self._body = body
        self._at = start
        self._is_strict = is_strict

    def octets(self, count: int) -> bytes:
        start, self._at = self._at, self._at + count
        if self._at > len(self._body):
            raise MalformedPrimaryError("a key ends within its material", offset=start)
        return self._body[start : self._at]

    def integer(self) -> bytes:
        start = self._at
        bits = int.from_bytes(self.octets(2))
        value = self.octets(bits + 7 >> 3)
        if self._is_strict and int.from_bytes(value).bit_length() != bits:
            raise MalformedPrimaryError("a number has leading zero bits", offset=start)
        return value

    def identifier(self) -> bytes:
        start = self._at
        length = self.octets(1)[0]
        if length in (0, 0xFF):
            raise MalformedPrimaryError("a curve has no identifier", offset=start)
        return self.octets(length)

    def finish(self) -> None:
        if self._at != len(self._body):
            raise MalformedPrimaryError("octets follow a key's material", offset=self._at)

"""Keys made up by number, and real signatures by them.

The same number always gives the same key, and Ed25519 the same signature, so that a simulated
world is the same every time. Version 4 keys are of the older form of the algorithm (22), which
GnuPG 2.2 reads, version 6 keys of the newer one (27).
"""

import hashlib
from collections.abc import Callable
from functools import cached_property
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keygrove_protocols.openpgp.hashing import Scope, document_digest
from keygrove_protocols.openpgp.keys import Key, parse_key
from keygrove_protocols.openpgp.packets import Packet, Tag
from keygrove_protocols.openpgp.signatures import SUBKEY_BINDING, Signature, read_signature

CREATED = 1_700_000_000
SHA256 = 8
_OID = bytes.fromhex("092b06010401da470f01")
_LEGACY, _NATIVE = 22, 27
_SALT = bytes(16)


DigestOf: TypeAlias = Callable[[Signature, bytes], bytes | None]
"""What a signature is made over: from what it says, and its body up to the digest."""


def subpacket(kind: int, data: bytes, *, critical: bool = False) -> bytes:
    """A subpacket of up to 8,381 octets of data."""
    octets = len(data) + 1
    length = bytes((octets,)) if octets < 192 else (octets - 192 + (192 << 8)).to_bytes(2)
    return length + bytes((kind | critical << 7,)) + data


class Signer:
    """A key that signs. `primary` and `subkey` are its packets."""

    def __init__(self, number: int, version: int = 4, created: int = CREATED) -> None:
        seed = hashlib.sha256(f"keygrove {number}".encode()).digest()
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        point = self._private.public_key().public_bytes_raw()
        head = bytes((version,)) + created.to_bytes(4)
        algorithm = _NATIVE if version == 6 else _LEGACY
        material = point if version == 6 else _OID + (263).to_bytes(2) + b"\x40" + point
        length = len(material).to_bytes(4) if version > 4 else b""
        body = head + bytes((algorithm,)) + length + material
        self.primary = Packet(Tag.PUBLIC_KEY, body)
        self.subkey = Packet(Tag.PUBLIC_SUBKEY, body)

    @cached_property
    def key(self) -> Key:
        """What the key is called."""
        return parse_key(self.primary.body)

    @property
    def issuer(self) -> bytes:
        """The subpacket that names the key."""
        if self.key.version == 6:
            return subpacket(33, b"\x06" + self.key.fingerprint)
        return subpacket(16, self.key.key_id)

    def sign(
        self,
        kind: int,
        primary: Packet,
        component: Packet | None = None,
        *,
        created: int = CREATED,
        hashed: bytes = b"",
        unhashed: bytes | None = None,
        hash_algorithm: int = SHA256,
    ) -> Packet:
        """A signature of this kind on a component of a certificate, or on its primary key.

        `hashed` are subpackets beside the time of creation; `unhashed` are instead of the
        issuer's name. The signature is of the key's version.
        """
        scope = Scope(primary, component)
        areas = subpacket(2, created.to_bytes(4)) + hashed, unhashed
        return self._signed(kind, hash_algorithm, areas, scope.digest)

    def sign_document(
        self, document: bytes, *, kind: int = 0, created: int = CREATED, hashed: bytes = b""
    ) -> Packet:
        """A detached signature over octets; `hashed` is as in `sign`."""

        def digest(signature: Signature, body: bytes) -> bytes | None:
            return document_digest(signature, body, document)

        areas = subpacket(2, created.to_bytes(4)) + hashed, None
        return self._signed(kind, SHA256, areas, digest)

    def _signed(
        self,
        kind: int,
        hash_algorithm: int,
        areas: tuple[bytes, bytes | None],
        digest_of: DigestOf,
    ) -> Packet:
        hashed, unhashed = areas
        unhashed = self.issuer if unhashed is None else unhashed
        version, algorithm = self.key.version, self.key.algorithm
        width = 4 if version == 6 else 2
        head = bytes((version, kind, algorithm, hash_algorithm)) + _area(hashed, width)
        salt = bytes((len(_SALT),)) + _SALT if version == 6 else b""
        draft = head + _area(unhashed, width) + b"\0\0" + salt + b"\0"
        signature = read_signature(draft)
        assert signature is not None
        digest = digest_of(signature, draft)
        assert digest is not None
        signed = draft[: signature.digest_at] + digest[:2] + salt
        return Packet(Tag.SIGNATURE, signed + self._material(digest, version))

    def bind(self, primary: Packet, subkey: "Signer", flags: int, created: int = CREATED) -> Packet:
        """A binding of a subkey; of one that is to sign with its own consent."""
        hashed = subpacket(27, bytes((flags,)))
        unhashed = self.issuer
        if flags & 0x03:
            back = subkey.sign(0x19, primary, subkey.subkey, created=created)
            unhashed += subpacket(32, back.body)
        return self.sign(
            SUBKEY_BINDING,
            primary,
            subkey.subkey,
            created=created,
            hashed=hashed,
            unhashed=unhashed,
        )

    def _material(self, digest: bytes, version: int) -> bytes:
        signed = self._private.sign(digest)
        return signed if version == 6 else _number(signed[:32]) + _number(signed[32:])


def _area(subpackets: bytes, width: int) -> bytes:
    return len(subpackets).to_bytes(width) + subpackets


def _number(octets: bytes) -> bytes:
    bits = int.from_bytes(octets).bit_length()
    return bits.to_bytes(2) + octets.lstrip(b"\0")

"""Certificates made up by number: well framed and canonical, signed by nobody.

Their keys are of an algorithm that nobody knows, so any material will do; the same number
always gives the same key.
"""

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from keygrove.storage.absorb import Incoming, absorb
from keygrove.storage.store import Cause, Put
from keygrove_protocols.openpgp.armor import armor
from keygrove_protocols.openpgp.certificate import (
    Certificate,
    Component,
    canonical,
    packets,
    to_bytes,
)
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.packets import Packet, Tag

CREATED = 1_700_000_000
UNKNOWN_ALGORITHM = b"\x63"
ATTRIBUTE_BYTES = 32_000
"""Of which submissions may have many, and not larger ones than twice that."""


def made(
    number: int,
    *user_ids: str,
    version: int = 4,
    subkeys: Sequence[int] = (),
    signatures: int = 0,
    created: int = CREATED,
) -> Certificate:
    """A canonical certificate, with so many signatures on each user ID."""
    signed = tuple(_signature(at) for at in range(signatures))
    return canonical(
        Certificate(
            Packet(Tag.PUBLIC_KEY, _key(number, version, created)),
            (),
            (
                *(Component(Packet(Tag.USER_ID, text.encode()), signed) for text in user_ids),
                *(
                    Component(Packet(Tag.PUBLIC_SUBKEY, _key(subkey, version, created)))
                    for subkey in subkeys
                ),
            ),
        )
    )


def large(number: int, size: int) -> Certificate:
    """A canonical certificate of more than `size` octets, most of them in user attributes."""
    bodies = [at.to_bytes(4) + bytes(ATTRIBUTE_BYTES) for at in range(size // ATTRIBUTE_BYTES + 1)]
    attributes = tuple(Component(Packet(Tag.USER_ATTRIBUTE, body)) for body in bodies)
    return Certificate(Packet(Tag.PUBLIC_KEY, _key(number, 4, CREATED)), (), attributes)


def digest_of(certificate: Certificate) -> Digest:
    """The SKS digest of its state."""
    return sks_digest(packets(certificate))


def put_of(certificate: Certificate, at: int = CREATED) -> Put:
    """What a shard writes for a certificate that it did not hold."""
    put = absorb(None, [Incoming(certificate, digest_of(certificate), Cause.UPLOAD)], at).put
    assert put is not None
    return put


def with_aside(put: Put, aside: bytes, source: bytes = b"") -> Put:
    """The same with something set aside, for which SKS servers have another digest."""
    digest = Digest(hashlib.md5(put.digest + aside, usedforsecurity=False).digest())
    return msgspec.structs.replace(put, sks_digest=digest, aside=aside, source=source)


def armored(*certificates: Certificate) -> bytes:
    """Some certificates, as a client submits them."""
    return armor(binary(certificates))


def binary(certificates: Iterable[Certificate]) -> bytes:
    """Some certificates, as a dump has them."""
    return b"".join(to_bytes(one) for one in certificates)


def _key(number: int, version: int, created: int) -> bytes:
    material = number.to_bytes(8)
    head = bytes([version]) + created.to_bytes(4) + UNKNOWN_ALGORITHM
    return head + (len(material).to_bytes(4) if version > 4 else b"") + material


def _signature(number: int) -> Packet:
    return Packet(Tag.SIGNATURE, b"\x04\x10" + number.to_bytes(4) * 20)

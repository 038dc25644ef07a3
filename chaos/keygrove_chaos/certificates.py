"""Certificates made up by number: canonical, and signed as `signing` signs."""

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from keygrove.storage.candidate import Candidate, candidate
from keygrove.storage.write import Cause, Put
from keygrove_chaos import signing
from keygrove_chaos.signing import Signer, subpacket
from keygrove_protocols.openpgp.armor import armor
from keygrove_protocols.openpgp.certificate import (
    Certificate,
    Component,
    canonical,
    key,
    packets,
    to_bytes,
)
from keygrove_protocols.openpgp.crypto.eddsa import ED25519_US
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.keys import Digest, parse_key
from keygrove_protocols.openpgp.packets import Packet, Tag
from keygrove_protocols.openpgp.policy import VERIFIED
from keygrove_protocols.openpgp.signatures import DIRECT_KEY

CREATED = signing.CREATED
GENERIC, POSITIVE, ENCRYPTS = 0x10, 0x13, 0x0C
FIRST_STRANGER = 1_000_000
NOTE_OCTETS = 8_000
FLOOD_A_SECOND = 1_000
LARGE_OCTETS = 64_000
"""Of one of others' signatures: just below what one may be."""


class Recipe(NamedTuple):
    """What a certificate is made of."""

    number: int
    user_ids: tuple[str, ...]
    version: int
    subkeys: tuple[int, ...]
    signatures: int
    created: int


@lru_cache(maxsize=4096)
def _made(recipe: Recipe) -> Certificate:
    signer = Signer(recipe.number, recipe.version, recipe.created)
    primary, created = signer.primary, recipe.created
    others = [Signer(FIRST_STRANGER + at) for at in range(recipe.signatures)]

    def named(text: str) -> Component:
        name = Packet(Tag.USER_ID, text.encode())
        own = signer.sign(POSITIVE, primary, name, created=created)
        return Component(name, (own, *(other.sign(GENERIC, primary, name) for other in others)))

    def bound(number: int) -> Component:
        subkey = Signer(number, recipe.version, created)
        binding = signer.bind(primary, subkey, ENCRYPTS, created=created)
        return Component(subkey.subkey, (binding,))

    components = (*map(named, recipe.user_ids), *map(bound, recipe.subkeys))
    direct = () if components else (signer.sign(DIRECT_KEY, primary, created=created),)
    return canonical(Certificate(primary, direct, components))


def made(
    number: int,
    *user_ids: str,
    version: int = 4,
    subkeys: Sequence[int] = (),
    signatures: int = 0,
    created: int = CREATED,
) -> Certificate:
    """A canonical certificate, with so many of others' signatures on each user ID."""
    return _made(Recipe(number, user_ids, version, tuple(subkeys), signatures, created))


def large(number: int, size: int) -> Certificate:
    """A canonical certificate of more than `size` octets, most of them in others' signatures."""
    certificate = made(number, "Large")
    (name,) = certificate.components
    note = subpacket(
        20, bytes(4) + (1).to_bytes(2) + NOTE_OCTETS.to_bytes(2) + bytes(NOTE_OCTETS + 1)
    )
    notes = note * (LARGE_OCTETS // len(note))
    some = tuple(
        Signer(FIRST_STRANGER + at).sign(GENERIC, certificate.primary, name.packet, hashed=notes)
        for at in range(size // len(notes) + 1)
    )
    component = Component(name.packet, name.signatures + some)
    return canonical(Certificate(certificate.primary, (), (component,)))


def flooded(number: int, signatures: int) -> Certificate:
    """A certificate with so many of others' signatures on its user ID, as floods have them.

    Each names somebody else, and bears the first octets of the right digest: that they were made
    by nobody is not to be seen. Later ones are of a later second.
    """
    certificate = made(number, "Flooded")
    (name,) = certificate.components
    stranger = Signer(FIRST_STRANGER)
    some: list[Packet] = []
    for first in range(0, signatures, FLOOD_A_SECOND):
        created = CREATED + first // FLOOD_A_SECOND
        real = stranger.sign(GENERIC, certificate.primary, name.packet, created=created)
        for at in range(first, min(first + FLOOD_A_SECOND, signatures)):
            issuer = hashlib.sha256(b"%d" % at).digest()
            body = real.body.replace(stranger.key.key_id, issuer[:8])
            some.append(Packet(Tag.SIGNATURE, body[:-28] + issuer[:28]))
    component = Component(name.packet, name.signatures + tuple(some))
    return Certificate(certificate.primary, (), (component,))


def laborious(number: int, us: int) -> Certificate:
    """A certificate that seems to take so long to verify, and does not.

    Most of it are packets that bear the key's ID as if it had signed them.
    """
    certificate = made(number, "Laborious")
    (name,) = certificate.components
    seeming = Packet(Tag.SIGNATURE, key(certificate).key_id)
    component = Component(name.packet, name.signatures + (seeming,) * (us // ED25519_US + 1))
    return Certificate(certificate.primary, (), (component,))


def costly(signatures: int) -> Certificate:
    """A key that takes milliseconds to verify with, and so many packets that bear its ID."""
    modulus = (16_384).to_bytes(2) + b"\xff" * 2_048
    exponent = (64).to_bytes(2) + b"\xff" * 8
    primary = Packet(Tag.PUBLIC_KEY, b"\x04" + bytes(4) + b"\x01" + modulus + exponent)
    seeming = Packet(Tag.SIGNATURE, parse_key(primary.body).key_id)
    name = Component(Packet(Tag.USER_ID, b"Costly"), (seeming,) * signatures)
    return Certificate(primary, (), (name,))


def digest_of(certificate: Certificate) -> Digest:
    """The SKS digest of its state."""
    return sks_digest(packets(certificate))


def put_of(certificate: Certificate, at: int = CREATED) -> Put:
    """What a shard writes for a certificate that it did not hold."""
    put = candidate_of(certificate).put
    assert put is not None
    return msgspec.structs.replace(put, at=at)


def candidate_of(certificate: Certificate, cause: Cause = Cause.UPLOAD) -> Candidate:
    """What a shard is asked to merge."""
    return candidate(certificate, VERIFIED, cause)


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

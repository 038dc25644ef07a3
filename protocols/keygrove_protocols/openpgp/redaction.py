"""Leaving out parts of a certificate that are not wanted (filter F11 of the project).

Such a part is a user ID whose owner does not want it published, or any packet of a flood. It is
named by a SHA-256, so that a list of what is redacted is none of addresses. Whether a part is
left out depends on nothing but itself: so what is kept of a union is what is kept of what was
kept of its parts, under any rules that come behind this.
"""

import hashlib
from collections.abc import Set
from typing import NewType

import msgspec

from keygrove_protocols.openpgp.findings import Finding, Findings
from keygrove_protocols.openpgp.packets import Packet, Tag

PartHash = NewType("PartHash", bytes)

PART_HASH_OCTETS = 32


def user_id_hash(body: bytes) -> PartHash:
    """What names a user ID with this body: 32 octets."""
    return PartHash(hashlib.sha256(body).digest())


def part_hash(packet: Packet) -> PartHash:
    """What names a packet: a user ID by its body, and any other by its tag, an octet, before it."""
    if packet.tag == Tag.USER_ID:
        return user_id_hash(packet.body)
    return user_id_hash(bytes([packet.tag]) + packet.body)


def parts(findings: Findings) -> frozenset[PartHash]:
    """What names each packet of a certificate."""
    found = {part_hash(findings.primary)}
    for place, signed in findings.places():
        if place is not None:
            found.add(part_hash(place))
        found.update(part_hash(finding.packet) for finding in signed)
    return frozenset(found)


def without_parts(findings: Findings, redacted: Set[PartHash]) -> Findings:
    """Without these parts, and what was signed on them; the same object if it has none.

    The primary key stays: without that there is nothing.
    """
    if redacted.isdisjoint(parts(findings)):
        return findings

    def left(some: tuple[Finding, ...]) -> tuple[Finding, ...]:
        return tuple(one for one in some if part_hash(one.packet) not in redacted)

    bundles = tuple(
        msgspec.structs.replace(one, findings=left(one.findings))
        for one in findings.bundles
        if part_hash(one.packet) not in redacted
    )
    return msgspec.structs.replace(findings, direct=left(findings.direct), bundles=bundles)

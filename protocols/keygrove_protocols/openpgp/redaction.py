"""Leaving out user IDs whose owners do not want them published (filter F11 of the project).

A user ID is named by the SHA-256 of its body, so that a list of what is redacted is none of
addresses. Whether one is left out depends on nothing but itself: so what is kept of a union
is what is kept of what was kept of its parts, under any rules that come behind this.
"""

import hashlib
from collections.abc import Set
from typing import NewType

import msgspec

from keygrove_protocols.openpgp.findings import Findings
from keygrove_protocols.openpgp.packets import Packet, Tag

UserIdHash = NewType("UserIdHash", bytes)

USER_ID_HASH_OCTETS = 32


def user_id_hash(body: bytes) -> UserIdHash:
    """What names a user ID with this body: 32 octets."""
    return UserIdHash(hashlib.sha256(body).digest())


def without_user_ids(findings: Findings, redacted: Set[UserIdHash]) -> Findings:
    """Without these user IDs and what was signed on them; the same object if it has none."""
    kept = tuple(one for one in findings.bundles if not _is_among(one.packet, redacted))
    if len(kept) == len(findings.bundles):
        return findings
    return msgspec.structs.replace(findings, bundles=kept)


def _is_among(component: Packet, redacted: Set[UserIdHash]) -> bool:
    return component.tag == Tag.USER_ID and user_id_hash(component.body) in redacted

"""What administrators ask for, and the log that tells what became of it."""

from enum import Enum

import msgspec

from keygrove_protocols.openpgp.keys import Fingerprint


class Action(Enum):
    """What an administrator asks for."""

    DENY = 1
    ALLOW = 2
    REPLACE = 3
    REDACT = 4
    UNREDACT = 5


class Effect(Enum):
    """What became of it."""

    DONE = 1
    DENIED = 2
    """Nothing was replaced: the fingerprint is denied."""
    NOT_DENIED = 3
    """There was nothing to allow."""
    AHEAD = 4
    """It is denied, and nothing of it was held."""
    DENIED_BEFORE = 5
    """It was denied already, and that denial stands, with its reason."""
    NOT_HELD = 6
    """What is redacted is remembered; there was nothing of it to be removed."""
    NOT_REDACTED = 7
    """There was nothing to take again."""
    NOTHING_LEFT = 8
    """Nothing was replaced: without what is redacted there is nothing left."""


class Record(msgspec.Struct, frozen=True):
    """An entry of the audit log: one request of an administrator, for one fingerprint."""

    by: Fingerprint | None
    """The administrator's key; None for whoever works on this machine."""
    action: Action
    effect: Effect
    fingerprint: Fingerprint
    reason: str
    at: int
    """Seconds, UTC."""
    nonce: bytes
    """Names the request: it is recorded once for a fingerprint."""

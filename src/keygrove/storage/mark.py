"""A shard's history: what its log tells, and what is remembered of it by name."""

from typing import TypeAlias

import msgspec

from keygrove.storage.write import Cause
from keygrove_protocols.openpgp.keys import Fingerprint


class Snapshot(msgspec.Struct, frozen=True):
    """A change number with a name: how the shard stood then can be read for as long as it is there.

    One with that name that was there before is forgotten.
    """

    name: str
    root: bytes
    """Of the certificates of all shards at that time; empty while that is not known."""
    at: int
    """Seconds, UTC."""
    change: int | None = None
    """None in a commit: the number of that commit."""


class Drop(msgspec.Struct, frozen=True):
    """Forget a snapshot."""

    name: str
    at: int
    """Seconds, UTC."""


Mark: TypeAlias = Snapshot | Drop


class Logged(msgspec.Struct, frozen=True):
    """An entry of the change log: one certificate that a change made another of."""

    change: int
    fingerprint: Fingerprint
    before: bytes | None
    """The hash of all that was held of it; None if nothing was."""
    after: bytes | None
    is_denied: bool
    """Since then."""
    cause: Cause
    origin: str
    at: int
    """Seconds, UTC."""

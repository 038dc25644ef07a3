"""What is remembered of a shard's history by name."""

from typing import TypeAlias

import msgspec

from keygrove.storage.rollback import Rollback


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


Mark: TypeAlias = Snapshot | Drop | Rollback

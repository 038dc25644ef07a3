"""What is remembered of a shard's history by name."""

import re
from typing import TypeAlias

import msgspec

from keygrove.errors import SnapshotError
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


NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
"""Of a snapshot. It begins with a letter, as no time does."""
NOW = "now"
_ROOT = re.compile(r"[0-9A-Fa-f]{64}")


def check_name(name: str) -> None:
    """See whether a snapshot may have that name.

    Raises:
        SnapshotError: it may not.
    """
    if _ROOT.fullmatch(name) is not None:
        raise SnapshotError(f"{name!r} would be taken for a root: take another name")
    if name == NOW or NAME.fullmatch(name) is None:
        raise SnapshotError(
            f"{name[:80]!r} is no name for a snapshot: give it up to 64 letters, digits, dots, "
            f"hyphens and underlines, a letter first, but not {NOW!r}"
        )


Mark: TypeAlias = Snapshot | Drop | Rollback

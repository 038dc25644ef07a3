"""How a shard stood before: what its store keeps of that."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from keygrove.storage.cursor import Cursor
from keygrove.storage.logged import Logged
from keygrove.storage.mark import Snapshot
from keygrove.storage.merkle import Tree
from keygrove.storage.rollback import Rollback
from keygrove.storage.steps import Steps
from keygrove.storage.version import Head, Version, Whole
from keygrove_protocols.openpgp.keys import Fingerprint


class LogPage(msgspec.Struct, frozen=True, tag=True):
    """Some entries of the change log, and where the next page starts; None after the last."""

    entries: tuple[Logged, ...]
    cursor: Cursor | None


class History(Protocol):
    """What a store keeps of how it stood before. Every form passes tests/contract."""

    async def get(self, fingerprints: Sequence[Fingerprint], change: int) -> list[Version | None]:
        """What was to be served of each certificate after that change, in the order asked.

        Raises:
            HistoryError: how it stood after that change is not kept.
        """
        ...

    async def log(
        self, cursor: Cursor | None, limit: int, *, after: int = 0, until: int | None = None
    ) -> LogPage:
        """Up to `limit` entries of the change log from `cursor` on, oldest first.

        Args:
            after: a change; only what came behind it is given.
            until: a change; nothing behind that is given. None: all there is.

        Raises:
            HistoryError: one of the two never was.
        """
        ...

    async def steps(self, change: int, root: bytes, limit: int) -> Steps:
        """What leads on from that change: to the newest, or some `limit` steps further.

        Args:
            root: how it stood then. If that differs, this is another past than the caller's.

        Raises:
            HistoryError: that is not kept, or too much was dropped since; or it stood otherwise.
        """
        ...

    async def past(
        self, fingerprints: Sequence[Fingerprint], limit: int
    ) -> list[tuple[Logged, ...]]:
        """The last changes of each certificate, newest first, at most `limit` of each."""
        ...

    async def read(self, entry: Logged) -> Whole | None:
        """All that was held of a certificate after that change of it; None if nothing was.

        Raises:
            HistoryError: it is no longer kept: it was when the entry was asked for.
        """
        ...

    async def head(self, change: int) -> Head:
        """How it stood after that change, in short.

        Raises:
            HistoryError: that is not kept.
        """
        ...

    async def change_at(self, at: int) -> int:
        """The newest change made no later than `at`, seconds UTC by the clock of its time; or 0."""
        ...

    async def tree(self, change: int) -> Tree:
        """The tree as it was after that change. Quick for one that was asked for just now.

        Raises:
            HistoryError: it is not kept.
        """
        ...

    def pins(self) -> int:
        """How many trees of former times are in memory, for what is asked of them next."""
        ...

    async def are_denied(self, fingerprints: Sequence[Fingerprint], change: int) -> list[bool]:
        """Whether each of them was denied after that change, in the order asked.

        Raises:
            HistoryError: how it stood after that change is not kept.
        """
        ...

    async def named(self, keys: Sequence[bytes]) -> list[Fingerprint | None]:
        """The fingerprints of these tree keys, if they ever were held or denied."""
        ...

    async def snapshots(self) -> list[Snapshot]:
        """All of them, by name."""
        ...

    async def rollbacks(self) -> list[Rollback]:
        """All of them, by name."""
        ...

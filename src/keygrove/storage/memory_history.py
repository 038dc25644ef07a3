"""How a store in memory stood before: all of it, kept for every change."""

from collections.abc import Sequence

import anyio.lowlevel
import msgspec

from keygrove.errors import HistoryError
from keygrove.storage.address import aside_hash, content_hash, tree_key
from keygrove.storage.cursor import Cursor
from keygrove.storage.history import LogPage
from keygrove.storage.logged import Logged
from keygrove.storage.mark import Drop, Mark, Snapshot
from keygrove.storage.merkle import Tree, blake3_256
from keygrove.storage.rollback import Rollback
from keygrove.storage.steps import Step, Steps
from keygrove.storage.tally import Standing
from keygrove.storage.version import Head, Version, Whole
from keygrove.storage.write import Denial, Put, Write
from keygrove_protocols.openpgp.keys import Digest, Fingerprint


class State(msgspec.Struct, frozen=True):
    """How a certificate stands since a change."""

    change: int
    held: Put | None = None
    denial: Denial | None = None
    """Without what is held beside it."""

    @property
    def value(self) -> bytes | None:
        """What stands in the tree for it."""
        if self.held is None:
            return None
        aside = aside_hash(self.held.aside) if self.held.aside else b""
        return content_hash(self.held.packets, aside)

    def logged(self, write: Write, before: "State") -> Logged:
        """The entry of the change log for what `write` made of it; its place is still to come."""
        held = self.held
        digests = () if held is None else (held.digest, held.sks_digest)
        return Logged(
            change=self.change,
            fingerprint=write.fingerprint,
            before=before.value,
            after=self.value,
            is_denied=self.denial is not None,
            cause=write.cause,
            origin=write.origin,
            at=write.at,
            digests=tuple(dict.fromkeys(digests)),
            place=Cursor(b""),
        )

    @property
    def digest(self) -> Digest | None:
        """As in `steps.Step`."""
        return None if self.held is None or self.denial is not None else self.held.digest

    @property
    def standing(self) -> Standing:
        """As it is counted."""
        return Standing(self.held.size if self.held else 0, self.denial is not None)


NOTHING = State(0)


class Moment(msgspec.Struct, frozen=True):
    """How a store stood after a change."""

    head: Head
    tree: Tree
    at: int
    states: dict[Fingerprint, State]


class MemoryHistory:
    """See `history.History`."""

    def __init__(self) -> None:
        self._moments = [Moment(Head.empty(), Tree(blake3_256), 0, {})]
        self._log: list[Logged] = []
        self._snapshots: dict[str, Snapshot] = {}
        self._rollbacks: dict[str, Rollback] = {}

    @property
    def newest(self) -> Moment:
        """How it stands."""
        return self._moments[-1]

    def add(self, moment: Moment, logged: Sequence[Logged], marks: Sequence[Mark]) -> None:
        """Take in a commit."""
        self._moments.append(moment)
        for number, entry in enumerate(logged, len(self._log) + 1):
            place = Cursor(number.to_bytes(8))
            self._log.append(msgspec.structs.replace(entry, place=place))
        for mark in marks:
            match mark:
                case Snapshot(change=None):
                    change = moment.head.change
                    self._snapshots[mark.name] = msgspec.structs.replace(mark, change=change)
                case Snapshot():
                    self._snapshots[mark.name] = mark
                case Drop():
                    self._snapshots.pop(mark.name, None)
                case Rollback():
                    self._rollbacks[mark.name] = mark

    async def get(self, fingerprints: Sequence[Fingerprint], change: int) -> list[Version | None]:
        """See `history.History`."""
        states = (await self._moment(change)).states
        return [version(name, states.get(name, NOTHING)) for name in fingerprints]

    async def log(
        self, cursor: Cursor | None, limit: int, *, after: int = 0, until: int | None = None
    ) -> LogPage:
        """See `history.History`."""
        await self._moment(after)
        last = len(self._moments) - 1 if until is None else until
        await self._moment(last)
        start = int.from_bytes(cursor or b"")
        found = [
            (number, one)
            for number, one in enumerate(self._log, 1)
            if number > start and after < one.change <= last
        ]
        page = found[:limit]
        more = Cursor(page[-1][0].to_bytes(8)) if len(found) > limit else None
        return LogPage(tuple(one for _, one in page), more)

    async def steps(self, change: int, root: bytes, limit: int) -> Steps:
        """See `history.History`."""
        if (await self._moment(change)).head.root != root:
            raise HistoryError(change)
        found, at = list[Step](), change
        while at < self.newest.head.change and len(found) < limit:
            at += 1
            before, after = self._moments[at - 1].states, self._moments[at].states
            found += [
                Step(at, name, before.get(name, NOTHING).digest, after[name].digest)
                for name in (one.fingerprint for one in self._log if one.change == at)
            ]
        return Steps(tuple(found), self._moments[at].head, self.newest.head.change)

    async def past(
        self, fingerprints: Sequence[Fingerprint], limit: int
    ) -> list[tuple[Logged, ...]]:
        """See `history.History`."""
        await anyio.lowlevel.checkpoint()
        newest_first = self._log[::-1]
        return [
            tuple([one for one in newest_first if one.fingerprint == name][:limit])
            for name in fingerprints
        ]

    async def read(self, entry: Logged) -> Whole | None:
        """See `history.History`."""
        states = (await self._moment(entry.change)).states
        return whole(entry.fingerprint, states[entry.fingerprint])

    async def rollbacks(self) -> list[Rollback]:
        """See `history.History`."""
        await anyio.lowlevel.checkpoint()
        return [self._rollbacks[name] for name in sorted(self._rollbacks)]

    async def head(self, change: int) -> Head:
        """See `history.History`."""
        return (await self._moment(change)).head

    async def change_at(self, at: int) -> int:
        """See `history.History`."""
        await anyio.lowlevel.checkpoint()
        newest_first = reversed(self._moments)
        return next((one.head.change for one in newest_first if one.at <= at), 0)

    async def tree(self, change: int) -> Tree:
        """See `history.History`."""
        return (await self._moment(change)).tree

    def pins(self) -> int:
        """See `history.History`."""
        return len(self._moments) - 1

    async def are_denied(self, fingerprints: Sequence[Fingerprint], change: int) -> list[bool]:
        """See `history.History`."""
        states = (await self._moment(change)).states
        return [states.get(name, NOTHING).denial is not None for name in fingerprints]

    async def named(self, keys: Sequence[bytes]) -> list[Fingerprint | None]:
        """See `history.History`."""
        await anyio.lowlevel.checkpoint()
        known = {tree_key(name): name for name in self._moments[-1].states}
        return [known.get(key) for key in keys]

    async def snapshots(self) -> list[Snapshot]:
        """See `history.History`."""
        await anyio.lowlevel.checkpoint()
        return [self._snapshots[name] for name in sorted(self._snapshots)]

    async def _moment(self, change: int) -> Moment:
        await anyio.lowlevel.checkpoint()
        if not 0 <= change < len(self._moments):
            raise HistoryError(change)
        return self._moments[change]


def version(name: Fingerprint, state: State) -> Version | None:
    """What is served of a certificate that stands so."""
    put = state.held
    return None if put is None else Version(name, put.digest, put.packets, state.change)


def whole(name: Fingerprint, state: State) -> Whole | None:
    """All that is stored of a certificate that stands so."""
    put = state.held
    if put is None:
        return None
    digests = put.digest, put.sks_digest
    return Whole(name, digests[0], put.packets, state.change, digests[1], put.aside, put.source)

"""One store on SQLite through many lives, held against what it acknowledged.

In each life the power fails with a random operation of the disk: during opening, a commit, a
flush, a checkpoint, closing, or when all is done; or only the process dies then. A store that
fails otherwise is opened anew, as its supervisor does. Each life begins with a look at what the
one before left.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import zip_longest
from random import Random
from typing import Final

import anyio
import msgspec

from keygrove.errors import DamagedError, DiskFullError, StoreError
from keygrove.storage.audit import Action, Effect, Record
from keygrove.storage.mark import Drop, Mark, Snapshot
from keygrove.storage.memory import MemoryStore
from keygrove.storage.merkle import Difference, differences
from keygrove.storage.opening import Home, open_store
from keygrove.storage.sqlite import SqliteStore
from keygrove.storage.store import CertificateStore, Counts, Digests
from keygrove.storage.version import Head, Version, Whole
from keygrove.storage.write import Denial, Lift, Redaction, Write
from keygrove_chaos.certificates import CREATED, made, put_of, with_aside
from keygrove_chaos.disk import Disk
from keygrove_chaos.sqlite import SimulatedDatabases
from keygrove_chaos.timeline import Timeline
from keygrove_chaos.world import World
from keygrove_protocols.openpgp.keys import Fingerprint

LIVES: Final = 10
"""Of one seed."""
OPERATIONS_MAX: Final = 400
"""Of the disk, within which the power fails."""
COMMITS: Final = (3, 400)
"""In a life, unless the power fails before."""
WALL_S: Final = 1_800_000_000.0
HOME: Final = Home("shard-0", "0/1", bytes(16))
EVERYTHING: Final = 1_000

SNAPSHOTS: Final = ("first", "second", "third")
NUMBERS: Final = range(5)
USER_IDS: Final = (
    "Alice <a@x.example>",
    "Jean-Luc Ä <a@x.example>",
    "alice bob",
    "Bob <b@x.example>",
)
_WHOLE: Final = tuple(put_of(made(number, *USER_IDS)) for number in NUMBERS)
NAMES: Final = tuple(put.fingerprint for put in _WHOLE)
_TERMS: Final = sorted(
    {term for put in _WHOLE for term in put.terms}, key=lambda term: (term.kind.value, term.value)
)
_WORDS: Final = sorted({word for put in _WHOLE for word in put.words})


class MissingError(Exception):
    """What was acknowledged is not there, or what was not, is."""

    invariant = "I-01"


class AlteredError(MissingError):
    """A former time shows what it did not show then."""

    invariant = "I-31"


async def scenario(world: World) -> list[str]:
    """Let a store live and die; what it lost."""
    lives = Lives(world)
    try:
        await lives.play(LIVES)
    except MissingError as error:
        return [f"{error.invariant}: {error}"]
    finally:
        world.count("power cuts", lives.cuts)
        world.count("acknowledged", lives.acknowledged)
    return []


class Holdings(msgspec.Struct, frozen=True):
    """All that a store tells its readers."""

    certificates: list[Whole | None]
    denials: list[Denial | None]
    denied: list[Denial]
    audit: tuple[Record, ...]
    sources: list[bytes | None]
    pages: list[Whole]
    digests: list[Digests]
    found: list[tuple[Fingerprint, ...]]
    searched: list[tuple[Fingerprint, ...]]
    counts: Counts
    head: Head


async def holdings(store: CertificateStore) -> Holdings:
    """Ask it."""
    page = await store.page(None, EVERYTHING)
    digests = await store.digests(None, EVERYTHING)
    denied = await store.denials(None, EVERYTHING)
    return Holdings(
        certificates=await store.get_whole(NAMES),
        denials=await store.denials_of(NAMES),
        denied=sorted(denied.denials, key=lambda one: one.fingerprint),
        audit=(await store.audit(None, EVERYTHING)).records,
        sources=await store.sources(NAMES),
        pages=sorted(page.versions, key=lambda one: one.fingerprint),
        digests=sorted(digests.digests, key=lambda one: one.stored),
        found=await store.find(_TERMS, EVERYTHING),
        searched=[await store.search(frozenset({word}), EVERYTHING) for word in _WORDS],
        counts=store.counts(),
        head=store.head(),
    )


class _Then(msgspec.Struct, frozen=True):
    """What a store shows of a moment that a snapshot names."""

    snapshot: Snapshot
    head: Head
    root: bytes
    versions: list[Version | None]
    denied: list[bool]
    since: list[Difference]


async def _thens(store: CertificateStore) -> list[_Then]:
    history, found = store.history, list[_Then]()
    for one in await history.snapshots():
        change = one.change or 0
        tree = await history.tree(change)
        found.append(
            _Then(
                snapshot=one,
                head=await history.head(change),
                root=tree.root,
                versions=await history.get(NAMES, change),
                denied=await history.are_denied(NAMES, change),
                since=list(differences(tree, store.tree())),
            )
        )
    return found


class Commit(msgspec.Struct, frozen=True):
    """What is committed together."""

    writes: list[Write]
    records: list[Record]
    marks: list[Mark]
    redactions: list[Redaction] = []


class History(msgspec.Struct):
    """What was acknowledged, and the commit that nobody heard of any more."""

    acknowledged: list[Commit] = []
    pending: Commit | None = None

    def denied(self) -> set[Fingerprint]:
        """Whose denial was acknowledged last, and not its end."""
        last = {write.fingerprint: write for one in self.acknowledged for write in one.writes}
        return {name for name, write in last.items() if isinstance(write, Denial)}

    async def model(self, change: int) -> MemoryStore:
        """The store as it must be after so many commits.

        The one that was under way may be there; then it counts as acknowledged from now on.

        Raises:
            MissingError: there must be more, or less.
        """
        if change == len(self.acknowledged) + 1 and self.pending is not None:
            self.acknowledged.append(self.pending)
        self.pending = None
        if change != len(self.acknowledged):
            raise MissingError(f"{len(self.acknowledged)} were acknowledged, {change} are there")
        model = MemoryStore()
        for one in self.acknowledged:
            await model.commit(one.writes, one.records, one.redactions, one.marks)
        return model


async def look(store: CertificateStore, history: History) -> None:
    """Hold all that a store tells against what was acknowledged.

    Raises:
        MissingError: it is not the same.
    """
    model = await history.model(store.counts().change)
    after = f"after {len(history.acknowledged)} commits"
    there, due = await holdings(store), await holdings(model)
    for name in Holdings.__struct_fields__:
        if getattr(there, name) != getattr(due, name):
            raise MissingError(f"{after} its {name} are not theirs")
    if await store.history.rollbacks() != await model.history.rollbacks():
        raise MissingError(f"{after} its rollbacks are not theirs")
    try:
        shown = await _thens(store)
    except DamagedError as error:
        raise AlteredError(f"{after}: {error}") from error
    for one, was in zip_longest(shown, await _thens(model)):
        if one != was:
            raise AlteredError(f"{after} snapshot {(one or was).snapshot.name!r}")


class Lives:
    """A disk, and the store that lives on it again and again."""

    def __init__(self, timeline: Timeline, *, is_durable: bool = True) -> None:
        self._timeline = timeline
        self._chance = timeline.stream("work")
        self._marks = timeline.stream("marks")
        self._history = History()
        self._is_durable = is_durable
        self.disk = Disk(timeline, "node")
        self.cuts = 0
        """How often the power failed."""
        self.failures = 0
        """How often the store failed while the power was on."""

    @property
    def acknowledged(self) -> int:
        """How many commits were."""
        return len(self._history.acknowledged)

    async def play(self, lives: int) -> None:
        """So many lives, most of which a power cut ends, and a look at what they left.

        Raises:
            MissingError: a life did not find what those before had acknowledged.
        """
        for _ in range(lives):
            await self._live(self._chance.choice(COMMITS), is_cut=True)
        await self._live(0, is_cut=False)

    async def play_once(self, commits: int) -> None:
        """One life of so many commits, at whose end the power fails; then a look.

        Raises:
            MissingError: as `play`.
        """
        await self._live(commits, is_cut=False)
        await self._live(0, is_cut=False)

    async def play_killed(self, commits: int) -> None:
        """One life of so many commits; when one of them fails, the process dies at once."""
        databases = SimulatedDatabases(self._timeline, "node", self.disk.boot(), lambda: WALL_S)
        with suppress(StoreError):
            async with open_store(databases, HOME, anyio.Semaphore(1), durable=True) as opening:
                try:
                    await self._work(await opening.finish(), commits)
                finally:
                    self.disk.kill()
        databases.close()

    async def play_full(self, lives: int, commits: int) -> int:
        """So many lives on a disk that fills up; how many came up without an index.

        Whatever the disk has room for, in each life all that was acknowledged is found.

        Raises:
            MissingError: it was not.
        """
        without = 0
        for life in range(lives):
            databases = SimulatedDatabases(self._timeline, "node", self.disk.boot(), lambda: WALL_S)
            if life == lives - 1:
                await databases.remove("shard-0/index.db")
            async with open_store(databases, HOME, anyio.Semaphore(1), durable=True) as opening:
                store = None
                with suppress(DiskFullError):
                    store = await opening.finish()
                model = await self._history.model(len(self._history.acknowledged))
                if await opening.get(NAMES) != await model.get(NAMES):
                    raise MissingError(f"after {self.acknowledged} commits, by their fingerprints")
                if store is None:
                    without += 1
                else:
                    await look(store, self._history)
                    await self._work(store, commits)
                    with suppress(DiskFullError):
                        await store.settle()
                if self._chance.random() < 0.5:
                    self.disk.kill()
            databases.close()
        return without

    async def _live(self, commits: int, *, is_cut: bool) -> None:
        databases = SimulatedDatabases(self._timeline, "node", self.disk.boot(), lambda: WALL_S)
        if is_cut and self._chance.random() < 0.3:
            self.disk.crash_in(self._chance.randint(1, 100))  # perhaps while it opens
        try:
            async with open_store(
                databases, HOME, anyio.Semaphore(1), durable=self._is_durable
            ) as opening:
                store = await opening.finish()
                await look(store, self._history)
                if is_cut:
                    self.disk.crash_in(self._chance.randint(1, OPERATIONS_MAX))
                await self._with_upkeep(store, commits)
                if not is_cut:
                    self.disk.crash()
        except* (DiskFullError, StoreError, OSError):
            self.failures += self.disk.is_on
        finally:
            databases.close()
            self._end()

    def _end(self) -> None:
        """If the power is still on: it fails now, or only the process dies."""
        if self.disk.is_on and self._chance.random() < 0.5:
            self.disk.kill()
            return
        if self.disk.is_on:
            self.disk.crash()
        self.cuts += 1

    async def _with_upkeep(self, store: SqliteStore, commits: int) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.upkeep)
            await self._work(store, commits)
            tasks.cancel_scope.cancel()

    async def _work(self, store: SqliteStore, commits: int) -> None:
        """Commit and flush, so often or until something fails."""
        history = self._history
        for _ in range(commits):
            at = len(history.acknowledged)
            marks = _marks(self._marks, at)
            drawn = history.pending = _drawn(self._chance, at, history.denied(), marks)
            try:
                await store.commit(drawn.writes, drawn.records, marks=drawn.marks)
            except DiskFullError:
                history.pending = None  # nothing of it was kept, and the store goes on
                continue
            history.acknowledged.append(drawn)
            history.pending = None
            match self._chance.randrange(10):
                case 0:
                    with suppress(DiskFullError):
                        await store.settle()
                case 1:
                    await anyio.sleep(1.0)  # now the index is written, and commits go on
                case _:
                    pass


def _marks(chance: Random, at: int) -> list[Mark]:
    """Now and then a snapshot, mostly by a name that another had before; or one is dropped."""
    name, when = chance.choice(SNAPSHOTS), CREATED + at * 1800
    match chance.randrange(12):
        case 0 | 1:
            return [Snapshot(name, at.to_bytes(32), when)]
        case 2:
            return [Drop(name, when)]
        case _:
            return []


def _drawn(chance: Random, at: int, denied: set[Fingerprint], marks: list[Mark]) -> Commit:
    numbers = sorted(chance.sample(NUMBERS, chance.randint(1, len(NUMBERS))))
    writes = [_change(chance, number, at, denied) for number in numbers]
    records = [_record(one, at) for one in writes if isinstance(one, Denial | Lift)]
    return Commit(writes, records, marks)


def _record(write: Denial | Lift, at: int) -> Record:
    return Record(
        by=None,
        action=Action.DENY if isinstance(write, Denial) else Action.ALLOW,
        effect=Effect.DONE,
        fingerprint=write.fingerprint,
        reason=f"commit {at}",
        at=write.at,
        nonce=at.to_bytes(8),
    )


def _change(chance: Random, number: int, at: int, denied: set[Fingerprint]) -> Write:
    """Mostly a put, now and then a denial, which sooner or later is lifted."""
    texts, when = chance.sample(USER_IDS, chance.randint(0, 4)), CREATED + at * 1800
    put = put_of(made(number, *texts), when)
    if put.fingerprint in denied and chance.random() < 0.5:
        return Lift(put.fingerprint, when)
    if put.fingerprint in denied or chance.random() < 0.1:
        return Denial(put.fingerprint, f"commit {at}", when, (put.digest,))
    return with_aside(put, bytes(number % 3 * 40), bytes([at % 256]) * 16)

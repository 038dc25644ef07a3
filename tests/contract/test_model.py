"""Random lives of a store, crashes included, held against a plain model of it.

Each rule does something to both, or asks both the same. To add one is enough: what is committed
goes through `_commit`, and whatever a store tells of itself is compared by the rules that look.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, Protocol, TypeVar

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from keygrove.errors import HistoryError, StoreError
from keygrove.storage.address import tree_key
from keygrove.storage.audit import Action, Effect, Record
from keygrove.storage.cursor import Cursor
from keygrove.storage.derive import digest_terms
from keygrove.storage.logged import Logged
from keygrove.storage.mark import Drop, Snapshot
from keygrove.storage.memory import MemoryStore
from keygrove.storage.merkle import differences
from keygrove.storage.opening import Home, open_store
from keygrove.storage.store import CertificateStore, NamedDigests
from keygrove.storage.version import Whole
from keygrove.storage.write import Cause, Denial, Lift, Put, Redaction, Write
from keygrove_actors.testkit import VirtualLoop
from keygrove_chaos.certificates import CREATED, made, put_of, with_aside
from keygrove_chaos.disk import Disk
from keygrove_chaos.sqlite import SimulatedDatabases
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.redaction import PartHash, user_id_hash
from tests.contract.plain import NOWHERE, Commit, Plain
from tests.simulation.timelines import SeededTimeline

pytestmark = pytest.mark.slow

T = TypeVar("T")

NUMBERS = range(6)
USER_IDS = ("Alice <a@x.example>", "Jean-Luc Ä <a@x.example>", "alice bob", "Bob <b@x.example>")
WORDS = ("alice", "bob", "jean-luc", "luc", "ä", "nobody")
NAMES = [put_of(made(number)).fingerprint for number in NUMBERS]
UNKNOWN = Fingerprint(bytes(20))
TERMS = sorted(
    {term for number in NUMBERS for term in put_of(made(number, *USER_IDS)).terms},
    key=lambda term: (term.kind.value, term.value),
)
SNAPSHOTS = ("one", "two", "three")
HOME = Home("shard-0", "0/1", bytes(16))
WALL_S = 1_800_000_000.0


class Subject(Protocol):
    """A store that is opened again and again."""

    @property
    def store(self) -> CertificateStore:
        """As it is open now."""
        ...

    async def start(self) -> None:
        """Open it."""
        ...

    async def stop(self) -> None:
        """Close it."""
        ...

    async def cut(self, work: Callable[[], Awaitable[object]], operations: int) -> None:
        """Let the power fail within so many operations of `work`, or when it is done; open it."""
        ...

    async def lose_index(self) -> None:
        """Delete what can be made anew, and open it."""
        ...


class InMemory:
    """Nothing that was committed is ever lost, and there is no index."""

    def __init__(self) -> None:
        self._memory = MemoryStore()
        self._opened = AsyncExitStack()

    async def start(self) -> None:
        opening = await self._opened.enter_async_context(self._memory.opened())
        self.store: CertificateStore = await opening.finish()

    async def stop(self) -> None:
        await self._opened.aclose()

    async def cut(self, work: Callable[[], Awaitable[object]], operations: int) -> None:
        await work()
        await self.lose_index()

    async def lose_index(self) -> None:
        await self.stop()
        await self.start()


class OnSqlite:
    """On a simulated disk, whose power fails."""

    def __init__(self, seed: int) -> None:
        self._timeline = SeededTimeline(seed)
        self._disk = Disk(self._timeline, "node")
        self._opened = AsyncExitStack()

    async def start(self) -> None:
        disk = self._disk.boot()
        self._databases = SimulatedDatabases(self._timeline, "node", disk, lambda: WALL_S)
        opening = await self._opened.enter_async_context(
            open_store(self._databases, HOME, anyio.Semaphore(1), durable=True)
        )
        self.store: CertificateStore = await opening.finish()

    async def stop(self) -> None:
        await self._opened.aclose()
        self._databases.close()

    async def cut(self, work: Callable[[], Awaitable[object]], operations: int) -> None:
        self._disk.crash_in(operations)
        with suppress(StoreError, OSError):
            await work()
        if self._disk.is_on:
            self._disk.crash()
        with suppress(StoreError, OSError):
            await self._opened.aclose()
        self._databases.close()
        await self.start()

    async def lose_index(self) -> None:
        await self._opened.aclose()
        await self._databases.remove("shard-0/index.db")
        self._databases.close()
        await self.start()


drawn = st.fixed_dictionaries(
    {
        "number": st.sampled_from(NUMBERS),
        "verb": st.sampled_from(["put", "put", "put", "deny", "deny held", "lift", "lift held"]),
        "texts": st.frozensets(st.sampled_from(USER_IDS)),
        "cause": st.sampled_from(Cause),
        "origin": st.sampled_from(["", "pool", "r1"]),
    }
)
batches = st.lists(drawn, min_size=1, max_size=4, unique_by=lambda one: one["number"])
changes = st.integers(-1, 60)
limits = st.integers(1, 5)
parts = st.frozensets(st.sampled_from([user_id_hash(text.encode()) for text in USER_IDS]))
operations = st.integers(1, 60)


class Life(RuleBasedStateMachine):
    """A store, and the model it is held against."""

    def subject(self, seed: int) -> Subject:
        """The store."""
        raise NotImplementedError

    @initialize(seed=st.integers(0, 1_000))
    def begin(self, seed: int) -> None:
        self._runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.plain = Plain()
        self.clock = 0
        self._subject = self.subject(seed)
        self.do(self._subject.start())

    def teardown(self) -> None:
        self.do(self._subject.stop())
        self._runner.close()

    def do(self, work: Awaitable[T]) -> T:
        async def whole() -> T:
            return await work

        return self._runner.run(whole())

    @property
    def store(self) -> CertificateStore:
        return self._subject.store

    @property
    def at(self) -> int:
        return CREATED + self.clock * 1800

    def _commit(self, commit: Commit) -> None:
        change = self.do(self.store.commit(*commit))
        assert change == self.plain.commit(commit)

    def _writes(self, batch: Sequence[dict[str, Any]]) -> list[Write]:
        return [self._write(**one) for one in batch]

    def _write(
        self, *, number: int, verb: str, texts: frozenset[str], cause: Cause, origin: str
    ) -> Write:
        """What a shard would commit: no put of what is denied, no lift of what is neither."""
        aside, source = bytes(len(texts) % 2 * 100), bytes([self.clock % 3]) * (self.clock % 3 * 8)
        put = with_aside(put_of(made(number, *sorted(texts)), self.at), aside, source)
        name, held = put.fingerprint, put if verb.endswith("held") else None
        is_denied, is_held = name in self.plain.denials, name in self.plain.held
        match verb.split(maxsplit=1)[0]:
            case "deny":
                digests = (put.digest,) * number
                since = None if held is None else self.at - number
                reason = f"reason {self.clock}"
                return Denial(name, reason, self.at, digests, held, cause, origin, since)
            case "lift" if is_denied or is_held:
                return Lift(name, self.at, held, cause, origin)
            case _ if is_denied:
                return Lift(name, self.at, put, cause, origin)
            case _:
                return _brought(put, cause, origin)

    def _records(self, writes: Sequence[Write]) -> list[Record]:
        nonce = (len(self.plain.records) + 1).to_bytes(8)
        return [
            Record(None, Action.DENY, Effect.DONE, one.fingerprint, one.reason, one.at, nonce)
            for one in writes
            if isinstance(one, Denial)
        ]

    def _whole_commit(self, batch: Sequence[dict[str, Any]]) -> Commit:
        writes = self._writes(batch)
        return Commit(writes, self._records(writes))

    # ---- what befalls a store

    @rule(hours=st.integers(-2, 5))
    def time_passes(self, hours: int) -> None:
        self.clock = max(self.clock + hours, 0)

    @rule(batch=batches)
    def commit(self, batch: list[dict[str, Any]]) -> None:
        self._commit(self._whole_commit(batch))

    @rule(batch=batches, name=st.sampled_from(SNAPSHOTS))
    def commit_with_a_snapshot(self, batch: list[dict[str, Any]], name: str) -> None:
        snapshot = Snapshot(name, bytes([self.clock % 256]) * 32, self.at)
        self._commit(self._whole_commit(batch)._replace(marks=[snapshot]))

    @rule(number=st.sampled_from(NUMBERS), some=parts, origin=st.sampled_from(["", "r1"]))
    def redact(self, number: int, some: frozenset[PartHash], origin: str) -> None:
        redaction = Redaction(NAMES[number], some, self.at, origin)
        self._commit(Commit([], redactions=[redaction]))

    @rule(name=st.sampled_from(SNAPSHOTS))
    def take_a_snapshot(self, name: str) -> None:
        self._commit(Commit([], marks=[Snapshot(name, b"", self.at)]))

    @rule(name=st.sampled_from(SNAPSHOTS))
    def seal_a_snapshot(self, name: str) -> None:
        known = self.plain.snapshots.get(name)
        if known is not None:
            sealed = Snapshot(name, bytes(range(32)), self.at, known.change)
            self._commit(Commit([], marks=[sealed]))

    @rule(name=st.sampled_from(SNAPSHOTS))
    def drop_a_snapshot(self, name: str) -> None:
        self._commit(Commit([], marks=[Drop(name, self.at)]))

    @rule()
    def flush(self) -> None:
        self.do(self.store.settle())

    @rule(is_settled=st.booleans())
    def reopen(self, is_settled: bool) -> None:
        if is_settled:
            self.do(self.store.settle())
        self.do(self._subject.stop())
        self.do(self._subject.start())

    @rule()
    def lose_the_index(self) -> None:
        self.do(self._subject.lose_index())

    @rule(within=operations)
    def cut_a_flush(self, within: int) -> None:
        self.do(self._subject.cut(self.store.settle, within))
        assert self.store.head().change == self.plain.change

    @rule(batch=batches, within=operations)
    def cut_a_commit(self, batch: list[dict[str, Any]], within: int) -> None:
        """What nobody heard of any more is there, or is not: whole, either way."""
        commit = self._whole_commit(batch)
        acknowledged: list[int] = []

        async def work() -> None:
            acknowledged.append(await self.store.commit(*commit))

        self.do(self._subject.cut(work, within))
        change = self.store.head().change
        assert change in (acknowledged or {self.plain.change, self.plain.change + 1})
        if change > self.plain.change:
            assert self.plain.commit(commit) == change

    # ---- what it tells of itself

    @invariant()
    def its_head_is_that_of_what_is_held(self) -> None:
        assert self.store.head() == self.plain.head(self.plain.change)

    @rule()
    def look_at_all(self) -> None:
        names, plain, store = [*NAMES, UNKNOWN], self.plain, self.store
        here = [plain.get(name, plain.change) for name in names]
        assert self.do(store.get(names)) == here
        assert self.do(store.get_whole(names)) == [plain.get_whole(name) for name in names]
        assert self.do(store.denials_of(names)) == [plain.denials.get(name) for name in names]
        assert self.do(store.redactions_of(names)) == [plain.redacted(name) for name in names]
        sources = [plain.held[name].source if name in plain.held else None for name in names]
        assert self.do(store.sources(names)) == sources
        counts = store.counts()
        assert (counts.certificates, counts.denials, counts.packet_bytes, counts.change) == (
            len(plain.held),
            len(plain.denials),
            sum(put.size for put in plain.held.values()),
            plain.change,
        )
        assert self.do(store.history.snapshots()) == [
            plain.snapshots[name] for name in sorted(plain.snapshots)
        ]

    @rule(limit=limits)
    def page_through_all(self, limit: int) -> None:
        whole = [one for page in self._pages(self.store.page, limit) for one in page.versions]
        wholes: dict[Fingerprint, Whole] = {one.fingerprint: one for one in whole}
        assert len(wholes) == len(whole)
        assert wholes == {name: self.plain.get_whole(name) for name in self.plain.held}
        digests = [one for page in self._pages(self.store.digests, limit) for one in page.digests]
        assert sorted(digests, key=_by_digest) == sorted(self.plain.digests(), key=_by_digest)
        denials = [one for page in self._pages(self.store.denials, limit) for one in page.denials]
        assert {one.fingerprint: one for one in denials} == self.plain.denials
        assert len(denials) == len(self.plain.denials)
        records = [one for page in self._pages(self.store.audit, limit) for one in page.records]
        assert records == self.plain.records

    def _pages(self, read: Callable[[Cursor | None, int], Awaitable[Any]], limit: int) -> list[Any]:
        pages: list[Any] = []
        cursor: Cursor | None = None
        while not pages or cursor is not None:
            page = self.do(read(cursor, limit))
            pages.append(page)
            cursor = page.cursor
        return pages

    @rule(limit=limits)
    def find_all(self, limit: int) -> None:
        held = self.plain.held.values()
        terms = [*TERMS, *(one for put in held for one in digest_terms(put.digest, put.sks_digest))]
        found = self.do(self.store.find(terms, limit))
        assert found == [self.plain.find(term)[:limit] for term in terms]

    @rule(words=st.frozensets(st.sampled_from(WORDS), max_size=3), limit=limits)
    def search(self, words: frozenset[str], limit: int) -> None:
        found, due = self.do(self.store.search(words, limit)), self.plain.search(words)
        assert set(found) <= due
        assert len(found) == min(limit, len(due))

    @rule(change=changes)
    def look_back(self, change: int) -> None:
        history = self.store.history
        if not 0 <= change <= self.plain.change:
            with pytest.raises(HistoryError):
                self.do(history.get(NAMES, change))
            return
        due = [self.plain.get(name, change) for name in NAMES]
        assert self.do(history.get(NAMES, change)) == due
        denied = [self.plain.is_denied(name, change) for name in NAMES]
        assert self.do(history.are_denied(NAMES, change)) == denied
        assert self.do(history.head(change)) == self.plain.head(change)

    @precondition(lambda self: self.plain.snapshots)
    @rule(name=st.sampled_from(SNAPSHOTS))
    def look_back_at_a_snapshot(self, name: str) -> None:
        snapshot = self.plain.snapshots.get(name)
        if snapshot is not None and snapshot.change is not None:
            self.look_back(snapshot.change)
            self.diff(snapshot.change, self.plain.change)

    @rule(old=changes, new=changes)
    def diff(self, old: int, new: int) -> None:
        """What differs is all that differs, and leads from one to the other."""
        if not (0 <= old <= self.plain.change and 0 <= new <= self.plain.change):
            return
        before, after = (self.plain.moments[change].values for change in (old, new))
        was, now = [self.do(self.store.history.tree(change)) for change in (old, new)]
        found = list(differences(was, now))
        assert [(one.key, one.old, one.new) for one in found] == [
            (key, before.get(key), after.get(key))
            for key in sorted(before.keys() | after.keys())
            if before.get(key) != after.get(key)
        ]
        there = was.updated([(one.key, one.new) for one in found])
        back = now.updated([(one.key, one.old) for one in found])
        assert (there.root, back.root) == (now.root, was.root)
        assert there.root == self.plain.head(new).root

    @rule(after=changes, until=changes, limit=limits)
    def read_the_log(self, after: int, until: int, limit: int) -> None:
        if not (0 <= after <= self.plain.change and 0 <= until <= self.plain.change):
            return
        found: list[Logged] = []
        cursor: Cursor | None = None
        while True:
            work = self.store.history.log(cursor, limit, after=after, until=until)
            page = self.do(work)
            found += page.entries
            cursor = page.cursor
            if cursor is None:
                break
        assert [_placeless(one) for one in found] == self.plain.entries(after, until)

    @rule(after=changes, limit=limits)
    def follow_the_digests(self, after: int, limit: int) -> None:
        """Step by step, each fits what there was, and at the end all is as it is now."""
        if not 0 <= after <= self.plain.change:
            return
        there, head = self.plain.served(after), self.plain.head(after)
        while head.change < self.plain.change:
            found = self.do(self.store.history.steps(head.change, head.root, limit))
            assert found.newest == self.plain.change
            assert found.head == self.plain.head(found.head.change)
            for step in found.steps:
                assert head.change < step.change <= found.head.change
                assert there.pop(step.fingerprint, None) == step.before
                if step.after is not None:
                    there[step.fingerprint] = step.after
            head = found.head
            assert there == self.plain.served(head.change)

    @rule(limit=limits)
    def look_at_the_past_of_all(self, limit: int) -> None:
        history = self.store.history
        found = self.do(history.past([*NAMES, UNKNOWN], limit))
        for name, entries in zip([*NAMES, UNKNOWN], found, strict=True):
            due = self.plain.past(name)[:limit]
            assert [_placeless(one) for one in entries] == [entry for entry, _ in due]
            read = [self.do(history.read(one)) for one in entries]
            assert read == [whole for _, whole in due]

    @rule(hours=st.integers(-1, 60))
    def look_up_a_time(self, hours: int) -> None:
        at = CREATED + hours * 1800
        assert self.do(self.store.history.change_at(at)) == self.plain.change_at(at)

    @rule()
    def name_all(self) -> None:
        known = {entry.fingerprint for entry in self.plain.log}
        keys = [tree_key(name) for name in [*NAMES, UNKNOWN]]
        found = self.do(self.store.history.named(keys))
        assert found == [name if name in known else None for name in [*NAMES, UNKNOWN]]


class LifeInMemory(Life):
    """See `Life`."""

    def subject(self, seed: int) -> Subject:
        return InMemory()


class LifeOnSqlite(Life):
    """See `Life`."""

    def subject(self, seed: int) -> Subject:
        return OnSqlite(seed)


def _placeless(entry: Logged) -> Logged:
    return msgspec.structs.replace(entry, place=NOWHERE)


def _brought(put: Put, cause: Cause, origin: str) -> Put:
    return msgspec.structs.replace(put, cause=cause, origin=origin)


def _by_digest(one: NamedDigests) -> tuple[bytes, bytes]:
    return one.stored, one.sks


LIVES = settings(
    max_examples=max(settings().max_examples // 4, 5),
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestLifeInMemory = LifeInMemory.TestCase
TestLifeInMemory.settings = LIVES
TestLifeOnSqlite = LifeOnSqlite.TestCase
TestLifeOnSqlite.settings = LIVES

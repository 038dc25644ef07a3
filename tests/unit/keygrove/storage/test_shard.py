"""The shard actor through the runtime: on trio in memory, on asyncio with SQLite."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.lowlevel
import pytest
from trio.testing import assert_checkpoints, assert_no_checkpoints

from keygrove.errors import DiskFullError, StoreError, TooBroadError
from keygrove.storage.absent import TTL_S
from keygrove.storage.absorb import Outcome
from keygrove.storage.cache import Answer, Form
from keygrove.storage.candidate import candidate
from keygrove.storage.memory import MemoryStore
from keygrove.storage.messages import (
    Deny,
    Failed,
    Fetch,
    Find,
    Merge,
    Merged,
    NoSpace,
    Order,
    Overloaded,
    Search,
    TooBroad,
)
from keygrove.storage.shard import MERGES_MAX, OpenStore
from keygrove.storage.term import Term, TermKind
from keygrove.storage.turn import SLICE_BYTES, Turn
from keygrove.storage.write import Cause, Denial, Put
from keygrove_actors import (
    CalleeExit,
    ChildTerminated,
    Crash,
    DeclaredError,
    TerminateError,
)
from keygrove_chaos.certificates import (
    CREATED,
    binary,
    candidate_of,
    digest_of,
    large,
    made,
    put_of,
)
from keygrove_protocols.openpgp.certificate import Certificate, Component, fingerprint
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.merge import merge
from keygrove_protocols.openpgp.packets import Packet, Tag
from keygrove_protocols.openpgp.policy import SKS_COMPATIBLE
from tests.loops import Backend
from tests.processes import PATIENCE_S
from tests.unit.keygrove.storage.shards import (
    KINDS,
    SHUTDOWN_S,
    Subject,
    backend,
    merge_together,
    opener,
    outcomes,
    running,
)

pytestmark = pytest.mark.anyio

T = TypeVar("T")

ALICE, BOB = made(1, "Alice <a@x.example>"), made(1, "Bob")
OTHER = made(2, "Other")
"""Whoever waits longer waits for something that will not happen."""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def anyio_backend(kind: str) -> Backend:
    return backend(kind)


@pytest.fixture
def open_it(kind: str, tmp_path: Path) -> OpenStore:
    return opener(kind, tmp_path)


@pytest.fixture
def shard(open_it: OpenStore) -> AbstractAsyncContextManager[Subject]:
    return running(open_it)


class Gate:
    """Holds one kind of operation until it is opened."""

    def __init__(self, operation: str) -> None:
        self._operation = operation
        self._open = anyio.Event()
        self.reached = anyio.Event()

    async def __call__(self, operation: str) -> None:
        if operation == self._operation:
            self.reached.set()
            await self._open.wait()

    async def failing(self, operation: str) -> None:
        """As a call; but what was held fails once it is let go."""
        await self(operation)
        if operation == self._operation:
            raise StoreError("the disk is gone")

    def open(self) -> None:
        self._open.set()

    async def open_later(self) -> None:
        """When all others have had their turn."""
        await anyio.lowlevel.checkpoint()
        self.open()


def body(answer: Answer | Failed | None) -> bytes | None:
    assert isinstance(answer, Answer)
    return answer.body


async def test_each_outcome_tells_what_is_held_now(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    both = merge(ALICE, BOB)
    async with shard as subject:
        assert await subject.merge(ALICE) == Merged(Outcome.ADDED, digest_of(ALICE), 1)
        assert await subject.merge(ALICE) == Merged(Outcome.UNCHANGED, digest_of(ALICE), 1)
        assert await subject.merge(BOB) == Merged(Outcome.CHANGED, digest_of(both), 2)
        assert await subject.merge(BOB) == Merged(Outcome.UNCHANGED, digest_of(both), 2)


async def test_what_was_acknowledged_is_seen_by_every_kind_of_read(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    async with shard as subject:
        assert await subject.fetch(ALICE) is None
        await subject.merge(ALICE)
        answer = await subject.fetch(ALICE)
        assert answer == Answer(fingerprint(ALICE), digest_of(ALICE), 1, binary([ALICE]))
        term = Term(TermKind.ADDRESS, b"a@x.example")
        assert await subject.ref.call(Find(term, 5)) == (fingerprint(ALICE),)
        assert await subject.ref.call(Search(frozenset({"alice"}), 5)) == (fingerprint(ALICE),)


UNSIGNED = Certificate(ALICE.primary, (), (Component(Packet(Tag.USER_ID, b"Mallory")),))


async def test_what_nothing_can_be_kept_of_is_refused_and_not_committed(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    async with shard as subject:
        assert await subject.merge(UNSIGNED) == Merged(Outcome.REFUSED, Digest(b""), 0)
        assert await subject.fetch(ALICE) is None
        assert "commit" not in subject.hooks.seen


async def test_what_only_sks_keeps_is_found_by_its_digest_and_not_served(
    open_it: OpenStore,
) -> None:
    everything = merge(ALICE, UNSIGNED)
    async with running(open_it, policy=SKS_COMPATIBLE) as subject:
        await subject.ref.call(Merge(candidate(ALICE, SKS_COMPATIBLE, Cause.UPLOAD)))
        more = Merge(candidate(UNSIGNED, SKS_COMPATIBLE, Cause.UPLOAD))
        assert await subject.ref.call(more) == Merged(Outcome.CHANGED, digest_of(everything), 2)
        assert await subject.ref.call(more) == Merged(Outcome.UNCHANGED, digest_of(everything), 2)
        assert body(await subject.fetch(ALICE)) == binary([ALICE])
        name = fingerprint(ALICE)
        by_digest = Find(Term(TermKind.DIGEST, digest_of(everything)), 5)
        assert await subject.ref.call(by_digest) == (name,)
        assert await subject.ref.call(Search(frozenset({"mallory"}), 5)) == ()
        bound = candidate(made(1, "Mallory"), SKS_COMPATIBLE, Cause.UPLOAD)
        await subject.ref.call(Merge(bound))
        whole = merge(ALICE, made(1, "Mallory"))
        assert body(await subject.fetch(ALICE)) == binary([whole])


async def test_a_search_alone_asks_the_store_for_no_certificate(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    async with shard as subject:
        await subject.merge(ALICE)
        subject.hooks.seen.clear()
        await subject.ref.call(Find(Term(TermKind.ADDRESS, b"a@x.example"), 5))
        await subject.ref.call(Search(frozenset({"alice"}), 5))
        assert subject.hooks.seen == ["find", "search"]


def denying(certificate: Certificate) -> Denial:
    return Denial(fingerprint(certificate), "spam", CREATED, (digest_of(certificate),))


@pytest.mark.parametrize("kind", ["memory on trio"])
async def test_what_is_denied_is_not_taken_and_others_beside_it_are() -> None:
    store = MemoryStore()
    await store.commit([denying(ALICE)])
    async with running(store.opened) as subject:
        replies = await merge_together(subject, [ALICE, OTHER, BOB])
        assert outcomes(replies) == [Outcome.DENIED, Outcome.ADDED, Outcome.DENIED]
        assert replies[0] == Merged(Outcome.DENIED, Digest(b""), 2)
        assert await subject.fetch(ALICE) is None
        assert (await subject.status()).counts.certificates == 1
        subject.hooks.seen.clear()
        await subject.merge(BOB)
        assert "commit" not in subject.hooks.seen


async def test_a_hundred_merges_share_few_commits(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    async with shard as subject:
        replies = await merge_together(subject, [made(n, "Alice") for n in range(100)])
        status = await subject.status()
        assert outcomes(replies) == [Outcome.ADDED] * 100
        assert status.committed == status.counts.certificates == 100
        assert status.commits <= 5


async def test_one_key_many_times_in_a_batch_ends_in_the_union(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    texts = [f"Alice {n}" for n in range(40)]
    union = made(1, *texts)
    async with shard as subject:
        replies = await merge_together(subject, [made(1, text) for text in texts])
        assert sorted(one.value for one in outcomes(replies)) == ["added"] + ["changed"] * 39
        assert body(await subject.fetch(union)) == binary([union])
        assert (await subject.status()).commits < 10


async def test_one_key_in_a_batch_that_brings_nothing_is_told_so(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    gate = Gate("commit")
    async with shard as subject, anyio.create_task_group() as tasks:
        subject.hooks.before = gate
        tasks.start_soon(subject.merge, OTHER)
        await gate.reached.wait()
        replies: list[object] = []

        async def ask(certificate: Certificate) -> None:
            replies.append(await subject.merge(certificate))

        for certificate in (ALICE, ALICE, BOB, ALICE):
            tasks.start_soon(ask, certificate)
        while (await subject.status()).waiting_merges < 4:
            await anyio.lowlevel.checkpoint()
        gate.open()
        tasks.start_soon(subject.merge, OTHER)
        while len(replies) < 4:
            await anyio.lowlevel.checkpoint()
        digests = {one.digest for one in replies if isinstance(one, Merged)}
        assert digests == {digest_of(merge(ALICE, BOB))}


async def test_a_second_look_up_is_answered_from_the_cache(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    async with shard as subject:
        await subject.merge(ALICE)
        first = await subject.fetch(ALICE, Form.ARMOR)
        subject.hooks.seen.clear()
        assert await subject.fetch(ALICE, Form.ARMOR) == first
        assert subject.hooks.seen == []
        status = await subject.status()
        assert (status.cache_hits, status.cache_misses) == (1, 1)
        assert status.cache_bytes > len(body(first) or b"")


async def test_that_nothing_is_held_is_answered_from_the_cache_until_it_is(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    term = Term(TermKind.ADDRESS, b"a@x.example")
    async with shard as subject:
        assert await subject.fetch(ALICE) is None
        assert await subject.ref.call(Find(term, 5)) == ()
        subject.hooks.seen.clear()
        assert [await subject.fetch(ALICE, form) for form in Form] == [None] * len(Form)
        assert await subject.ref.call(Find(term, 500)) == ()
        assert subject.hooks.seen == []
        status = await subject.status()
        assert (status.cache_hits, status.cache_negative_hits) == (5, 5)
        assert status.cache_misses == 2
        await subject.merge(ALICE)
        assert body(await subject.fetch(ALICE)) == binary([ALICE])
        assert await subject.ref.call(Find(term, 5)) == (fingerprint(ALICE),)


@pytest.mark.parametrize("kind", ["memory on trio"])
async def test_after_a_minute_the_store_is_asked_again_for_what_was_not_held() -> None:
    """On the shard's own clock."""
    async with running(MemoryStore().opened) as subject:
        assert await subject.fetch(ALICE) is None
        subject.clock.elapsed_s = TTL_S
        subject.hooks.seen.clear()
        assert await subject.fetch(ALICE) is None
        assert subject.hooks.seen == ["get"]


async def test_what_was_found_is_answered_from_the_cache_until_a_change_touches_it(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    """The old version's terms too: a certificate that has gone is not found any more."""
    by_address = Find(Term(TermKind.ADDRESS, b"a@x.example"), 5)
    by_digest = Find(Term(TermKind.DIGEST, digest_of(ALICE)), 5)
    async with shard as subject:
        await subject.merge(ALICE)
        for _ in range(2):
            for find in (by_address, by_digest):
                assert await subject.ref.call(find) == (fingerprint(ALICE),)
        assert subject.hooks.seen.count("find") == 2
        await subject.merge(BOB)
        assert await subject.ref.call(by_digest) == ()
        assert await subject.ref.call(by_address) == (fingerprint(ALICE),)
        await subject.ref.call(Deny(fingerprint(ALICE), Order(None, "spam", b"1")))
        assert await subject.ref.call(by_address) == ()


@pytest.mark.parametrize("operation", ["get", "find"])
async def test_that_there_was_nothing_before_a_change_does_not_fill_the_cache(
    shard: AbstractAsyncContextManager[Subject], operation: str
) -> None:
    """The store is slow to hand over what it read, and a commit passes meanwhile."""
    gate = Gate(operation)
    name, term = fingerprint(ALICE), Term(TermKind.ADDRESS, b"a@x.example")
    asked = Fetch(name, Form.BINARY) if operation == "get" else Find(term, 5)
    async with shard as subject:
        async with anyio.create_task_group() as tasks:
            subject.hooks.after = gate
            tasks.start_soon(subject.ref.call, asked)
            await gate.reached.wait()
            subject.hooks.after = Gate("nothing")
            await subject.merge(ALICE)
            gate.open()
        assert body(await subject.fetch(ALICE)) == binary([ALICE])
        assert await subject.ref.call(Find(term, 5)) == (name,)


async def test_a_read_does_not_wait_for_a_commit_that_hangs(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    """Whether it is cached or not, held or not; it sees what was acknowledged before."""
    gate = Gate("commit")
    async with shard as subject, anyio.create_task_group() as tasks:
        await subject.merge(ALICE)
        await subject.merge(OTHER)
        await subject.fetch(ALICE)
        subject.hooks.before = gate
        tasks.start_soon(subject.merge, BOB)
        await gate.reached.wait()
        for _ in range(2):
            assert body(await subject.fetch(ALICE)) == binary([ALICE])
            assert body(await subject.fetch(OTHER)) == binary([OTHER])
            assert await subject.fetch(made(3)) is None
            found = await subject.ref.call(Search(frozenset({"alice"}), 5))
            assert found == (fingerprint(ALICE),)
        gate.open()


async def test_a_change_leaves_the_cache_before_it_is_acknowledged(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    async with shard as subject:
        await subject.merge(ALICE)
        for form in Form:
            await subject.fetch(ALICE, form)
        await subject.merge(BOB)
        assert (await subject.status()).cache_bytes == 0
        assert body(await subject.fetch(ALICE)) == binary([merge(ALICE, BOB)])


async def test_a_read_from_before_a_change_does_not_fill_the_cache(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    """The store is slow to hand over what it read, and a commit passes meanwhile."""
    gate = Gate("get")
    late: list[bytes | None] = []
    async with shard as subject:

        async def look() -> None:
            late.append(body(await subject.fetch(ALICE)))

        await subject.merge(ALICE)
        async with anyio.create_task_group() as tasks:
            subject.hooks.after = gate
            tasks.start_soon(look)
            await gate.reached.wait()
            subject.hooks.after = Gate("nothing")
            await subject.merge(BOB)
            gate.open()
        assert late == [binary([ALICE])]
        assert body(await subject.fetch(ALICE)) == binary([merge(ALICE, BOB)])
        assert body(await subject.fetch(ALICE)) == binary([merge(ALICE, BOB)])


LARGE = large(1, SLICE_BYTES)


async def test_a_large_certificate_is_worked_on_elsewhere(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    async with shard as subject:
        await subject.merge(ALICE)
        await subject.fetch(ALICE, Form.ARMOR)
        assert subject.compute.runs == 0
        assert outcomes([await subject.merge(LARGE)]) == [Outcome.CHANGED]
        assert subject.compute.runs == 1
        assert body(await subject.fetch(ALICE, Form.BINARY)) == binary([merge(ALICE, LARGE)])
        assert (subject.compute.runs, subject.answers.runs) == (1, 1)


async def test_an_answer_does_not_wait_for_what_comes_in(
    open_it: OpenStore,
) -> None:
    """A flood that is merged, or a long form that is read, held up all look-ups of a shard."""
    async with running(open_it, cache_bytes=64 << 20) as subject:
        await subject.merge(LARGE)
        subject.compute.gate = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(subject.merge, ALICE)
            await subject.compute.reached.wait()
            with anyio.fail_after(PATIENCE_S):
                assert body(await subject.fetch(LARGE)) == binary([LARGE])
            subject.compute.gate.set()


async def test_what_changes_while_it_is_worked_on_does_not_fill_the_cache(
    open_it: OpenStore,
) -> None:
    async with running(open_it, cache_bytes=64 << 20) as subject:
        await subject.merge(LARGE)
        subject.answers.gate = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(subject.fetch, LARGE)
            await subject.answers.reached.wait()
            gate, subject.answers.gate = subject.answers.gate, None
            await subject.merge(ALICE)
            gate.set()
        assert body(await subject.fetch(LARGE)) == binary([merge(ALICE, LARGE)])


async def test_a_search_that_is_too_broad_costs_nobody_else_an_answer(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    async def broad(operation: str) -> None:
        if operation == "search":
            raise TooBroadError

    async with shard as subject:
        await subject.merge(ALICE)
        subject.hooks.before = broad
        with pytest.raises(DeclaredError) as refused:
            await subject.ref.call(Search(frozenset({"alice", "common"}), 10))
        assert refused.value.failure == TooBroad()
        assert body(await subject.fetch(ALICE)) == binary([ALICE])
        assert not [one for one in subject.reports if isinstance(one, ChildTerminated)]


async def test_a_full_disk_is_an_answer_and_reads_go_on(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    async def full(operation: str) -> None:
        if operation == "commit":
            raise DiskFullError("heap.db")

    async with shard as subject:
        await subject.merge(ALICE)
        await subject.fetch(ALICE)
        subject.hooks.before = full
        assert await subject.merge(BOB) == NoSpace()
        assert await subject.merge(OTHER) == NoSpace()
        assert body(await subject.fetch(ALICE)) == binary([ALICE])
        assert await subject.fetch(OTHER) is None
        subject.hooks.before = Gate("nothing")
        assert isinstance(await subject.merge(OTHER), Merged)
        assert not [one for one in subject.reports if isinstance(one, ChildTerminated)]


async def test_on_a_full_disk_what_is_nothing_new_is_told_so(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    both = merge(ALICE, BOB)
    gate = Gate("commit")
    replies: dict[str, object] = {}

    async def full(operation: str) -> None:
        await gate(operation)
        if operation == "commit":
            raise DiskFullError("heap.db")

    async with shard as subject:

        async def ask(name: str, certificate: Certificate) -> None:
            replies[name] = await subject.merge(certificate)

        await subject.merge(both)
        async with anyio.create_task_group() as tasks:
            subject.hooks.before = full
            tasks.start_soon(ask, "first", made(3))
            await gate.reached.wait()
            tasks.start_soon(ask, "part", ALICE)
            tasks.start_soon(ask, "same", both)
            tasks.start_soon(ask, "new", OTHER)
            while (await subject.status()).waiting_merges < 3:
                await anyio.lowlevel.checkpoint()
            gate.open()
        unchanged = Merged(Outcome.UNCHANGED, digest_of(both), 1)
        assert replies == {
            "first": NoSpace(),
            "part": unchanged,
            "same": unchanged,
            "new": NoSpace(),
        }


def broken(certificate: Certificate) -> Put:
    """A put whose packets nobody can read."""
    put = put_of(certificate)
    return Put(
        put.fingerprint,
        Digest(bytes(16)),
        b"\xc6\x01\x09",
        frozenset(),
        frozenset(),
        put.cause,
        put.at,
    )


@pytest.mark.parametrize("kind", ["memory on trio"])
async def test_a_certificate_that_cannot_be_served_fails_alone() -> None:
    store = MemoryStore()
    await store.commit([broken(ALICE), put_of(OTHER)])
    async with running(store.opened) as subject:
        for form in (Form.ARMOR, Form.LEGACY, Form.SUMMARY):
            assert await subject.fetch(ALICE, form) == Failed()
        assert [where for where, _ in subject.notes.faults] == ["serve"] * 3
        assert body(await subject.fetch(OTHER)) == binary([OTHER])
        assert not [one for one in subject.reports if isinstance(one, ChildTerminated)]


@pytest.mark.parametrize("kind", ["memory on trio"])
async def test_a_certificate_that_cannot_be_merged_fails_alone() -> None:
    store = MemoryStore()
    await store.commit([broken(ALICE)])
    async with running(store.opened) as subject:
        replies = await merge_together(subject, [ALICE, OTHER, BOB])
        assert replies[0] == replies[2] == Failed()
        assert outcomes(replies) == [Outcome.ADDED]
        assert [where for where, _ in subject.notes.faults] == ["merge"]
        assert body(await subject.fetch(OTHER)) == binary([OTHER])


@pytest.mark.parametrize("operation", ["get", "find", "search", "commit"])
async def test_a_store_that_fails_crashes_the_shard_and_all_callers_learn_it(
    shard: AbstractAsyncContextManager[Subject], operation: str
) -> None:
    async def fail(name: str) -> None:
        if name == operation:
            subject.hooks.before = Gate("nothing")
            raise StoreError("the disk is gone")

    asks = {
        "get": Fetch(fingerprint(ALICE), Form.BINARY),
        "find": Find(Term(TermKind.ADDRESS, b"a@x.example"), 5),
        "search": Search(frozenset({"alice"}), 5),
        "commit": Merge(candidate_of(BOB)),
    }
    async with shard as subject:
        await subject.merge(ALICE)
        subject.hooks.before = fail
        with pytest.raises(CalleeExit) as failed:
            await subject.ref.call(asks[operation])
        assert isinstance(failed.value.reason, Crash)
        assert failed.value.reason.exc == "StoreError"
        assert body(await subject.fetch(ALICE)) == binary([ALICE])


async def test_all_that_wait_learn_of_a_crash(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    gate = Gate("commit")
    reasons: list[object] = []

    async with shard as subject:

        async def ask(number: int) -> None:
            with pytest.raises(CalleeExit) as failed:
                await subject.merge(made(number))
            reasons.append(failed.value.reason)

        async with anyio.create_task_group() as tasks:
            subject.hooks.before = gate.failing
            tasks.start_soon(ask, 0)
            await gate.reached.wait()
            for number in range(1, 20):
                tasks.start_soon(ask, number)
            while (await subject.status()).waiting_merges < 19:
                await anyio.lowlevel.checkpoint()
            gate.open()
        assert len(reasons) == 20
        assert all(isinstance(reason, Crash) for reason in reasons)
        subject.hooks.before = Gate("nothing")
        assert await subject.fetch(made(0)) is None


async def test_an_orderly_end_commits_what_is_queued(open_it: OpenStore) -> None:
    gate = Gate("commit")
    replies: list[object] = []
    async with anyio.create_task_group() as tasks, running(open_it) as subject:

        async def ask(number: int) -> None:
            replies.append(await subject.merge(made(number)))

        subject.hooks.before = gate
        tasks.start_soon(ask, 0)
        await gate.reached.wait()
        for number in range(1, 20):
            tasks.start_soon(ask, number)
        while (await subject.status()).waiting_merges < 19:
            await anyio.lowlevel.checkpoint()

        tasks.start_soon(gate.open_later)
    assert len(replies) == 20
    async with running(open_it) as subject:
        assert (await subject.status()).counts.certificates == 20


async def test_an_orderly_end_settles_the_store(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    async with shard as subject:
        await subject.merge(ALICE)
    assert subject.hooks.seen[-1] == "settle"


async def test_a_full_disk_at_an_orderly_end_is_no_failure(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    async def before(operation: str) -> None:
        if operation == "settle":
            raise DiskFullError("index.db")

    async with shard as subject:
        await subject.merge(ALICE)
        subject.hooks.before = before
    assert subject.hooks.seen[-1] == "settle"
    assert not [report for report in subject.reports if isinstance(report, TerminateError)]


@pytest.mark.parametrize("kind", ["memory on trio"])
async def test_a_commit_that_fails_at_the_end_does_not_hold_it_up(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    gate = Gate("commit")
    begun = 0.0

    async with anyio.create_task_group() as tasks:

        async def ask() -> None:
            with pytest.raises(CalleeExit):
                await subject.merge(ALICE)

        async with shard as subject:
            subject.hooks.before = gate.failing
            tasks.start_soon(ask)
            await gate.reached.wait()
            begun = anyio.current_time()

            tasks.start_soon(gate.open_later)
    assert anyio.current_time() - begun < SHUTDOWN_S / 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory on trio"])
async def test_beyond_its_limit_a_shard_is_overloaded_and_recovers(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    gate = Gate("commit")
    async with shard as subject:
        async with anyio.create_task_group() as tasks:
            subject.hooks.before = gate
            tasks.start_soon(subject.merge, OTHER)
            await gate.reached.wait()
            for _ in range(MERGES_MAX):
                tasks.start_soon(subject.merge, ALICE)
            while (await subject.status()).waiting_merges < MERGES_MAX:
                await anyio.lowlevel.checkpoint()
            with pytest.raises(DeclaredError) as refused:
                await subject.merge(BOB)
            assert refused.value.failure == Overloaded()
            assert await subject.fetch(BOB) is None
            gate.open()
        assert isinstance(await subject.merge(BOB), Merged)


@pytest.mark.parametrize("kind", ["memory on trio"])
async def test_a_turn_ends_after_so_many_bytes_and_not_before() -> None:
    turn = Turn()
    for _ in range(2):
        with assert_no_checkpoints():
            await turn.spend(SLICE_BYTES)
        with assert_checkpoints():
            await turn.spend(1)

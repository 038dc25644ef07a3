"""The ingest actor and its replies."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TypeVar

import anyio
import pytest

from keygrove.errors import DiskFullError, StoreError
from keygrove.ingest.messages import INGEST, IngestApi, Result, Submit, Submitted, Unavailable
from keygrove.ingest.pipeline import INLINE_BYTES, UNDER_WAY_BYTES_MAX, UNDER_WAY_MAX, Ingest, Reply
from keygrove.ingest.verdicts import Blame, Rejected
from keygrove.storage.memory import MemoryStore
from keygrove.storage.messages import Failed, NoSpace
from keygrove.storage.shard import Shard
from keygrove.storage.store import Cause, Opened, Opening
from keygrove_actors import ChildSpec, ChildTerminated, DeclaredError, Ref, Report, SupSpec, run
from keygrove_chaos.certificates import armored, binary, large, made
from keygrove_chaos.node import LoopClock
from keygrove_chaos.stores import Hook, HookedStore, Notes
from keygrove_protocols.openpgp.certificate import fingerprint
from keygrove_protocols.openpgp.packets import Packet, Tag, join

pytestmark = pytest.mark.anyio

T = TypeVar("T")

ALICE, BOB = made(1, "Alice"), made(2, "Bob")
CAROL = made(3, "Carol")
OCTETS = bytes(range(1, 11))


class Compute:
    """Does work here and now, counts it, and fails or waits when told to."""

    def __init__(self) -> None:
        self.runs = 0
        self.error: Exception | None = None
        self.gate: anyio.Event | None = None

    async def run(self, work: Callable[[], T]) -> T:
        self.runs += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return work()


class Subject:
    """A running ingest actor before one shard."""

    def __init__(self) -> None:
        self.compute = Compute()
        self.notes = Notes()
        self.reports: list[Report] = []
        self.before: Hook = self._nothing
        self._store = MemoryStore()
        self.ref: Ref[IngestApi]

    async def _nothing(self, _: str) -> None:
        pass

    async def _before(self, operation: str) -> None:
        await self.before(operation)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Opening, None]:
        yield Opened(HookedStore(self._store, before=self._before))

    async def submit(self, data: bytes, cause: Cause = Cause.UPLOAD) -> Reply:
        return await self.ref.call(Submit(data, cause), timeout=40)


@asynccontextmanager
async def ingesting(*, with_shard: bool = True) -> AsyncGenerator[Subject, None]:
    subject = Subject()
    shard = ChildSpec(
        "shard-0",
        partial(
            Shard,
            subject.open,
            LoopClock(),
            subject.compute,
            cache_bytes=0,
            watcher=subject.notes,
        ),
        name="shard-0",
    )
    ingest = ChildSpec(
        INGEST, partial(Ingest, 1, subject.compute, on_fault=subject.notes.fault), name=INGEST
    )
    children = (shard, ingest) if with_shard else (ingest,)
    spec = SupSpec(children=children, intensity=5)
    async with run(spec, observe=subject.reports.append) as runtime:
        subject.ref = runtime.whereis(INGEST, IngestApi)
        yield subject
    assert not [one for one in subject.reports if _is_crash_of_ingest(one)]


def _is_crash_of_ingest(report: Report) -> bool:
    return (
        isinstance(report, ChildTerminated)
        and "crashed" in str(report.reason)
        and (report.child == INGEST)
    )


@pytest.fixture
def subject() -> AbstractAsyncContextManager[Subject]:
    return ingesting()


def results(reply: Reply) -> list[tuple[Result, str]]:
    assert isinstance(reply, Submitted)
    return [(fate.result, fate.error) for fate in reply.fates]


async def test_each_certificate_has_its_fate(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    async with subject as on:
        first = await on.submit(armored(ALICE, BOB))
        assert results(first) == [(Result.INSERTED, "")] * 2
        assert isinstance(first, Submitted)
        assert [fate.fingerprint for fate in first.fates] == [fingerprint(ALICE), fingerprint(BOB)]
        assert [fate.version for fate in first.fates] == [4, 4]
        again = await on.submit(armored(ALICE, made(2, "Bob", "Robert")))
        assert results(again) == [(Result.IGNORED, ""), (Result.UPDATED, "")]


async def test_a_bad_certificate_costs_only_itself(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    async with subject as on:
        reply = await on.submit(armored(made(9, version=5), ALICE))
        assert sorted(results(reply), key=str) == [
            (Result.INSERTED, ""),
            (Result.INVALID, "UnsupportedKeyVersion"),
        ]


async def test_each_fate_says_which_certificate_it_is_of(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    async with subject as on:
        reply = await on.submit(
            armored(ALICE, made(9, version=5), BOB, made(8, version=5), CAROL), Cause.LOAD
        )
        assert isinstance(reply, Submitted)
        assert {fate.at: fate.result for fate in reply.fates} == {
            0: Result.INSERTED,
            1: Result.INVALID,
            2: Result.INSERTED,
            3: Result.INVALID,
            4: Result.INSERTED,
        }
        names = {fate.at: fate.fingerprint for fate in reply.fates}
        assert (names[0], names[2], names[4]) == tuple(map(fingerprint, (ALICE, BOB, CAROL)))


def v3(modulus: bytes, exponent: bytes) -> bytes:
    """A certificate of version 3, named by the octets of its numbers without their lengths."""
    numbers = b"".join(
        int.from_bytes(number).bit_length().to_bytes(2) + number for number in (modulus, exponent)
    )
    return join([Packet(Tag.PUBLIC_KEY, b"\x03" + bytes(6) + b"\x01" + numbers)])


async def test_another_key_of_the_same_name_is_invalid(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    async with subject as on:
        await on.submit(v3(OCTETS[:9], OCTETS[9:]), Cause.LOAD)
        reply = await on.submit(v3(OCTETS[:8], OCTETS[8:]), Cause.LOAD)
        assert results(reply) == [(Result.INVALID, "PrimaryMismatch")]
        assert isinstance(reply, Submitted)
        assert reply.fates[0].comment


@pytest.mark.parametrize(
    ("data", "blame", "code"),
    [
        (b"garbage", Blame.MALFORMED, "NotOpenPGP"),
        (armored(ALICE)[:-30], Blame.MALFORMED, "BadArmor"),
        (join([Packet(Tag.SECRET_KEY, b"\x04")]), Blame.UNACCEPTABLE, "SecretKeyMaterial"),
        (binary([made(n) for n in range(101)]), Blame.TOO_LARGE, "TooLarge"),
    ],
    ids=["garbage", "cut armor", "secret key", "too many"],
)
async def test_what_cannot_be_taken_is_rejected_with_the_reason(
    subject: AbstractAsyncContextManager[Subject], data: bytes, blame: Blame, code: str
) -> None:
    async with subject as on:
        reply = await on.submit(data)
        assert isinstance(reply, Rejected)
        assert (reply.blame, reply.code) == (blame, code)
        assert reply.text
        assert on.notes.faults == []


async def test_small_submissions_are_prepared_here_and_large_ones_elsewhere(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    data = binary([large(1, INLINE_BYTES)])
    async with subject as on:
        await on.submit(armored(ALICE))
        assert on.compute.runs == 0
        assert results(await on.submit(data)) == [(Result.UPDATED, "")]
        assert on.compute.runs == 1


async def test_a_full_disk_is_no_space(subject: AbstractAsyncContextManager[Subject]) -> None:
    async def full(operation: str) -> None:
        if operation == "commit":
            raise DiskFullError("heap.db")

    async with subject as on:
        on.before = full
        assert await on.submit(armored(ALICE)) == NoSpace()


async def test_a_shard_that_crashes_makes_it_unavailable_and_again_is_safe(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    async def fail(operation: str) -> None:
        if operation == "commit":
            on.before = nothing
            raise StoreError("gone")

    async def nothing(_: str) -> None:
        pass

    async with subject as on:
        on.before = fail
        assert await on.submit(armored(ALICE)) == Unavailable()
        await anyio.wait_all_tasks_blocked()
        assert results(await on.submit(armored(ALICE))) == [(Result.INSERTED, "")]


async def test_without_shards_it_is_unavailable() -> None:
    async with ingesting(with_shard=False) as on:
        assert await on.submit(armored(ALICE)) == Unavailable()


async def test_a_bug_costs_its_submitter_only_and_is_told(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    data = binary([large(1, INLINE_BYTES)])
    async with subject as on:
        on.compute.error = ZeroDivisionError("a bug")
        assert await on.submit(data) == Failed()
        assert [(where, str(error)) for where, error in on.notes.faults] == [("ingest", "a bug")]
        assert results(await on.submit(armored(ALICE))) == [(Result.INSERTED, "")]


async def submit_many(on: Subject, submissions: Sequence[bytes]) -> list[str]:
    """What became of each of these, sent at once."""
    fates: list[str] = []

    async def submit(data: bytes) -> None:
        try:
            fates.append(type(await on.submit(data)).__name__)
        except DeclaredError as error:
            fates.append(type(error.failure).__name__)

    async with anyio.create_task_group() as tasks:
        for data in submissions:
            tasks.start_soon(submit, data)
        await anyio.wait_all_tasks_blocked()
        if on.compute.gate is not None:
            on.compute.gate.set()
    return fates


@pytest.mark.slow
async def test_beyond_so_many_submissions_it_is_overloaded_and_recovers(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    async with subject as on:
        on.compute.gate = anyio.Event()
        fates = await submit_many(on, [b"\xc6" * (INLINE_BYTES + 1)] * (UNDER_WAY_MAX + 20))
        assert fates.count("Overloaded") == 20
        assert isinstance(await on.submit(b"junk"), Rejected)


async def test_beyond_so_many_bytes_it_is_overloaded_and_recovers(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    size = UNDER_WAY_BYTES_MAX // 8
    async with subject as on:
        on.compute.gate = anyio.Event()
        fates = await submit_many(on, [b"\xc6" * size] * 12)
        assert fates.count("Overloaded") == 4
        assert isinstance(await on.submit(b"\xc6" * size), Rejected)


async def test_one_submission_is_taken_however_large_it_is(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    async with subject as on:
        reply = await on.submit(bytes(UNDER_WAY_BYTES_MAX + 1), Cause.LOAD)
        assert isinstance(reply, Rejected)
        assert reply.blame is Blame.TOO_LARGE

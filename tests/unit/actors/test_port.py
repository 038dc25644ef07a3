"""Ports, pools and streams with workers in memory, on a clock that jumps."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from keygrove_actors import (
    CalleeExit,
    CallTimeout,
    ChildSpec,
    ChildTerminated,
    Crash,
    Ctx,
    DeclaredError,
    Died,
    Items,
    MailboxFull,
    MailboxSpec,
    NoProc,
    Note,
    Port,
    PortPool,
    PortSpec,
    RawWork,
    Recycle,
    Ref,
    Report,
    Shutdown,
    Stream,
    Work,
    WorkerLinesDropped,
    WorkerLogged,
    WorkerPrinted,
    WorkFailure,
    in_memory,
    stream,
)
from keygrove_actors.census import tree_snapshot
from keygrove_actors.lines import LINES_PER_S
from keygrove_actors.meter import Meter, Metric
from keygrove_actors.port_link import ERROR_LINES
from keygrove_actors.port_process import Launch, Process, Sink
from keygrove_actors.worker import Job, Table
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


class SumApi:
    pass


class Add(Work[SumApi, int], frozen=True, tag=True):
    numbers: tuple[int, ...]


class Lie(Work[SumApi, int], frozen=True, tag=True):
    pass


class Raise(Work[SumApi, None], frozen=True, tag=True):
    how: str


class Raw(RawWork[SumApi], frozen=True, tag=True):
    pass


class Squares(Stream[SumApi, int, str], frozen=True, tag=True):
    n: int


class Fib(Stream[SumApi, int, int], frozen=True, tag=True):
    is_of_item: bool


class Remember(Note[SumApi], frozen=True, tag=True):
    text: str


class Chatter(Work[SumApi, None], frozen=True, tag=True):
    lines: int
    is_printed: bool = False


ENDS: dict[str, BaseException] = {
    "segv": Died(signal.SIGSEGV),
    "exit": SystemExit(3),
    "raise": ValueError("boom"),
}


def table_of(notes: list[str], asked: list[int]) -> Table:
    table = Table()

    @table.on(Add)
    def add(message: Add, job: Job) -> int:
        asked.append(job.settings["worker"])
        return sum(message.numbers)

    @table.on(Raise)
    def fail(message: Raise, job: Job) -> None:
        if message.how == "ask":
            job.call(Add(()))
        raise ENDS[message.how]

    @table.on(Raw)
    def raw(message: Raw, job: Job) -> bytes:
        left = job.left_s()
        assert left is not None
        return f"{left:.1f}".encode()

    @table.stream(Squares)
    def squares(message: Squares, job: Job) -> Generator[int, None, str]:
        yield from (n * n for n in range(min(message.n, 13)))
        if message.n > 13:
            raise WorkFailure("unlucky").error()
        return "done"

    @table.on_note(Remember)
    def remember(message: Remember, job: Job) -> None:
        notes.append(message.text)

    table.on(Chatter)(chatter)
    table.on(Lie)(lie)  # type: ignore[arg-type]
    table.stream(Fib)(fib)  # type: ignore[arg-type]
    return table


def chatter(message: Chatter, job: Job) -> None:
    if message.is_printed:
        raise RuntimeError("\n".join(map(str, range(message.lines))))
    for n in range(message.lines):
        job.log(1, str(n))


def lie(message: Lie, job: Job) -> str:
    return "not a number"


def fib(message: Fib, job: Job) -> Generator[object, None, str]:
    yield "no number" if message.is_of_item else 1
    return "no number"


async def read(items: Items[int, Any], into: list[int]) -> None:
    async for n in items:
        into.append(n)
        await anyio.lowlevel.checkpoint()


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def asked() -> list[int]:
    return []


SPEC = PortSpec(
    api=SumApi,
    works=(Add, Lie, Raise, Raw, Squares, Fib, Remember, Chatter),
    worker="nowhere:table",
    settings={"worker": 1},
)


@pytest.fixture
def port(notes: list[str], asked: list[int]) -> ChildSpec:
    return Port.child("sum", SPEC, name="sum", launch=in_memory(table_of(notes, asked)))


@pytest.fixture
def pool(notes: list[str], asked: list[int]) -> Callable[..., ChildSpec]:
    def make(size: int, recycle: Recycle = Recycle()) -> ChildSpec:  # noqa: B008 - frozen
        launch = in_memory(table_of(notes, asked))
        return PortPool.child("pool", SPEC, size, name="sum", launch=launch, recycle=recycle)

    return make


async def test_a_typed_call_has_a_typed_reply(running: Running, port: ChildSpec) -> None:
    async with running(port) as runtime:
        assert await runtime.whereis("sum", SumApi).call(Add((1, 2))) == 3


async def test_a_reply_of_another_type_ends_the_port(running: Running, port: ChildSpec) -> None:
    async with running(port) as runtime:
        with pytest.raises(CalleeExit) as caught:
            await runtime.whereis("sum", SumApi).call(Lie())
    assert isinstance(caught.value.reason, Crash)
    assert caught.value.reason.exc == "bad_reply"


@pytest.mark.parametrize(
    ("how", "exc"), [("raise", "exit_1"), ("exit", "exit_3"), ("segv", "signal_SIGSEGV")]
)
async def test_p06_a_worker_in_memory_ends_as_a_process_does(
    running: Running, port: ChildSpec, reports: list[Report], how: str, exc: str
) -> None:
    async with running(port) as runtime:
        ref = runtime.whereis("sum", SumApi)
        with pytest.raises(CalleeExit) as caught:
            await ref.call(Raise(how))
        assert await ref.call(Add((4,)), wait_up=1) == 4
    assert isinstance(caught.value.reason, Crash)
    assert caught.value.reason.exc == exc
    printed = "\n".join(r.text for r in reports if isinstance(r, WorkerPrinted))
    assert ("ValueError: boom" in printed) == (how == "raise")


@pytest.mark.slow
async def test_p14_a_worker_that_logs_in_a_loop_is_cut_and_told_of(
    running: Running, port: ChildSpec, reports: list[Report]
) -> None:
    async with running(port) as runtime:
        ref = runtime.whereis("sum", SumApi)
        await ref.call(Chatter(100_000))
        logged = [r for r in reports if isinstance(r, WorkerLogged)]
        assert [r.text for r in logged] == [str(n) for n in range(LINES_PER_S)]
        await anyio.sleep(1.1)  # the worker is silent now, and the rest is told of all the same
        told = [r for r in reports if isinstance(r, WorkerLinesDropped)]
        assert [(r.stream, r.lines) for r in told] == [("log", 100_000 - LINES_PER_S)]
        await ref.call(Chatter(1))
        assert isinstance(reports[-1], WorkerLogged)


async def test_p06_p14_a_crash_carries_the_last_lines_of_a_flood(
    running: Running, port: ChildSpec, reports: list[Report]
) -> None:
    async with running(port) as runtime:
        with pytest.raises(CalleeExit) as caught:
            await runtime.whereis("sum", SumApi).call(Chatter(100_000, is_printed=True))
    crash = caught.value.reason
    assert isinstance(crash, Crash)
    assert crash.trace.splitlines() == [str(n) for n in range(100_000 - ERROR_LINES, 100_000)]
    told = [r for r in reports if isinstance(r, WorkerLinesDropped)]
    printed = [r for r in reports if isinstance(r, WorkerPrinted)]
    assert len(printed) == LINES_PER_S
    assert [r.stream for r in told] == ["stderr"]
    assert told[0].lines > 100_000 - LINES_PER_S, "the traceback before it counts as well"


async def test_a_worker_in_memory_cannot_wait_for_its_host(
    running: Running, port: ChildSpec
) -> None:
    async with running(port) as runtime:
        with pytest.raises(DeclaredError, match="WorkFailure"):
            await runtime.whereis("sum", SumApi).call(Raise("ask"))


async def test_the_deadline_travels_to_the_worker(running: Running, port: ChildSpec) -> None:
    async with running(port) as runtime:
        assert await runtime.whereis("sum", SumApi).call(Raw(b""), timeout=2.0) == b"2.0"


async def test_a_stream_ends_with_its_reply_or_its_failure(
    running: Running, port: ChildSpec
) -> None:
    async with running(port) as runtime:
        ref = runtime.whereis("sum", SumApi)
        async with stream(ref, Squares(4)) as items:
            assert [n async for n in items] == [0, 1, 4, 9]
            assert items.end == "done"
        got: list[int] = []
        async with stream(ref, Squares(20)) as items:
            with pytest.raises(DeclaredError):
                await read(items, got)
        assert len(got) == 13


async def test_a_stream_ends_with_its_port(running: Running, port: ChildSpec) -> None:
    async with running(port) as runtime:
        ref = runtime.whereis("sum", SumApi)
        async with stream(ref, Squares(12)) as items:
            ref.kill()
            with pytest.raises(CalleeExit):
                await read(items, [])


@pytest.mark.parametrize("is_of_item", [True, False], ids=["item", "end"])
async def test_p11_a_stream_of_another_type_ends_the_port_and_its_reader(
    running: Running, port: ChildSpec, *, is_of_item: bool
) -> None:
    async with running(port) as runtime:
        ref = runtime.whereis("sum", SumApi)
        async with stream(ref, Fib(is_of_item)) as items:
            with pytest.raises(CalleeExit) as caught:
                await read(items, [])
    assert isinstance(caught.value.reason, Crash)
    assert caught.value.reason.exc == "bad_reply"


async def test_a_notice_reaches_every_worker_of_a_pool(
    running: Running, pool: Callable[..., ChildSpec], notes: list[str]
) -> None:
    async with running(pool(3)) as runtime:
        runtime.whereis("sum", SumApi).cast(Remember("x"))
        await anyio.sleep(1)
    assert notes == ["x"] * 3


async def test_p15_a_pool_answers_as_a_port_does(
    running: Running, pool: Callable[..., ChildSpec]
) -> None:
    async with running(pool(2)) as runtime:
        ref = runtime.whereis("sum", SumApi)
        for n in range(3000):
            assert await ref.call(Add((n,))) == n
        async with stream(ref, Squares(3)) as items:
            assert [n async for n in items] == [0, 1, 4]


async def test_p15_workers_are_replaced_one_at_a_time(
    running: Running, pool: Callable[..., ChildSpec], reports: list[Report]
) -> None:
    async with running(pool(2, recycle=Recycle(calls=None, age_s=30.0))) as runtime:
        ref = runtime.whereis("sum", SumApi)
        for n in range(120):
            await anyio.sleep(1)
            assert await ref.call(Add((n,))) == n
    ends = [r for r in reports if isinstance(r, ChildTerminated)]
    recycled = [r for r in ends if r.reason == Shutdown("recycled")]
    assert 4 <= len(recycled) <= 8


async def test_p15_a_pool_without_a_worker_says_so_at_once(
    running: Running, pool: Callable[..., ChildSpec]
) -> None:
    async with running(pool(1), intensity=0) as runtime:
        ref = runtime.whereis("sum", SumApi)
        with pytest.raises(CalleeExit):
            await ref.call(Raise("segv"))
        with pytest.raises(NoProc):
            await ref.call(Add(()))
        await anyio.sleep(1)
        assert await ref.call(Add((1,))) == 1


def late(table: Table, starts: list[float]) -> Launch:
    """Starts each worker only after the next of so many seconds, later ones at once."""
    inner = in_memory(table)

    @asynccontextmanager
    async def launch(ctx: Ctx, spec: PortSpec, sink: Sink) -> AsyncGenerator[Process, None]:
        await anyio.sleep(starts.pop(0) if starts else 0.0)
        async with inner(ctx, spec, sink) as process:
            yield process

    return launch


async def outcome_of(ref: Ref[SumApi], n: int, wait_up: float, into: list[object]) -> None:
    try:
        into.append(await ref.call(Add((n,)), wait_up=wait_up))
    except (NoProc, MailboxFull, CalleeExit, CallTimeout) as error:
        into.append(type(error))


async def test_p15_wait_up_waits_for_a_worker_of_the_pool(running: Running) -> None:
    launch = late(table_of([], []), [0.0, 2.0])
    spec = PortPool.child("pool", SPEC, 1, name="sum", launch=launch, mailbox=MailboxSpec(3))
    outcomes: list[object] = []
    async with running(spec) as runtime:
        ref = runtime.whereis("sum", SumApi)
        with pytest.raises(CalleeExit):
            await ref.call(Raise("segv"))
        with anyio.fail_after(2.5):
            async with anyio.create_task_group() as tasks:
                for n, wait_up in enumerate((5.0, 1.0, 5.0, 5.0)):
                    tasks.start_soon(outcome_of, ref, n, wait_up, outcomes)
                    await anyio.sleep(0.01)
        assert outcomes == [MailboxFull, NoProc, 0, 2]
        async with stream(ref, Squares(2), wait_up=1.0) as items:
            assert [n async for n in items] == [0, 1]
    assert runtime.leftovers()["deadlines"] == 0


@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_p15_who_waits_for_a_worker_is_told_of_the_pools_end(
    running: Running, how: str
) -> None:
    launch = late(table_of([], []), [0.0, 2.0])
    spec = PortPool.child("pool", SPEC, 1, name="sum", launch=launch)
    outcomes: list[object] = []
    async with running(spec) as runtime:
        ref = runtime.whereis("sum", SumApi)
        with pytest.raises(CalleeExit):
            await ref.call(Raise("segv"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outcome_of, ref, 1, 60.0, outcomes)
            await anyio.sleep(0.1)
            if how == "killed":
                ref.kill()
            else:
                ref.exit(Shutdown())
        assert await ref.call(Add((2,)), wait_up=5.0) == 2
    assert outcomes == [CalleeExit]
    assert runtime.leftovers()["deadlines"] == 0


async def test_p15_the_seat_left_over_is_vacant_and_no_worker_that_is_up(
    running: Running, pool: Callable[..., ChildSpec], reports: list[Report]
) -> None:
    meter = Meter()

    def observe(report: Report) -> None:
        reports.append(report)
        meter.observe(report)

    def seats(metric: str, figures: list[Metric]) -> dict[str, float]:
        mine = [m for m in figures if m.name == f"keygrove_actor_{metric}"]
        assert all(dict(m.labels)["class"] == "Seat" for m in mine if "worker" in str(m.labels))
        return {dict(m.labels)["child"]: m.value for m in mine if "worker" in str(m.labels)}

    recycle = Recycle(calls=None, age_s=30.0)
    async with running(pool(2, recycle=recycle), observe=observe) as runtime:
        meter.attach(runtime)
        short = runtime.tree().children[0]
        full = (await tree_snapshot(runtime)).children[0]
        for node in (short, full):
            states = [child.state.value for child in node.children]
            assert states == ["up", "up", "vacant", "up"]
        assert "worker-2: vacant" in runtime.tree().text()
        before = await meter.collect()
        assert seats("up", before) == {"worker-0": 1, "worker-1": 1}
        await anyio.sleep(60)  # some are replaced, so another seat is left over
        after = await meter.collect()
        assert len(seats("up", after)) == 2
        restarts = seats("restarts_total", after)
        assert restarts.keys() == seats("restarts_total", before).keys()


async def test_a170_a_kill_ends_what_an_actor_started(running: Running, port: ChildSpec) -> None:
    async with running(port) as runtime:
        runtime.whereis("sum", SumApi).kill()
        await anyio.sleep(1)

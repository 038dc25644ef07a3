"""The same seed is the same run: on both engines, in any process, whatever went before."""

import asyncio
import gc
import importlib
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

import anyio
import msgspec
import pytest
import trio

from keygrove_chaos.order import Fifo, Order, Priorities, Shuffled, Starving, order_for
from keygrove_chaos.running import run
from keygrove_chaos.trace import BLOCK, Event, Trace, first_difference
from keygrove_chaos.world import (
    ENGINES,
    HOST,
    BackgroundError,
    DeadlockError,
    EngineName,
    LivelockError,
    Options,
    TimeUpError,
    UnsupportedError,
    World,
)
from tests.unit.chaos.programs import cancelled_children, gossip

ROOT = Path(__file__).parents[3]


@pytest.fixture(params=ENGINES)
def options(request: pytest.FixtureRequest) -> Options:
    engine: EngineName = request.param
    return Options(engine=engine)


def digest(seed: int, options: Options) -> str:
    return run(gossip(), seed=seed, options=options).trace.digest()


def test_c002_the_same_seed_has_the_same_trace_and_others_have_others(options: Options) -> None:
    first = digest(7, options)
    others = [digest(seed, options) for seed in range(20) if seed != 7]
    assert digest(7, options) == first
    assert len({first, *others}) == 20


def test_c009_both_engines_run_the_same_program_to_the_same_trace() -> None:
    for seed in range(5):
        assert len({digest(seed, Options(engine=engine)) for engine in ENGINES}) == 1


ELSEWHERE = """
import gc, json, sys
gc.set_threshold(1)
padding = [object() for _ in range(int(sys.argv[1]) * 977)]
from keygrove_chaos.running import run
from keygrove_chaos.world import ENGINES, Options
from tests.unit.chaos.programs import cancelled_children, gossip
found = {}
for engine in ENGINES:
    options = Options(engine=engine)
    found[engine] = [run(program(), seed=3, options=options).trace.digest()
                     for program in (gossip, cancelled_children)]
print(json.dumps(found))
"""


@pytest.mark.slow
def test_c002_c009_six_processes_with_other_hash_seeds_and_addresses_agree() -> None:
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", ELSEWHERE, str(number)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={"PYTHONHASHSEED": str(number), "PATH": "", "PYTHONPATH": str(ROOT)},
        )
        for number in range(6)
    ]
    found = [json.loads(one.communicate(timeout=60)[0]) for one in runs]
    assert all(one == found[0] for one in found)
    here = {
        engine: [
            run(program(), seed=3, options=Options(engine=engine)).trace.digest()
            for program in (gossip, cancelled_children)
        ]
        for engine in ENGINES
    }
    assert found[0] == here


def test_the_seed_decides_which_of_several_ready_tasks_runs_first(options: Options) -> None:
    orders = {run(cancelled_children(), seed=s, options=options).trace.digest() for s in range(10)}
    assert len(orders) > 5


async def ticks(world: World) -> list[float]:
    seen: list[float] = []
    for delay in (3.0, 1.0, 2.0, 1.0):
        world.call_at(world.now() + delay, partial(seen.append, delay))
    forgotten = world.call_at(world.now() + 0.5, lambda: seen.append(0.5))
    forgotten.cancel()
    await anyio.sleep(10)
    world.call_at(world.now(), lambda: seen.append(world.now()))
    await anyio.sleep(1)
    return seen


def test_timers_are_called_in_order_and_not_when_cancelled(options: Options) -> None:
    assert run(ticks, seed=1, options=options).result == [1.0, 1.0, 2.0, 3.0, 10.0]


async def early(world: World) -> list[float]:
    """A timer that is set while the world sleeps towards a later one."""
    seen: list[float] = []
    world.call_at(100.0, lambda: seen.append(world.now()))

    def set_another() -> None:
        world.call_at(2.0, lambda: seen.append(world.now()))

    world.call_at(1.0, set_another)
    await anyio.sleep(200)
    return seen


def test_a_timer_set_later_for_earlier_is_in_time(options: Options) -> None:
    assert run(early, seed=1, options=options).result == [2.0, 100.0]


def test_a_year_passes_at_once_and_the_limit_ends_it(options: Options) -> None:
    async def main(world: World) -> float:
        await anyio.sleep(86_400 * 365)
        return world.now()

    long = Options(engine=options.engine, limit_s=1e9)
    assert run(main, seed=1, options=long).result == 86_400 * 365
    with pytest.raises(TimeUpError, match="86400"):
        run(main, seed=1, options=options)


def test_everyone_waiting_for_ever_is_a_deadlock_on_asyncio_and_time_up_on_trio(
    options: Options,
) -> None:
    async def waits_for_ever() -> None:
        await anyio.Event().wait()

    async def main(_: World) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waits_for_ever)
            await anyio.Event().wait()

    with pytest.raises((DeadlockError, TimeUpError)) as raised:
        run(main, seed=1, options=options)
    first = waits_for_ever.__code__.co_firstlineno + 1
    assert re.search(rf"waits_for_ever at test_world\.py:{first}\b", str(raised.value))
    assert f"main at test_world.py:{first + 5}" in str(raised.value)


@pytest.mark.parametrize("count", [5, 9])
def test_of_many_tasks_that_wait_some_are_named_and_the_others_counted(count: int) -> None:
    async def main(world: World) -> None:
        del world
        async with anyio.create_task_group() as tasks:
            for _ in range(count - 1):
                tasks.start_soon(anyio.Event().wait)

    with pytest.raises(DeadlockError) as raised:
        run(main, seed=1)
    assert str(raised.value).count(" at ") == 5
    assert ("4 more" in str(raised.value)) == (count == 9)


def test_a_paused_host_is_named_where_nothing_can_go_on() -> None:
    async def main(world: World) -> None:
        HOST.set("n1")
        world.pause("n1")
        await anyio.sleep(1)

    with pytest.raises(DeadlockError, match="paused: n1"):
        run(main, seed=1)


def test_a_task_that_dies_and_that_nobody_awaits_is_told() -> None:
    async def relay() -> None:
        await anyio.sleep(1)
        raise ValueError("no such peer")

    async def main(_: World) -> None:
        kept = [asyncio.create_task(relay()) for _ in range(3)]
        await anyio.sleep(5)
        kept.append(asyncio.create_task(anyio.sleep(1)))

    with pytest.raises(BackgroundError) as raised:
        run(main, seed=1)
    assert "relay died, and nobody awaited it: ValueError: no such peer" in str(raised.value)
    assert f"test_world.py:{relay.__code__.co_firstlineno + 2}" in str(raised.value)


def test_a_callback_that_dies_is_told_rather_than_that_all_wait_for_it() -> None:
    async def main(world: World) -> None:
        done = anyio.Event()

        def wake() -> None:
            raise KeyError("x")
            done.set()

        world.call_at(1.0, wake)
        await done.wait()

    with pytest.raises(BackgroundError, match=r"a callback died.*KeyError: 'x'"):
        run(main, seed=1)


def test_a_task_whose_error_somebody_took_is_no_news() -> None:
    async def breaks() -> None:
        raise ValueError

    async def main(_: World) -> None:
        await asyncio.gather(breaks(), breaks(), return_exceptions=True)
        with suppress(ValueError):
            await asyncio.create_task(breaks())
        stray = asyncio.create_task(anyio.sleep_forever())
        stray.add_done_callback(lambda _: 1 / 0)

    run(main, seed=1)


@pytest.mark.parametrize(
    ("opens", "says"),
    [
        (lambda: asyncio.open_connection("a", 1), "take streams of a simulated Network"),
        (lambda: asyncio.start_server(print, "a", 1), "take streams of a simulated Network"),
        (lambda: asyncio.create_subprocess_exec("true"), "stand in for what they do"),
    ],
)
def test_what_asyncio_would_do_outside_says_what_to_do_instead(
    opens: Callable[[], Awaitable[object]], says: str
) -> None:
    async def main(_: World) -> None:
        await opens()

    with pytest.raises(NotImplementedError, match=says):
        run(main, seed=1)


def test_a_scenario_of_the_other_event_loop_is_told_which_it_needs(options: Options) -> None:
    async def main(_: World) -> None:
        if options.engine == "aio":
            await trio.sleep(1)
        else:
            await asyncio.sleep(1)

    needs = "trio" if options.engine == "aio" else "asyncio's loop"
    with pytest.raises(UnsupportedError, match=rf"test_world\.py:\d+ needs {needs}: use anyio"):
        run(main, seed=1, options=options)


THREADED = """
import types
from keygrove_chaos.running import run
library = types.ModuleType("library")
source = "import threading\\nthread = threading.Thread(target=threading.Event().wait)"
exec(source, vars(library))
async def main(world):
    exec("thread.start()", vars(library))
run(main, seed=1)
print("over", flush=True)
"""


def test_a_thread_that_a_library_started_does_not_keep_the_process_alive() -> None:
    words = [sys.executable, "-c", THREADED]
    assert subprocess.run(words, stdout=subprocess.PIPE, check=True, timeout=60).stdout == b"over\n"


@pytest.mark.parametrize(
    "options", ["aio", pytest.param("trio", marks=pytest.mark.slow)], indirect=True
)
def test_c006_a_loop_that_lets_no_time_pass_is_a_livelock(options: Options) -> None:
    async def main(_: World) -> None:
        while True:
            await anyio.lowlevel.checkpoint()

    with pytest.raises(LivelockError, match=r"stands still.*main at test_world\.py:"):
        run(main, seed=1, options=options)


def test_c006_a_loop_that_never_awaits_is_interrupted(options: Options) -> None:
    async def main(_: World) -> None:
        with suppress(Exception):  # as a server does with what it takes for a bug
            while True:
                pass

    with pytest.raises(LivelockError, match="of the processor"):
        run(main, seed=1, options=Options(engine=options.engine, cpu_s=0.1))


def test_c006_a_run_that_stands_still_in_real_time_is_interrupted(options: Options) -> None:
    here, there = socket.socketpair()

    async def main(_: World) -> None:
        with suppress(Exception):
            here.recv(1)

    with here, there, pytest.raises(LivelockError, match="real seconds"):
        run(main, seed=1, options=Options(engine=options.engine, cpu_s=0.01))


def test_nothing_is_interrupted_once_the_run_is_over(options: Options) -> None:
    class Slow(Trace):
        def last(self, count: int = 1) -> list[Event]:
            signal.raise_signal(signal.SIGALRM)
            return super().last(count)

    async def main(_: World) -> None:
        raise ValueError("by design")

    with pytest.raises(ValueError, match="by design"):
        run(main, seed=1, options=options, trace=Slow())


def test_a_failure_tells_its_seed_and_the_last_events(options: Options) -> None:
    async def main(world: World) -> None:
        world.note("before", 1)
        raise ValueError("by design")

    with pytest.raises(ValueError, match="by design") as caught:
        run(main, seed=77, options=options)
    notes = "\n".join(caught.value.__notes__)
    assert "seed 77" in notes
    assert "before 1" in notes


def test_what_a_run_leaves_behind_is_over_before_the_next(options: Options) -> None:
    ended: list[str] = []

    async def main(_: World) -> None:
        async def stray() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                ended.append("stray")

        if options.engine == "aio":
            main.__dict__["kept"] = asyncio.create_task(stray())
        else:
            trio.lowlevel.spawn_system_task(stray)
        await anyio.sleep(1)

    run(main, seed=1, options=options)
    assert ended == ["stray"]


def test_c007_nothing_is_collected_within_a_run(options: Options) -> None:
    async def main(_: World) -> bool:
        return gc.isenabled()

    assert gc.isenabled()
    assert run(main, seed=1, options=options).result is False
    assert gc.isenabled()


async def pausing(world: World) -> list[tuple[float, str]]:
    seen: list[tuple[float, str]] = []

    async def tick(name: str) -> None:
        HOST.set(name)
        for _ in range(5):
            await anyio.sleep(1)
            seen.append((world.now(), name))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tick, "a")
        tasks.start_soon(tick, "b")
        await anyio.sleep(1.5)
        world.pause("a")
        await anyio.sleep(10)
        world.resume("a")
    return seen


def test_c019_a_paused_host_stands_still_and_then_catches_up() -> None:
    seen = run(pausing, seed=1).result
    assert [at for at, name in seen if name == "b"] == [1, 2, 3, 4, 5]
    assert [at for at, name in seen if name == "a"] == [1, 11.5, 12.5, 13.5, 14.5]


def test_a_fault_that_an_engine_cannot_inject_is_refused() -> None:
    async def main(world: World) -> None:
        world.pause("a")

    with pytest.raises(UnsupportedError, match="aio"):
        run(main, seed=1, options=Options(engine="trio"))


def test_asyncio_callbacks_keep_the_order_in_which_they_were_asked_for() -> None:
    async def main(_: World) -> list[int]:
        seen: list[int] = []
        for number in range(50):
            asyncio.get_running_loop().call_soon(seen.append, number)
        await anyio.sleep(1)
        return seen

    for seed in range(5):
        assert run(main, seed=seed).result == list(range(50))


def test_c005_one_more_stream_changes_no_other() -> None:
    async def main(world: World) -> list[float]:
        return [world.stream("a").random(), world.stream("a").random()]

    async def more(world: World) -> list[float]:
        first = world.stream("a").random()
        world.stream("b").random()
        return [first, world.stream("a").random()]

    assert run(main, seed=5).result == run(more, seed=5).result
    assert run(main, seed=5).result != run(main, seed=6).result


def test_c024_the_portfolio_has_all_strategies() -> None:
    kinds = [type(order_for(Random(seed))) for seed in range(1000)]
    shares = [kinds.count(kind) / 1000 for kind in (Shuffled, Priorities, Starving, Fifo)]
    assert shares == pytest.approx([0.6, 0.2, 0.1, 0.1], abs=0.05)


@pytest.mark.parametrize("order", [Shuffled, Priorities, Starving, Fifo])
def test_c024_each_strategy_runs_a_program_to_its_end(
    order: Callable[[Random], Order], options: Options
) -> None:
    chosen = Options(engine=options.engine, order=order)
    assert run(gossip(seconds=5), seed=1, options=chosen).trace.events > 50


async def twenty_at_once(world: World) -> list[int]:
    ran: list[int] = []

    async def one(number: int) -> None:
        await anyio.sleep(1)
        ran.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(one, number)
    return ran


@pytest.mark.parametrize("order", [Shuffled, Priorities, Starving, Fifo])
def test_each_strategy_does_the_same_again_whatever_tasks_there_were_before(
    order: Callable[[Random], Order], options: Options
) -> None:
    """Seed 7000 of the nodes: on trio another task starved each time, as tasks count on."""
    options = msgspec.structs.replace(options, order=order)
    orders = [tuple(run(twenty_at_once, seed=1, options=options).result) for _ in range(3)]
    assert len(set(orders)) == 1


def test_c001_the_private_names_that_engines_use_are_there() -> None:
    core = importlib.import_module("trio._core._run")
    assert "_ALLOW_DETERMINISTIC_SCHEDULING" in vars(core)
    assert isinstance(vars(core)["_r"], Random)
    loop = asyncio.new_event_loop()
    handle = asyncio.Handle(print, (), loop)
    loop.close()
    assert all(hasattr(handle, f"_{name}") for name in ("callback", "cancelled", "run", "context"))
    assert hasattr(asyncio.BaseEventLoop, "_run_once")


def test_c001_trio_follows_the_seed_within_a_run_and_nothing_else_after_it() -> None:
    core = vars(importlib.import_module("trio._core._run"))

    def switches() -> tuple[bool, object]:
        return core["_ALLOW_DETERMINISTIC_SCHEDULING"], core["_r"]

    async def main(_: World) -> tuple[bool, object]:
        return switches()

    before = switches()
    is_sorted, random = run(main, seed=1, options=Options(engine="trio")).result
    assert is_sorted
    assert random is not before[1]
    assert switches() == before


def test_traces_that_differ_are_told_apart_by_their_checkpoints() -> None:
    def trace(odd: int | None) -> Trace:
        made = Trace(range(2 * BLOCK, 3 * BLOCK))
        for number in range(5 * BLOCK + 3):
            made.add(number / 10, ("odd" if number == odd else "even", number))
        return made

    same, other, odd = trace(None), trace(None), trace(2 * BLOCK + 500)
    assert same.digest() == other.digest() != odd.digest()
    assert first_difference(same.checkpoints, other.checkpoints) is None
    place = first_difference(same.checkpoints, odd.checkpoints)
    assert place == range(2 * BLOCK, 3 * BLOCK)
    differing = [a for a, b in zip(same.kept, odd.kept, strict=True) if a != b]
    assert differing == [(200_000_000_000 + 50_000_000_000, "even", 2500)]
    assert len(same.last(2000)) == BLOCK + 3

"""How long a restart waits, and how many there may be."""

from __future__ import annotations

from typing import Any, TypeAlias

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keygrove_actors import (
    Actor,
    AutoShutdown,
    Backoff,
    Breach,
    Budget,
    Cast,
    ChildGivenUp,
    ChildRestarting,
    ChildSpec,
    Ctx,
    Jitter,
    OnBudget,
    Reason,
    Report,
    Restart,
    Runtime,
    StartFailed,
    State,
    Strategy,
    SupSpec,
    TreeEnded,
    on_cast,
    run,
)
from keygrove_actors.chance import Chance
from keygrove_actors.pace import delay_of
from tests.unit.actors.conftest import Running


class ChildApi:
    pass


class Crashes(Cast[ChildApi], frozen=True, tag=True):
    pass


class Child(Actor[ChildApi]):
    """Writes down when it starts and stops; fails in init as often as told."""

    def __init__(self, name: str, log: list[tuple[float, str]], fails: list[str]) -> None:
        self.name, self.log, self.fails = name, log, fails

    def init(self, ctx: Ctx) -> None:
        if self.name in self.fails:
            self.fails.remove(self.name)
            self.log.append((round(ctx.now() - self.log[0][0], 2), f"x{self.name}"))
            raise OSError("no disk")
        if not self.log:
            self.log.append((ctx.now(), "begin"))
        self.log.append((round(ctx.now() - self.log[0][0], 2), f"+{self.name}"))

    def terminate(self, reason: Reason) -> None:
        now = anyio.current_time() - self.log[0][0]
        self.log.append((round(now, 2), f"-{self.name}"))

    @on_cast(Crashes)
    def crash(self, message: Crashes) -> None:
        raise ValueError("boom")


Log: TypeAlias = list[tuple[float, str]]


@pytest.fixture
def log() -> Log:
    return []


@pytest.fixture
def fails() -> list[str]:
    return []


def child(name: str, log: Log, fails: list[str], **options: Any) -> ChildSpec:
    return ChildSpec(name, lambda: Child(name, log, fails), name=name, **options)


def waits(*, first: float = 0.0, base: float = 1.0, **options: Any) -> Backoff:
    return Backoff(base=base, first=first, jitter=Jitter.NONE, **options)


def crash(runtime: Runtime, *names: str) -> None:
    for name in names:
        runtime.whereis(name, ChildApi).cast(Crashes())


def starts(log: Log, name: str) -> list[float]:
    return [at for at, what in log if what in {f"+{name}", f"x{name}"}]


@pytest.mark.anyio
async def test_a050_each_restart_waits_longer_up_to_the_cap(
    running: Running, log: Log, fails: list[str]
) -> None:
    spec = child("a", log, fails, backoff=waits(first=0.5, factor=2.0, cap=4.0))
    async with running(spec, intensity=99, period=999.0) as runtime:
        fails += ["a"] * 5
        crash(runtime, "a")
        await anyio.sleep(60.0)
    assert starts(log, "a") == pytest.approx([0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5], abs=0.1)


@pytest.mark.anyio
async def test_a050_the_first_restart_is_at_once_unless_told_otherwise(
    running: Running, log: Log, fails: list[str]
) -> None:
    async with running(child("a", log, fails, backoff=waits())) as runtime:
        crash(runtime, "a")
        await anyio.sleep(0.1)
        assert starts(log, "a") == [0.0, 0.0]


@given(
    st.sampled_from(Jitter),
    st.integers(0, 5000),
    st.floats(0.01, 100.0),
    st.floats(1.0, 10.0),
    st.integers(0, 2**64),
)
def test_a050_jitter_stays_within_its_bounds(
    jitter: Jitter, tries: int, base: float, factor: float, seed: int
) -> None:
    backoff = Backoff(base=base, first=0.0, factor=factor, cap=50.0, jitter=jitter)
    plain = Backoff(base=base, first=0.0, factor=factor, cap=50.0, jitter=Jitter.NONE)
    most = delay_of(plain, tries, Chance(0))
    assert most <= 50.0
    delay = delay_of(backoff, tries, Chance(seed))
    assert (0.0 if jitter is Jitter.FULL else most / 2) <= delay <= most
    assert delay == delay_of(backoff, tries, Chance(seed)), "the seed decides"


def test_a050_chance_is_even_and_known() -> None:
    # the first outputs of SplitMix64 for seed 1234567, as its authors' C code prints them
    chance = Chance(1234567)
    first = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [chance.uniform() for _ in first] == [(n >> 11) * 2.0**-53 for n in first]
    many = [chance.uniform() for _ in range(10_000)]
    assert 0.49 < sum(many) / len(many) < 0.51


@pytest.mark.anyio
@pytest.mark.parametrize("up_s", [4.0, 6.0])
async def test_a051_a_child_that_stayed_up_begins_anew(
    running: Running, log: Log, fails: list[str], up_s: float
) -> None:
    backoff = waits(first=0.5, base=2.0, reset_after=5.0)
    async with running(
        child("a", log, fails, backoff=backoff), intensity=9, period=99.0
    ) as runtime:
        crash(runtime, "a")
        await anyio.sleep(0.6)
        await anyio.sleep(up_s)
        before = anyio.current_time()
        crash(runtime, "a")
        await anyio.sleep(3.0)
        waited = starts(log, "a")[-1] + log[0][0] - before
        assert waited == pytest.approx(0.5 if up_s > 5.0 else 2.0, abs=0.05)


@pytest.mark.anyio
async def test_a052_a_stop_cancels_the_wait(running: Running, log: Log, fails: list[str]) -> None:
    slow = waits(first=100.0, cap=100.0)
    inner = child("a", log, fails, backoff=slow, budget=Budget(1, 1.0))
    sub = ChildSpec("sub", SupSpec(children=(inner,)))
    async with running(sub) as runtime:
        crash(runtime, "a")
        await anyio.sleep(1.0)
        assert runtime.tree().children[0].children[0].state is State.RESTARTING
        await runtime.supervisor("").terminate_child("sub")
        assert runtime.leftovers()["deadlines"] == 0
        assert anyio.current_time() - log[0][0] < 2.0
    assert starts(log, "a") == [0.0]


@pytest.mark.anyio
async def test_a052_restart_child_makes_it_immediate(
    running: Running, log: Log, fails: list[str]
) -> None:
    slow = waits(first=5.0, cap=5.0)
    spec = child("a", log, fails, backoff=slow, budget=Budget(9, 99.0))
    async with running(spec) as runtime:
        crash(runtime, "a")
        await anyio.sleep(1.0)
        await runtime.supervisor("").restart_child("a")
        await anyio.sleep(10.0)
        assert starts(log, "a") == [0.0, 1.0], "and the wait that was under way starts nothing"
        crash(runtime, "a")
        await anyio.sleep(0.5)
        fails.append("a")
        with pytest.raises(StartFailed):
            await runtime.supervisor("").restart_child("a")
        assert runtime.tree().children[0].state is State.RESTARTING, "it goes on by itself"
        await anyio.sleep(6.0)
        assert runtime.tree().children[0].state is State.UP


@pytest.mark.anyio
async def test_a053_siblings_are_handled_while_one_waits(
    running: Running, log: Log, fails: list[str]
) -> None:
    slow = child("a", log, fails, backoff=waits(first=2.0))
    async with running(slow, child("b", log, fails), intensity=9, period=99.0) as runtime:
        crash(runtime, "a")
        await anyio.sleep(0.5)
        crash(runtime, "b")
        await anyio.sleep(3.0)
    assert starts(log, "b") == [0.0, 0.5]
    assert starts(log, "a") == [0.0, 2.0]


@pytest.mark.anyio
async def test_a053_a056_a_group_is_stopped_at_once_and_starts_when_the_wait_is_over(
    running: Running, log: Log, fails: list[str], reports: list[Report]
) -> None:
    specs = [child(n, log, fails, backoff=waits(first=2.0)) for n in "abc"]
    async with running(*specs, strategy=Strategy.REST_FOR_ONE) as runtime:
        crash(runtime, "b")
        await anyio.sleep(3.0)
        assert [what for _, what in log[4:]] == ["-b", "-c", "+b", "+c"]
        assert [at for at, _ in log[4:]] == pytest.approx([0.0, 0.0, 2.0, 2.0], abs=0.05)
    assert [r.used for r in reports if isinstance(r, ChildRestarting)] == [1], "A-043"


@pytest.mark.anyio
@pytest.mark.parametrize(("first", "second"), [(1.0, 4.0), (4.0, 1.0)])
async def test_a053_a_second_failure_joins_and_the_later_due_time_counts(  # noqa: PLR0913, PLR0917 - fixtures and columns
    running: Running,
    log: Log,
    fails: list[str],
    reports: list[Report],
    first: float,
    second: float,
) -> None:
    own = Budget(9, 99.0)
    specs = (
        child("a", log, fails, backoff=waits(first=second, cap=9.0), budget=own),
        child("b", log, fails, backoff=waits(first=first, cap=9.0), budget=own),
    )
    async with running(*specs, strategy=Strategy.REST_FOR_ONE) as runtime:
        crash(runtime, "b")
        await anyio.sleep(0.5)
        crash(runtime, "a")
        await anyio.sleep(8.0)
    due = max(first, 0.5 + second)
    assert starts(log, "a") == pytest.approx([0.0, due], abs=0.05)
    assert starts(log, "b") == pytest.approx([0.0, due], abs=0.05)
    assert [r.child for r in reports if isinstance(r, ChildRestarting)] == ["a"]


@pytest.mark.anyio
async def test_a054_a_childs_own_budget_spares_the_intensity(
    running: Running, log: Log, fails: list[str], reports: list[Report]
) -> None:
    own = child("a", log, fails, budget=Budget(2, 60.0))
    async with running(own, child("b", log, fails), intensity=0) as runtime:
        for _ in range(2):
            crash(runtime, "a")
            await anyio.sleep(0.1)
        assert runtime.tree().children[0].state is State.UP
        crash(runtime, "a")
        with pytest.raises(TreeEnded):
            await runtime.wait()
    assert [r for r in reports if isinstance(r, Breach)] == [Breach("a", "a", 2, 60.0)]


@pytest.mark.anyio
@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL])
async def test_a054_a_child_given_up_stays_down_until_restarted_by_hand(
    running: Running, log: Log, fails: list[str], reports: list[Report], strategy: Strategy
) -> None:
    own = child("a", log, fails, budget=Budget(1, 60.0), on_budget=OnBudget.GIVE_UP)
    async with running(own, child("b", log, fails), strategy=strategy, intensity=5) as runtime:
        for _ in range(2):
            crash(runtime, "a")
            await anyio.sleep(0.1)
        assert [c.state for c in runtime.tree().children] == [State.FAILED, State.UP]
        assert runtime.failed() == ("a",)
        crash(runtime, "b")
        await anyio.sleep(0.1)
        assert [c.state for c in runtime.tree().children] == [State.FAILED, State.UP]
        await runtime.supervisor("").restart_child("a")
        assert runtime.failed() == ()
        for state in (State.UP, State.FAILED):
            crash(runtime, "a")
            await anyio.sleep(0.1)
            assert runtime.tree().children[0].state is state
    given_up = [r for r in reports if isinstance(r, ChildGivenUp)]
    assert given_up == [ChildGivenUp("a", "a", 1, 60.0)] * 2


@pytest.mark.anyio
async def test_a054_a_start_that_spends_the_budget_does_not_hold_up_the_group(
    running: Running, log: Log, fails: list[str]
) -> None:
    own = child("b", log, fails, budget=Budget(2, 60.0), on_budget=OnBudget.GIVE_UP)
    specs = child("a", log, fails), own, child("c", log, fails)
    async with running(*specs, strategy=Strategy.ONE_FOR_ALL, intensity=9) as runtime:
        fails += ["b"] * 3
        crash(runtime, "b")
        await anyio.sleep(0.1)
        states = [c.state for c in runtime.tree().children]
        assert states == [State.UP, State.FAILED, State.UP]


@pytest.mark.anyio
async def test_a054_a_significant_child_given_up_counts_as_ended(
    running: Running, log: Log, fails: list[str]
) -> None:
    own = child(
        "a",
        log,
        fails,
        restart=Restart.TRANSIENT,
        significant=True,
        budget=Budget(0, 60.0),
        on_budget=OnBudget.GIVE_UP,
    )
    sub = SupSpec(children=(own,), auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)
    async with running(ChildSpec("sub", sub, restart=Restart.TEMPORARY)) as runtime:
        crash(runtime, "a")
        await anyio.sleep(0.1)
        assert runtime.tree().children == ()
        assert runtime.failed() == ()


@pytest.mark.anyio
async def test_a055_what_counts_is_when_the_restart_is_tried(
    running: Running, log: Log, fails: list[str]
) -> None:
    spec = child("a", log, fails, backoff=waits(first=3.0, cap=3.0, reset_after=0.0))
    async with running(spec, intensity=1, period=5.0) as runtime:
        for _ in range(2):
            crash(runtime, "a")
            await anyio.sleep(5.5)
        assert starts(log, "a") == pytest.approx([0.0, 3.0, 8.5], abs=0.05)
        crash(runtime, "a")
        await anyio.sleep(0.1)
        assert runtime.tree().children[0].state is State.RESTARTING, "5.5 s after the one before"
        await anyio.sleep(3.0)
        assert runtime.tree().children[0].state is State.UP


@pytest.mark.anyio
async def test_a050_the_same_seed_gives_the_same_waits() -> None:
    async def play(seed: int) -> list[float]:
        log: Log = []
        fails: list[str] = []
        spec = child("a", log, fails, backoff=Backoff(base=1.0, first=1.0))
        async with run(SupSpec(children=(spec,), intensity=1, period=9.0), seed=seed) as runtime:
            crash(runtime, "a")
            await anyio.sleep(2.0)
        return starts(log, "a")

    assert await play(7) == await play(7)
    assert await play(7) != await play(8)

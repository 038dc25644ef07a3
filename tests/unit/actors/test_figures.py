"""Observing the whole runtime: snapshots, metrics, and turns that take too long."""

from __future__ import annotations

import threading
from collections.abc import Callable

import anyio
import anyio.lowlevel
import msgspec
import pytest

from keygrove_actors import (
    DEFER,
    Actor,
    CallTimeout,
    ChildSpec,
    Crash,
    Ctx,
    Defer,
    NoProc,
    Ref,
    Report,
    Restart,
    Shutdown,
    SlowTurn,
    Strategy,
    SupSpec,
    on,
    on_cast,
    run,
    sysapi,
)
from keygrove_actors.census import Meter, tree_snapshot
from keygrove_actors.watchdog import Watchdog, watchdog
from tests.processes import PATIENCE_S
from tests.unit.actors.bank import BANK, Add, Bank, BankApi, Look, Nap, Total
from tests.unit.actors.conftest import Running
from tests.unit.actors.jobs import Base, JobApi, Pick, Work, child

pytestmark = pytest.mark.anyio


async def test_a148_a149_the_snapshot_shows_what_each_actor_does(running: Running) -> None:
    class Labelled(Bank):
        def init(self, ctx: Ctx) -> None:
            super().init(ctx)
            ctx.set_label("peer 203.0.113.5" + "x" * 300)
            ctx.send_after(60.0, Add(1))

    sub = ChildSpec("sub", SupSpec(children=(ChildSpec("bank", Labelled, name="bank"),)))
    gone = ChildSpec("gone", Bank, restart=Restart.TRANSIENT)
    async with running(sub, gone) as runtime:
        ref = runtime.whereis("bank", BankApi)
        for value in range(5):
            ref.cast(Add(value))
        await ref.call(Total())
        ref.cast(Nap(10.0))
        await anyio.sleep(2.0)
        ref.cast(Add(1))
        root = await tree_snapshot(runtime)
        node = root.children[0].children[0]
        assert (node.path, node.kind, node.messages, node.mailbox) == ("sub/bank", "Labelled", 6, 1)
        assert (node.doing, node.high_water >= 5, node.timers) == ("Nap", True, 1)
        assert 1.9 < node.doing_s < 2.1
        assert node.about is not None
        assert len(node.about) == 200
        assert 500 < node.memory < 10_000
        assert node.rate > 0
        assert "Nap for 2.0 s" in root.text()
        assert msgspec.json.decode(msgspec.json.encode(root))["children"][1]["id"] == "gone"
        assert ref.label == "bank"


async def test_a148_the_snapshot_shows_calls_that_were_put_off(running: Running) -> None:
    class Slow(Base):
        @on(Pick)
        def pick(self, message: Pick) -> Defer:
            self.log.append(self.ctx.reply_to)
            return DEFER

        @on(Work)
        def work(self, message: Work) -> Defer:
            self.log.append(self.ctx.reply_to)
            return DEFER

    keeper = Slow()
    async with running(child(lambda: keeper)) as runtime, anyio.create_task_group() as tasks:
        ref = runtime.whereis("a", JobApi)
        tasks.start_soon(ref.call, Work(1.0))
        await anyio.sleep(1.0)
        tasks.start_soon(ref.call, Pick(1))
        await anyio.sleep(1.0)
        node = (await tree_snapshot(runtime)).children[0]
        assert (node.doing, node.unanswered) == ("Work", 2)
        assert 1.9 < node.doing_s < 2.1
        keeper.log[0].send(1)
        node = (await tree_snapshot(runtime)).children[0]
        assert node.work() == "Pick for 1.0 s"
        keeper.log[1].send(1)
        node = (await tree_snapshot(runtime)).children[0]
        assert (node.doing, node.unanswered, node.work()) == (None, 0, "")


@pytest.mark.slow
async def test_a148_a_large_tree_is_read_in_slices(running: Running) -> None:
    turns: list[int] = []

    async def count() -> None:
        while True:
            turns.append(0)
            await anyio.lowlevel.checkpoint()

    children = tuple(ChildSpec(str(i), Bank) for i in range(10_000))
    async with running(*children) as runtime, anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        root = await tree_snapshot(runtime)
        assert len(root.children) == 10_000
        tasks.cancel_scope.cancel()
    assert len(turns) >= 9, "one for each thousand"


async def samples_of(meter: Meter) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {(m.name.removeprefix("keygrove_"), m.labels): m.value for m in await meter.collect()}


async def test_a154_metrics_come_from_plain_integers(running: Running) -> None:
    async with running(BANK) as runtime:
        meter = Meter()
        meter.attach(runtime)
        ref: Ref[BankApi] = runtime.whereis("bank", BankApi)
        for value in range(5):
            ref.cast(Add(value))
        await ref.call(Total(), wait_up=1.0) if await _drained(ref) else None
        samples = await samples_of(meter)
        mine = (("class", "Bank"), ("child", "bank"))
        assert samples["actor_up", mine] == 1
        assert samples["actor_messages_total", mine] == 4
        assert samples["actor_mailbox_dropped_total", (("policy", "reject"),)] == 2
        assert samples["actor_mailbox_dropped_total", (("policy", "drop_oldest"),)] == 0
        assert samples["actor_dead_letters_total", (("cause", "overflow"),)] == 2


async def test_a154_restarts_have_reasons_and_messages_outlive_them() -> None:
    meter = Meter()
    bank = ChildSpec("bank", Bank, name="bank")
    async with run(SupSpec(children=(bank,), intensity=9), observe=meter.observe) as runtime:
        meter.attach(runtime)
        ref = runtime.whereis("bank", BankApi)
        for end in (Crash("Test", ""), Shutdown()):
            assert await ref.call(Total()) == 0
            ref.exit(end)
            await anyio.sleep(0.1)
        samples = await samples_of(meter)
        mine = (("class", "Bank"), ("child", "bank"))
        assert samples["actor_restarts_total", (*mine, ("reason", "Crash"))] == 1
        assert samples["actor_restarts_total", (*mine, ("reason", "Shutdown"))] == 1
        assert samples["actor_messages_total", mine] == 2
        assert samples["actor_given_up_total", mine] == 0


async def test_a154_dynamic_children_are_added_up_under_their_template() -> None:
    meter = Meter()
    peers = SupSpec(strategy=Strategy.DYNAMIC, template=ChildSpec("peer", Bank))
    async with run(peers) as runtime:
        meter.attach(runtime)
        supervisor = runtime.supervisor("", BankApi)
        refs = [await supervisor.spawn() for _ in range(3)]
        for ref in refs:
            await ref.call(Total())
        before = {labels for _, labels in await samples_of(meter)}
        await supervisor.terminate_child(refs[0])
        samples = await samples_of(meter)
        mine = (("class", "Bank"), ("child", "peer"))
        assert (samples["actor_up", mine], samples["actor_messages_total", mine]) == (2, 3)
        assert {labels for _, labels in samples} == before
        assert not any("peer-" in value for labels in before for _, value in labels)
        for ref in refs[1:]:
            await supervisor.terminate_child(ref)
        samples = await samples_of(meter)
        assert samples["actor_messages_total", mine] == 3
        assert ("actor_up", mine) not in samples, "those that ended in order are not missed"


async def test_a154_failed_calls_are_counted_by_what_the_caller_got(running: Running) -> None:
    async with running(BANK) as runtime:
        meter = Meter()
        meter.attach(runtime)
        ref = runtime.whereis("bank", BankApi)
        ref.cast(Nap(0.2))
        with pytest.raises(CallTimeout):
            await ref.call(Total(), timeout=0.05)
        ref.exit(Shutdown())
        await anyio.sleep(0.3)
        with pytest.raises(NoProc):
            await ref.call(Total())
        samples = await samples_of(meter)
        assert samples["actor_call_errors_total", (("kind", "CallTimeout"),)] == 1
        assert samples["actor_call_errors_total", (("kind", "NoProc"),)] == 1


async def test_a154_turns_are_timed_while_statistics_are_on(running: Running) -> None:
    async with running(BANK) as runtime:
        meter = Meter()
        meter.attach(runtime)
        ref = runtime.whereis("bank", BankApi)
        key = ("actor_turn_seconds_count", (("class", "Bank"), ("child", "bank")))
        await ref.call(Total())
        assert key not in await samples_of(meter)
        await sysapi.count_statistics(ref, on=True)
        await ref.call(Total())
        assert (await samples_of(meter))[key] == 1


async def test_a154_the_loop_is_looked_at_twice_a_second_until_its_runtime_ends(
    running: Running,
) -> None:
    async with running(BANK) as runtime:
        meter = Meter()
        meter.attach(runtime)
        await anyio.sleep(1.1)
        samples = await samples_of(meter)
        assert samples["loop_lag_seconds_count", ()] == 2
        assert samples["loop_lag_seconds_bucket", (("le", "+Inf"),)] == 2
        assert 0 <= samples["loop_lag_seconds_sum", ()] < 1
    assert runtime.leftovers()["deadlines"] == 0


async def _drained(ref: Ref[BankApi]) -> bool:
    await anyio.sleep(0.1)
    return ref.alive()


async def test_a119_a_turn_that_holds_up_the_loop_is_named(
    running: Running, reports: list[Report]
) -> None:
    dogs: list[Watchdog] = []
    seen: list[SlowTurn | None] = []

    class Slow(Bank):
        @on_cast(Look)
        def look(self, message: Look) -> None:
            seen.extend(dogs[0].look(now) for now in (1.0, 1.05, 1.2, 1.3))

    async with running(ChildSpec("bank", Slow, name="bank")) as runtime:
        dogs.append(Watchdog(runtime.hub))
        runtime.whereis("bank", BankApi).cast(Look())
        await anyio.sleep(0.1)
        assert dogs[0].look(2.0) is None, "the loop showed life in between"
    (slow,) = [s for s in seen if s is not None]
    assert (slow.path, slow.message) == ("bank", "Look")
    assert "in look" in slow.stack
    assert [r for r in reports if isinstance(r, SlowTurn)] == [slow]


class Steps(Actor[BankApi]):
    """Has the loop looked at wherever a program's code runs for an actor."""

    def __init__(self, looked: Callable[[str], None]) -> None:
        self.looked = looked
        looked("init")

    async def init(self, ctx: Ctx) -> None:
        self.ctx = ctx
        self.looked("init")
        await anyio.lowlevel.checkpoint()
        self.looked("init")

    @on_cast(Look)
    async def look(self, message: Look) -> None:
        await anyio.lowlevel.checkpoint()
        self.looked("Look")
        self.ctx.start_soon(self.in_task, "Steps.in_task")
        self.ctx.start_soon(self.in_task, "Steps.in_task", isolated=True)
        await self.ctx.tasks.run(self.in_task, "Steps.in_task")

    @on(Total)
    def total(self, message: Total) -> int:
        self.looked("Total")
        return 0

    async def in_task(self, what: str) -> None:
        await anyio.lowlevel.checkpoint()
        self.looked(what)

    async def terminate(self, reason: object) -> None:
        self.looked("terminate")
        await anyio.lowlevel.checkpoint()
        self.looked("terminate")


class Plainly(Bank):
    """The same in plain functions."""

    def __init__(self, looked: Callable[[str], None]) -> None:
        super().__init__()
        self.looked = looked

    def init(self, ctx: Ctx) -> None:
        super().init(ctx)
        self.looked("init")

    @on_cast(Look)
    def look(self, message: Look) -> None:
        self.looked("Look")

    @on(Total)
    def total(self, message: Total) -> int:
        self.looked("Total")
        return 0

    def terminate(self, reason: object) -> None:
        self.looked("terminate")


@pytest.mark.parametrize(("kind", "looks"), [(Steps, 10), (Plainly, 4)])
async def test_a119_whatever_an_actor_is_at_is_named(
    running: Running, kind: Callable[[Callable[[str], None]], Actor[BankApi]], looks: int
) -> None:
    named: list[tuple[str, tuple[str, str]]] = []

    def looked(what: str) -> None:
        dog = Watchdog(runtime.hub)
        dog.look(0.0)
        slow = dog.look(1.0)
        assert slow is not None
        named.append((what, (slow.path, slow.message)))

    sub = ChildSpec("sub", SupSpec())
    async with running(sub) as runtime:
        sup = runtime.supervisor("sub", BankApi)
        ref = await sup.start_child(ChildSpec("bank", lambda: kind(looked)))
        ref.cast(Look())
        await anyio.sleep(0.1)
        await ref.call(Total())
    assert [found for _, found in named] == [("sub/bank", what) for what, _ in named]
    assert len(named) == looks


async def test_a119_what_is_no_actor_s_doing_is_named_nothing(running: Running) -> None:
    async with running(BANK) as runtime:
        dog = Watchdog(runtime.hub)
        dog.look(1.0)
        slow = dog.look(2.0)
    assert slow is not None
    assert (slow.path, slow.message) == ("", "")
    assert "in test_a119" in slow.stack


async def test_a119_the_watch_outlives_whom_it_tells(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooked: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", hooked.append)
    told: list[SlowTurn] = []

    def tell(slow: SlowTurn) -> None:
        told.append(slow)
        raise OSError("the log is gone")

    class Slow(Bank):
        @on_cast(Look)
        def look(self, message: Look) -> None:
            before = len(told)
            for _ in range(50_000_000):
                if len(told) > before:
                    break

    async with running(ChildSpec("bank", Slow, name="bank")) as runtime:
        with watchdog(runtime, 0.02, tell):
            for _ in range(3):
                before = len(told)
                runtime.whereis("bank", BankApi).cast(Look())
                await anyio.sleep(0.1)
                assert len(told) > before
    assert [(hook.exc_type, str(hook.exc_value)) for hook in hooked] == [
        (OSError, "the log is gone")
    ]


async def test_a119_the_watchdog_runs_in_a_thread(running: Running) -> None:
    told: list[SlowTurn] = []

    class Slow(Bank):
        @on_cast(Look)
        def look(self, message: Look) -> None:
            before = len(told)
            for _ in range(5_000_000):
                if len(told) > before:
                    break

    async with running(ChildSpec("bank", Slow, name="bank")) as runtime:
        with watchdog(runtime, 0.02, told.append), anyio.fail_after(PATIENCE_S):
            # The machine itself may stall before a turn: that is told instead, and once.
            while not any(slow.path == "bank" for slow in told):
                runtime.whereis("bank", BankApi).cast(Look())
                await anyio.sleep(0.1)

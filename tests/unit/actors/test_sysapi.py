"""What an operator may see of a running actor, and do to it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Self, TypeAlias

import anyio
import msgspec
import pytest

from keygrove_actors import (
    Actor,
    Call,
    CallingSelf,
    CallTimeout,
    Cast,
    Cause,
    ChildSpec,
    Crash,
    Ctx,
    DeadLetter,
    MailboxSpec,
    NoProc,
    NotSuspended,
    Ref,
    Report,
    Restart,
    Runtime,
    Secret,
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
from keygrove_actors.watch import Direction, TraceEvent
from keygrove_actors.watchdog import Watchdog, watchdog

Running: TypeAlias = Callable[..., AbstractAsyncContextManager[Runtime]]
pytestmark = pytest.mark.anyio


class BankApi:
    pass


class Add(Cast[BankApi], frozen=True, tag=True):
    value: int


class Total(Call[BankApi, int], frozen=True, tag=True):
    pass


class Nap(Cast[BankApi], frozen=True, tag=True):
    seconds: float


class Look(Cast[BankApi], frozen=True, tag=True):
    pass


class AskSelf(Call[BankApi, str], frozen=True, tag=True):
    pass


class Vault(msgspec.Struct, frozen=True):
    total: int = 0
    pin: Secret[str] = "1234"


class Bank(Actor[BankApi]):
    def __init__(self) -> None:
        self.state = Vault()

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on_cast(Add)
    def add(self, message: Add) -> None:
        self.state = msgspec.structs.replace(self.state, total=self.state.total + message.value)

    @on(Total)
    def total(self, message: Total) -> int:
        return self.state.total

    @on_cast(Nap)
    async def nap(self, message: Nap) -> None:
        await anyio.sleep(message.seconds)

    @on(AskSelf)
    async def ask_self(self, message: AskSelf) -> str:
        try:
            await sysapi.get_state(self.ctx.self_ref)
        except CallingSelf as error:
            return str(error)
        return ""


class NewBank(Bank):
    version = 2

    def __init__(self, state: Vault) -> None:
        self.state = state

    @classmethod
    def upgrade(cls, state: Any, version: int, extra: Any) -> Self:
        if extra == "fail":
            raise ValueError("cannot convert")
        assert version == 0
        return cls(msgspec.structs.replace(state, total=state.total * 100))

    @on(Total)
    def total(self, message: Total) -> int:
        return self.state.total + 1


BANK = ChildSpec("bank", Bank, name="bank", restart=Restart.TEMPORARY, mailbox=MailboxSpec(3))


async def test_a140_a_suspended_actor_queues_and_goes_on_in_order(running: Running) -> None:
    async with running(BANK) as runtime, anyio.create_task_group() as tasks:
        ref = runtime.whereis("bank", BankApi)
        await sysapi.suspend(ref)
        await sysapi.suspend(ref)
        for value in (1, 2, 3):
            ref.cast(Add(value))
        ref.cast(Add(99))
        await anyio.sleep(1.0)
        assert (await sysapi.get_state(ref))["total"] == 0
        assert (await tree_snapshot(runtime)).children[0].is_suspended
        await sysapi.resume(ref)
        await sysapi.resume(ref)
        tasks.start_soon(anyio.sleep, 0)
        assert await ref.call(Total()) == 6, "the fourth found the mailbox full"


async def test_a140_timers_fire_and_signals_work_while_suspended(running: Running) -> None:
    class Timed(Bank):
        def init(self, ctx: Ctx) -> None:
            super().init(ctx)
            ctx.send_after(0.5, Add(5))

    async with running(ChildSpec("bank", Timed, name="bank"), intensity=5) as runtime:
        ref = runtime.whereis("bank", BankApi)
        await sysapi.suspend(ref)
        await anyio.sleep(1.0)
        await sysapi.resume(ref)
        assert await ref.call(Total()) == 5
        await sysapi.suspend(ref)
        ref.kill()
        await anyio.sleep(0.1)
        assert runtime.tree().children[0].incarnation == 2
        assert await ref.call(Total()) == 0


async def test_a140_a143_suspending_waits_until_the_handler_ended(running: Running) -> None:
    async with running(BANK) as runtime:
        ref = runtime.whereis("bank", BankApi)
        ref.cast(Nap(1.0))
        await anyio.sleep(0.1)
        start = anyio.current_time()
        ref.cast(Add(1))
        await sysapi.suspend(ref)
        assert anyio.current_time() - start > 0.8
        assert (await sysapi.get_state(ref))["total"] == 0
        with pytest.raises(CallTimeout):
            await ref.call(Total(), timeout=0.5)
        await sysapi.resume(ref)
        assert await ref.call(Total()) == 1


async def test_a117_a_request_of_the_runtime_passes_a_full_mailbox(running: Running) -> None:
    async with running(BANK) as runtime:
        ref = runtime.whereis("bank", BankApi)
        ref.cast(Nap(1.0))
        await anyio.sleep(0.1)
        for value in (1, 2, 3):
            ref.cast(Add(value))
        seen: list[Any] = []

        async def look(what: str) -> None:
            seen.append((await sysapi.get_state(ref))["total"])

        async with anyio.create_task_group() as tasks:
            for what in "ab":
                tasks.start_soon(look, what)
        assert seen == [0, 0], "before the three that waited"


async def test_a147_a_request_times_out_while_a_handler_runs(running: Running) -> None:
    async with running(BANK) as runtime:
        ref = runtime.whereis("bank", BankApi)
        ref.cast(Nap(60.0))
        await anyio.sleep(0.1)
        start = anyio.current_time()
        with pytest.raises(CallTimeout):
            await sysapi.get_state(ref)
        assert 5.0 <= anyio.current_time() - start < 5.1
        ref.kill()
        await anyio.sleep(0.1)
        with pytest.raises(NoProc):
            await sysapi.get_state(ref)


async def test_a141_secrets_are_masked(running: Running) -> None:
    class Login(Actor[BankApi]):
        token: Secret[str]

        def __init__(self) -> None:
            self.token = "abc"  # noqa: S105 - it is one, for the test
            self.user = "u"
            self.vault = Vault()
            self.rude = Rude()

    class Rude:
        def __repr__(self) -> str:
            raise ValueError("no")

    async with running(BANK, ChildSpec("login", Login, name="login")) as runtime:
        assert await sysapi.get_state(runtime.whereis("bank", BankApi)) == {
            "total": 0,
            "pin": "***",
        }
        assert await sysapi.get_state(runtime.whereis("login", BankApi)) == {
            "token": "***",
            "user": "u",
            "vault": {"total": 0, "pin": "***"},
            "rude": "<Rude>",
        }


async def test_a142_a_failing_change_leaves_the_state(running: Running) -> None:
    async with running(BANK) as runtime:
        ref = runtime.whereis("bank", BankApi)
        await sysapi.replace_state(ref, lambda old: msgspec.structs.replace(old, total=7))
        with pytest.raises(ZeroDivisionError):
            await sysapi.replace_state(ref, lambda _: 1 // 0)
        with pytest.raises(TypeError, match="a struct or a dict"):
            await sysapi.replace_state(ref, lambda _: 3)
        assert await ref.call(Total()) == 7
        assert await ref.call(AskSelf()) != ""


async def test_a142_attributes_can_be_replaced_too(running: Running) -> None:
    class Plain(Bank):
        def __init__(self) -> None:
            self.n = 1

        @on(Total)
        def total(self, message: Total) -> int:
            return self.n

    async with running(ChildSpec("bank", Plain, name="bank")) as runtime:
        ref = runtime.whereis("bank", BankApi)
        await sysapi.replace_state(ref, lambda old: {**old, "n": 5})
        assert await ref.call(Total()) == 5


async def test_a143_code_is_changed_only_while_suspended(running: Running) -> None:
    async with running(BANK) as runtime:
        ref = runtime.whereis("bank", BankApi)
        ref.cast(Add(3))
        with pytest.raises(NotSuspended):
            await sysapi.change_code(ref, NewBank)
        await sysapi.suspend(ref)
        with pytest.raises(ValueError, match="cannot convert"):
            await sysapi.change_code(ref, NewBank, "fail")
        ref.cast(Add(1))
        await sysapi.change_code(ref, NewBank)
        await sysapi.resume(ref)
        assert await ref.call(Total()) == 302


async def test_a143_the_default_upgrade_takes_the_state_as_it_is(running: Running) -> None:
    class Louder(Bank):
        @on(Total)
        def total(self, message: Total) -> int:
            return self.state.total * 2

    async with running(BANK) as runtime:
        ref = runtime.whereis("bank", BankApi)
        ref.cast(Add(3))
        await ref.call(Total())
        await sysapi.suspend(ref)
        await sysapi.change_code(ref, Louder)
        await sysapi.resume(ref)
        assert await ref.call(Total()) == 6


async def test_a145_statistics_count_by_message_type(running: Running) -> None:
    class Echo(Bank):
        @on_cast(Look)
        def look(self, message: Look) -> None:
            self.ctx.self_ref.cast(Add(1))

    async with running(ChildSpec("bank", Echo, name="bank")) as runtime:
        ref = runtime.whereis("bank", BankApi)
        assert await sysapi.statistics(ref) is None
        await sysapi.count_statistics(ref, on=True)
        for _ in range(3):
            ref.cast(Look())
        assert await ref.call(Total()) in range(4)
        await anyio.sleep(0.1)
        found = await sysapi.statistics(ref)
        assert found is not None
        assert (found.messages_in, found.messages_out) == (7, 3)
        assert {k: f.count for k, f in found.kinds.items()} == {"Look": 3, "Total": 1, "Add": 3}
        node = (await tree_snapshot(runtime)).children[0]
        assert node.busy is not None
        await sysapi.count_statistics(ref, on=False)
        assert await sysapi.statistics(ref) is None
        assert runtime.leftovers()["taps"] == 0


async def test_a146_trace_and_log_see_every_event(running: Running) -> None:
    class Echo(Bank):
        @on_cast(Look)
        async def look(self, message: Look) -> None:
            await self.ctx.whereis("other", BankApi).call(Total())
            self.ctx.send_after(0.5, Add(1))

    events: list[TraceEvent] = []
    other = ChildSpec("other", Bank, name="other")
    async with running(ChildSpec("bank", Echo, name="bank"), other) as runtime:
        ref = runtime.whereis("bank", BankApi)
        await sysapi.trace(ref, events.append)
        await sysapi.keep_log(ref, 2)
        ref.cast(Look())
        await anyio.sleep(0.1)
        await ref.call(Total())
        await anyio.sleep(1.0)
        assert [(e.what, e.about, e.target) for e in events] == [
            (Direction.IN, "Look", None),
            (Direction.OUT, "Total", "other"),
            (Direction.IN, "Total", None),
            (Direction.REPLY, "Total", None),
            (Direction.TIMER, "Add", None),
            (Direction.IN, "Add", None),
        ]
        assert [e.what for e in await sysapi.log(ref)] == [Direction.TIMER, Direction.IN]
        await sysapi.trace(ref, None)
        await sysapi.keep_log(ref, 0)
        await ref.call(Total())
        assert len(events) == 6
        assert await sysapi.log(ref) == ()


async def test_a146_a_sink_that_raises_is_not_told_again(running: Running) -> None:
    def sink(event: TraceEvent) -> None:
        told.append(event)
        raise RuntimeError("full")

    told: list[TraceEvent] = []
    async with running(BANK) as runtime:
        ref = runtime.whereis("bank", BankApi)
        await sysapi.trace(ref, sink)
        for _ in range(3):
            await ref.call(Total())
    assert len(told) == 1


async def test_a146_a_filter_takes_messages_away_until_it_raises(
    running: Running, reports: list[Report]
) -> None:
    def keep(message: Any) -> bool:
        if isinstance(message, Look):
            raise KeyError("what is this")
        return not (isinstance(message, Add) and message.value > 1)

    async with running(BANK) as runtime:
        ref = runtime.whereis("bank", BankApi)
        await sysapi.install(ref, keep)
        ref.cast(Add(1))
        ref.cast(Add(2))
        assert await ref.call(Total()) == 1
        await sysapi.install(ref, lambda m: not isinstance(m, Total))
        with pytest.raises(CallTimeout):
            await ref.call(Total(), timeout=0.5)
        ref.cast(Look())
        ref.cast(Add(2))
        await anyio.sleep(0.1)
        assert (await sysapi.get_state(ref))["total"] == 3
    letters = [
        r.message for r in reports if isinstance(r, DeadLetter) and r.cause is Cause.FILTERED
    ]
    assert letters == ["Add", "Total"]


async def test_a146_a_filter_can_be_removed(running: Running) -> None:
    def nothing(message: Any) -> bool:
        return False

    async with running(BANK) as runtime:
        ref = runtime.whereis("bank", BankApi)
        await sysapi.install(ref, nothing)
        ref.cast(Add(1))
        await anyio.sleep(0.1)
        await sysapi.remove(ref, nothing)
        assert await ref.call(Total()) == 0
        assert runtime.leftovers()["taps"] == 0


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


async def test_a148_a_large_tree_is_read_in_slices(running: Running) -> None:
    turns: list[int] = []

    async def count() -> None:
        while True:
            turns.append(0)
            await anyio.lowlevel.checkpoint()

    children = tuple(ChildSpec(str(i), Bank) for i in range(2500))
    async with running(*children) as runtime, anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        root = await tree_snapshot(runtime)
        assert len(root.children) == 2500
        tasks.cancel_scope.cancel()
    assert len(turns) >= 1


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


async def test_a119_the_watchdog_runs_in_a_thread(running: Running) -> None:
    told: list[SlowTurn] = []

    class Slow(Bank):
        @on_cast(Look)
        def look(self, message: Look) -> None:
            told.clear()  # the machine itself may have stalled before
            for _ in range(50_000_000):
                if told:
                    break

    async with running(ChildSpec("bank", Slow, name="bank")) as runtime:
        with watchdog(runtime, 0.02, told.append):
            runtime.whereis("bank", BankApi).cast(Look())
            await anyio.sleep(0.1)
            assert [slow.path for slow in told] == ["bank"]

"""Waiting for room, lanes, fairness by time, and dead letters at a bounded rate."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import anyio
import pytest

from keygrove_actors import (
    Actor,
    Call,
    CallCycle,
    CalleeExit,
    CallTimeout,
    Cast,
    Cause,
    ChildSpec,
    Ctx,
    DeadLetter,
    DeadLetters,
    MailboxFull,
    MailboxSpec,
    NoProc,
    Overflow,
    Ref,
    Report,
    Restart,
    SupSpec,
    on,
    on_cast,
    run,
)
from keygrove_actors.testkit import VirtualLoop
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


class TillApi:
    pass


class Put(Cast[TillApi], frozen=True, tag=True):
    value: int


class Urgent(Cast[TillApi], frozen=True, tag=True):
    lane: ClassVar = "high"
    value: int


class UrgentRead(Call[TillApi, int], frozen=True, tag=True):
    lane: ClassVar = "high"


class Nap(Cast[TillApi], frozen=True, tag=True):
    seconds: float


class Read(Call[TillApi, tuple[int, ...]], frozen=True, tag=True):
    pass


class SendTo(Call[TillApi, str], frozen=True, tag=True):
    """Makes the receiver wait for room at `name`."""

    name: str


class CallTo(Call[TillApi, str], frozen=True, tag=True):
    name: str


class Spin(Cast[TillApi], frozen=True, tag=True):
    seconds: float


class Tick(Cast[TillApi], frozen=True, tag=True):
    pass


class Till(Actor[TillApi]):
    def __init__(self) -> None:
        self.values: list[int] = []

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on_cast(Put)
    def put(self, message: Put) -> None:
        self.values.append(message.value)

    @on_cast(Nap)
    async def nap(self, message: Nap) -> None:
        await anyio.sleep(message.seconds)

    @on(Read)
    def read(self, message: Read) -> tuple[int, ...]:
        return tuple(self.values)

    @on(SendTo)
    async def send_to(self, message: SendTo) -> str:
        ref = self.ctx.whereis(message.name, TillApi)
        try:
            for value in range(3):
                await ref.send(Put(value))
        except (MailboxFull, CallCycle) as error:
            return type(error).__name__
        return "sent"

    @on(CallTo)
    async def call_to(self, message: CallTo) -> str:
        return await self.ctx.whereis(message.name, TillApi).call(SendTo("a"), timeout=50.0)

    @on_cast(Spin)
    def spin(self, message: Spin) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.jump(message.seconds)

    @on_cast(Tick)
    def tick(self, message: Tick) -> None: ...


class Express(Till):
    @on_cast(Urgent)
    def urgent(self, message: Urgent) -> None:
        self.values.append(message.value)

    @on(UrgentRead)
    def urgent_read(self, message: UrgentRead) -> int:
        return len(self.values)


def till(name: str, limit: int = 2, overflow: Overflow = Overflow.BLOCK) -> ChildSpec:
    return ChildSpec(
        name, Till, name=name, mailbox=MailboxSpec(limit, overflow), restart=Restart.TEMPORARY
    )


async def test_a163_waiting_senders_are_served_first_come_first_served(running: Running) -> None:
    async def send(ref: Ref[TillApi], value: int) -> None:
        await ref.send(Put(value))
        sent.append(value)

    sent: list[int] = []
    async with running(till("a")) as runtime, anyio.create_task_group() as tasks:
        ref = runtime.whereis("a", TillApi)
        ref.cast(Nap(1.0))
        await anyio.sleep(0.1)
        for value in range(6):
            await send(ref, value) if value < 2 else tasks.start_soon(send, ref, value)
            await anyio.sleep(0.01)
        assert sent == [0, 1]
        await anyio.sleep(2.0)
        assert sorted(sent) == list(range(6))
        assert await ref.call(Read()) == tuple(range(6))


async def test_a163_a_cancelled_sender_leaves_the_line(running: Running) -> None:
    async with running(till("a")) as runtime:
        ref = runtime.whereis("a", TillApi)
        ref.cast(Nap(1.0))
        await anyio.sleep(0.1)
        for value in (1, 2):
            await ref.send(Put(value))
        with anyio.move_on_after(0.1):
            await ref.send(Put(3))
        await anyio.sleep(2.0)
        assert await ref.call(Read()) == (1, 2)


async def test_a163_the_end_of_the_receiver_wakes_all(
    running: Running, reports: list[Report]
) -> None:
    async def send(ref: Ref[TillApi]) -> None:
        with pytest.raises(NoProc):
            await ref.send(Put(3))
        woken.append("send")

    async def ask(ref: Ref[TillApi]) -> None:
        with pytest.raises(NoProc):
            await ref.call(Read())
        woken.append("call")

    woken: list[str] = []
    async with running(till("a")) as runtime, anyio.create_task_group() as tasks:
        ref = runtime.whereis("a", TillApi)
        ref.cast(Nap(60.0))
        await anyio.sleep(0.1)
        for value in (1, 2):
            await ref.send(Put(value))
        tasks.start_soon(send, ref)
        tasks.start_soon(ask, ref)
        await anyio.sleep(0.1)
        ref.kill()
    assert sorted(woken) == ["call", "send"]
    assert [r.cause for r in reports if isinstance(r, DeadLetter)] == [Cause.DIED] * 3


async def test_a161_a_call_waits_for_room_within_its_deadline(running: Running) -> None:
    async with running(till("a")) as runtime:
        ref = runtime.whereis("a", TillApi)
        ref.cast(Nap(2.0))
        await anyio.sleep(0.1)
        for value in (1, 2):
            await ref.send(Put(value))
        with pytest.raises(CallTimeout):
            await ref.call(Read(), timeout=1.0)
        assert await ref.call(Read()) == (1, 2)


async def test_a161_a_cast_cannot_wait(running: Running) -> None:
    async with running(till("a")) as runtime:
        ref = runtime.whereis("a", TillApi)
        ref.cast(Nap(1.0))
        await anyio.sleep(0.1)
        for value in (1, 2):
            await ref.send(Put(value))
        with pytest.raises(MailboxFull):
            ref.cast(Put(3), strict=True)


async def test_send_without_the_block_policy_is_a_strict_cast(running: Running) -> None:
    async with running(till("a", 1, Overflow.REJECT)) as runtime:
        ref = runtime.whereis("a", TillApi)
        ref.cast(Put(1))
        with pytest.raises(MailboxFull):
            await ref.send(Put(2))


async def test_a164_waiting_for_room_at_oneself_is_refused(running: Running) -> None:
    async with running(till("a", 1)) as runtime:
        ref = runtime.whereis("a", TillApi)
        assert await ref.call(SendTo("a")) == "MailboxFull"


async def test_a164_waiting_for_room_at_a_waiting_ancestor_is_refused(running: Running) -> None:
    async with running(till("a", 1), till("b")) as runtime:
        assert await runtime.whereis("a", TillApi).call(CallTo("b")) == "CallCycle"


async def test_a166_sixteen_high_messages_then_a_normal_one(running: Running) -> None:
    async with running(ChildSpec("x", Express, name="x")) as runtime:
        ref = runtime.whereis("x", TillApi)
        for value in range(20):
            ref.cast(Put(-value))
            ref.cast(Urgent(value + 1))
        await anyio.sleep(0.1)
        values = await ref.call(Read())
        assert values[:18] == (*range(1, 17), 0, 17)
        assert sorted(values) == sorted([*range(1, 21), *(-v for v in range(20))])
        for value in range(20):
            ref.cast(Put(value))
        assert await ref.call(UrgentRead()) == 40, "an urgent call overtakes"


async def test_a166_a_full_mailbox_with_lanes_drops_the_oldest(running: Running) -> None:
    mailbox = MailboxSpec(4, Overflow.DROP_OLDEST)
    async with running(ChildSpec("x", Express, name="x", mailbox=mailbox)) as runtime:
        ref = runtime.whereis("x", TillApi)
        for value in range(3):
            ref.cast(Put(value))
            ref.cast(Urgent(10 + value))
        await anyio.sleep(0.1)
        assert await ref.call(Read()) == (12, 0, 1, 2)


async def test_a151_dead_letters_are_reported_at_a_bounded_rate(
    running: Running, reports: list[Report]
) -> None:
    async with running(till("a")) as runtime:
        nobody = runtime.whereis("nobody", TillApi)
        for _ in range(25):
            nobody.cast(Put(1))
        await anyio.sleep(2.0)
        nobody.cast(Put(1))
        assert runtime.counters.dead_letters == 26
    letters = [r for r in reports if isinstance(r, DeadLetter)]
    summaries = [(r.target, r.count) for r in reports if isinstance(r, DeadLetters)]
    assert len(letters) == 11
    assert summaries == [("nobody", 15)]


async def test_a125_timer_mail_to_a_full_mailbox_is_counted(
    running: Running, reports: list[Report]
) -> None:
    class Timed(Till):
        def init(self, ctx: Ctx) -> None:
            super().init(ctx)
            ctx.send_after(0.5, Tick())

    spec = ChildSpec("a", Timed, name="a", mailbox=MailboxSpec(1))
    async with running(spec) as runtime:
        ref = runtime.whereis("a", TillApi)
        ref.cast(Nap(1.0))
        await anyio.sleep(0.1)
        ref.cast(Put(1))
        await anyio.sleep(2.0)
        assert runtime.counters.timers_dropped == 1
    assert [r.message for r in reports if isinstance(r, DeadLetter)] == ["Tick"]


def test_a118_a_turn_ends_after_two_milliseconds() -> None:
    async def main() -> None:
        spec = SupSpec(children=(till("a", 1000), till("b", 1000)))
        async with run(spec) as runtime:
            a, b = runtime.whereis("a", TillApi), runtime.whereis("b", TillApi)
            for _ in range(100):
                a.cast(Spin(0.001))
            b.cast(Put(1))
            start = asyncio.get_running_loop().time()
            while not await b.call(Read()):
                pass
            assert asyncio.get_running_loop().time() - start < 0.010

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


async def test_calls_that_wait_in_line_at_a_crash_have_an_outcome(running: Running) -> None:
    async with running(till("a", 1)) as runtime, anyio.create_task_group() as tasks:
        ref = runtime.whereis("a", TillApi)
        ref.cast(Nap(60.0))
        await anyio.sleep(0.1)

        async def ask() -> None:
            with pytest.raises((CalleeExit, NoProc)):
                await ref.call(Read(), timeout=None)

        for _ in range(3):
            tasks.start_soon(ask)
        await anyio.sleep(0.1)
        ref.kill()

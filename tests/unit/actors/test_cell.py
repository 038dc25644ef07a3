"""Mailbox limits, order, turns, and signals that overtake mail."""

from __future__ import annotations

import contextvars

import anyio
import anyio.lowlevel
import pytest

from keygrove_actors import (
    Actor,
    Call,
    CalleeExit,
    Cast,
    Cause,
    ChildSpec,
    ChildTerminated,
    Crash,
    Ctx,
    DeadLetter,
    Killed,
    MailboxFull,
    MailboxSpec,
    Normal,
    Overflow,
    Reason,
    Ref,
    Report,
    Restart,
    on,
    on_cast,
)
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


class LogApi:
    pass


class Add(Cast[LogApi], frozen=True, tag=True):
    value: int


class Nap(Cast[LogApi], frozen=True, tag=True):
    seconds: float


class AddSlowly(Cast[LogApi], frozen=True, tag=True):
    value: int


class AddAtOnce(Cast[LogApi], frozen=True, tag=True):
    """Handled by a coroutine function that does not wait."""

    value: int


class Read(Call[LogApi, tuple[int, ...]], frozen=True, tag=True):
    pass


class EndYourself(Cast[LogApi], frozen=True, tag=True):
    pass


class Quit(Cast[LogApi], frozen=True, tag=True):
    pass


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Log(Actor[LogApi]):
    def __init__(self, ends: list[Reason]) -> None:
        self.values: list[int] = []
        self.ends = ends

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on_cast(Add)
    def add(self, message: Add) -> None:
        self.values.append(message.value)

    @on_cast(AddSlowly)
    async def add_slowly(self, message: AddSlowly) -> None:
        await anyio.lowlevel.checkpoint()
        self.values.append(message.value)

    @on_cast(AddAtOnce)
    async def add_at_once(self, message: AddAtOnce) -> None:
        self.values.append(message.value)

    @on_cast(Nap)
    async def nap(self, message: Nap) -> None:
        await anyio.sleep(message.seconds)

    @on(Read)
    def read(self, message: Read) -> tuple[int, ...]:
        if variable.get() != "unset":
            return (-1,)
        return tuple(self.values)

    @on_cast(EndYourself)
    def end_yourself(self, message: EndYourself) -> None:
        self.ctx.self_ref.exit(Normal())

    @on_cast(Quit)
    def quit(self, message: Quit) -> None:
        raise SystemExit(3)

    def terminate(self, reason: Reason) -> None:
        self.ends.append(reason)


@pytest.fixture
def ends() -> list[Reason]:
    return []


def log(ends: list[Reason], mailbox: MailboxSpec = MailboxSpec()) -> ChildSpec:  # noqa: B008 - frozen
    return ChildSpec(
        "log", lambda: Log(ends), name="log", restart=Restart.TEMPORARY, mailbox=mailbox
    )


def causes(reports: list[Report]) -> list[tuple[str, Cause]]:
    return [(r.message, r.cause) for r in reports if isinstance(r, DeadLetter)]


async def test_a073_messages_of_one_sender_are_handled_in_order(
    running: Running, ends: list[Reason]
) -> None:
    async with running(log(ends)) as runtime:
        ref = runtime.whereis("log", LogApi)
        for value in range(1000):
            ref.cast(Add(value) if value % 3 else AddSlowly(value))
        assert await ref.call(Read()) == tuple(range(1000))


async def test_a118_a_flooded_actor_lets_another_run(running: Running, ends: list[Reason]) -> None:
    other = ChildSpec("other", lambda: Log(ends), name="other")
    async with running(log(ends), other) as runtime:
        flooded = runtime.whereis("log", LogApi)
        for value in range(5000):
            flooded.cast(Add(value))
        assert await runtime.whereis("other", LogApi).call(Read()) == ()
        assert runtime.tree().children[0].mailbox > 0


async def test_a118_async_handlers_that_never_wait_let_another_run(
    running: Running, ends: list[Reason]
) -> None:
    other = ChildSpec("other", lambda: Log(ends), name="other")
    async with running(log(ends), other) as runtime:
        flooded = runtime.whereis("log", LogApi)
        for value in range(5000):
            flooded.cast(AddAtOnce(value))
        assert await runtime.whereis("other", LogApi).call(Read()) == ()
        await runtime.whereis("other", LogApi).call(Read())
        assert runtime.tree().children[0].mailbox > 0
        assert len(await flooded.call(Read())) == 5000


async def test_a160_a161_a_full_mailbox_rejects(
    running: Running, reports: list[Report], ends: list[Reason]
) -> None:
    async with running(log(ends, MailboxSpec(limit=2))) as runtime:
        ref = runtime.whereis("log", LogApi)
        for value in range(2):
            ref.cast(Add(value))
        with pytest.raises(MailboxFull, match="2 messages waiting"):
            ref.cast(Add(2), strict=True)
        with pytest.raises(MailboxFull):
            await ref.call(Read())
        ref.cast(Add(3))
        await anyio.sleep(0.1)
        assert await ref.call(Read()) == (0, 1)
    assert causes(reports) == [("Add", Cause.OVERFLOW)]


async def test_a161_drop_oldest_keeps_the_newest(
    running: Running, reports: list[Report], ends: list[Reason]
) -> None:
    async with running(log(ends, MailboxSpec(2, Overflow.DROP_OLDEST))) as runtime:
        ref = runtime.whereis("log", LogApi)
        for value in range(4):
            ref.cast(Add(value), strict=True)
        await anyio.sleep(0.1)
        assert await ref.call(Read()) == (2, 3)
    assert causes(reports) == [("Add", Cause.OVERFLOW)] * 2


async def test_a161_drop_newest_keeps_the_oldest(running: Running, ends: list[Reason]) -> None:
    async with running(log(ends, MailboxSpec(2, Overflow.DROP_NEWEST))) as runtime:
        ref = runtime.whereis("log", LogApi)
        for value in range(4):
            ref.cast(Add(value), strict=True)
        await anyio.sleep(0.1)
        assert await ref.call(Read()) == (0, 1)


async def test_a162_a_dropped_call_is_told(running: Running, ends: list[Reason]) -> None:
    async def ask(ref: Ref[LogApi]) -> None:
        with pytest.raises(MailboxFull):
            await ref.call(Read())

    async with (
        running(log(ends, MailboxSpec(1, Overflow.DROP_OLDEST))) as runtime,
        anyio.create_task_group() as tasks,
    ):
        ref = runtime.whereis("log", LogApi)
        ref.cast(Nap(1.0))
        await anyio.sleep(0.1)
        tasks.start_soon(ask, ref)
        await anyio.sleep(0.1)
        ref.cast(Add(1))


async def test_a066_an_exit_signal_overtakes_mail(
    running: Running, reports: list[Report], ends: list[Reason]
) -> None:
    async with running(log(ends)) as runtime:
        ref = runtime.whereis("log", LogApi)
        for value in range(3):
            ref.cast(Add(value))
        ref.exit(Crash("Debug", "asked to"))
        await anyio.sleep(0.1)
        assert not ref.alive()
    assert causes(reports) == [("Add", Cause.DIED)] * 3
    assert ends == [Crash("Debug", "asked to")]


async def test_a066_an_exit_signal_interrupts_an_async_handler(
    running: Running, ends: list[Reason]
) -> None:
    async with running(log(ends)) as runtime:
        ref = runtime.whereis("log", LogApi)
        ref.cast(Nap(3600.0))
        await anyio.sleep(1.0)
        start = anyio.current_time()
        ref.exit(Crash("Debug", "asked to"))
        await anyio.sleep(0.01)
        assert not ref.alive()
        assert anyio.current_time() - start < 0.1


async def test_a060_exit_normal_from_outside_is_ignored(
    running: Running, ends: list[Reason]
) -> None:
    async with running(log(ends)) as runtime:
        ref = runtime.whereis("log", LogApi)
        ref.exit(Normal())
        assert await ref.call(Read()) == ()


async def test_a065_exit_normal_from_itself_ends_it(running: Running, ends: list[Reason]) -> None:
    async with running(log(ends)) as runtime:
        ref = runtime.whereis("log", LogApi)
        ref.cast(EndYourself())
        await anyio.sleep(0.1)
        assert not ref.alive()


@pytest.mark.parametrize("nap", [0.0, 60.0])
async def test_a062_a114_a_kill_skips_terminate(
    running: Running, reports: list[Report], ends: list[Reason], nap: float
) -> None:
    async with running(log(ends)) as runtime:
        ref = runtime.whereis("log", LogApi)
        ref.cast(Nap(nap))
        await anyio.sleep(1.0)
        ref.kill()
        await anyio.sleep(0.1)
        assert not ref.alive()
    assert ends == []
    assert [r.reason for r in reports if isinstance(r, ChildTerminated)] == [Killed()]


async def test_a_system_exit_in_a_handler_is_a_crash(
    running: Running, reports: list[Report], ends: list[Reason]
) -> None:
    async with running(log(ends)) as runtime:
        runtime.whereis("log", LogApi).cast(Quit())
        await anyio.sleep(0.1)
    (end,) = [r for r in reports if isinstance(r, ChildTerminated)]
    assert isinstance(end.reason, Crash)
    assert end.reason.exc == "SystemExit"
    assert end.reason.id == "log#1"


async def test_a152_queued_casts_of_a_dead_actor_are_dead_letters(
    running: Running, reports: list[Report], ends: list[Reason]
) -> None:
    async with running(log(ends)) as runtime:
        ref = runtime.whereis("log", LogApi)
        ref.cast(Quit())
        ref.cast(Add(1))
        with pytest.raises(CalleeExit):
            await ref.call(Read())
    assert causes(reports) == [("Add", Cause.DIED)]


async def test_a176_the_senders_context_variables_do_not_leak(
    running: Running, ends: list[Reason]
) -> None:
    async with running(log(ends)) as runtime:
        ref = runtime.whereis("log", LogApi)
        variable.set("sender's")
        ref.cast(AddSlowly(1))
        assert await ref.call(Read()) == (1,)

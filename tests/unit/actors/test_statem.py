"""State machines: which handler, what is postponed, which timeout survives what."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, ClassVar

import anyio
import pytest

from keygrove_actors import (
    POSTPONE,
    Call,
    CallTimeout,
    Cast,
    Cause,
    ChildSpec,
    ChildTerminated,
    Crash,
    Ctx,
    DeadLetter,
    Defer,
    Down,
    MailboxSpec,
    Ref,
    Report,
    Restart,
    StartFailed,
    StateActor,
    WrongProtocol,
    enters,
    on,
    on_cast,
    sysapi,
    when,
)
from keygrove_actors.watch import Direction, TraceEvent
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


class DoorApi:
    pass


class Push(Cast[DoorApi], frozen=True, tag=True):
    pass


class Note(Cast[DoorApi], frozen=True, tag=True):
    text: str


class Do(Cast[DoorApi], frozen=True, tag=True):
    """Runs `what(actor)` in a handler of any state."""

    what: Callable[[Door], Any]


class DoSlowly(Cast[DoorApi], frozen=True, tag=True):
    what: Callable[[Door], Any]


class Enter(Call[DoorApi, str], frozen=True, tag=True):
    who: str


class Knock(Call[DoorApi, str], frozen=True, tag=True):
    pass


class Strange(Cast[DoorApi], frozen=True, tag=True):
    """No door has a handler for it."""


class Log(Call[DoorApi, tuple[str, ...]], frozen=True, tag=True):
    pass


class S(enum.Enum):
    CLOSED = 1
    OPEN = 2
    LOCKED = 3


class Door(StateActor[DoorApi, S]):
    initial: ClassVar = S.CLOSED

    def __init__(self) -> None:
        self.log: list[str] = []

    @when(S.CLOSED)
    @on_cast(Push)
    def open(self, message: Push) -> None:
        self.go(S.OPEN)

    @when(S.OPEN)
    @on_cast(Push)
    def close(self, message: Push) -> None:
        self.go(S.CLOSED)

    @when(S.OPEN)
    @on(Enter)
    def enter(self, message: Enter) -> str:
        self.log.append(message.who)
        return message.who

    @on(Enter)
    def wait(self, message: Enter) -> Defer:
        return POSTPONE

    @when(S.OPEN, S.CLOSED)
    @on(Knock)
    def knock(self, message: Knock) -> str:
        return self.state.name

    @on_cast(Note)
    def note(self, message: Note) -> Defer | None:
        if message.text.startswith("later") and self.state is not S.OPEN:
            return POSTPONE
        self.log.append(message.text)
        return None

    @on_cast(Do)
    def do(self, message: Do) -> None:
        message.what(self)

    @on_cast(DoSlowly)
    async def do_slowly(self, message: DoSlowly) -> None:
        await anyio.sleep(0.1)
        message.what(self)

    @on(Log)
    def read(self, message: Log) -> tuple[str, ...]:
        return tuple(self.log)

    @enters(S.CLOSED, S.OPEN, S.LOCKED)
    def entered(self, old: S | None) -> None:
        self.log.append(f"{old.name if old else None}>{self.state.name}")


DOOR = ChildSpec(
    "door", Door, name="door", restart=Restart.TEMPORARY, mailbox=MailboxSpec(limit=20)
)


async def notes(ref: Ref[DoorApi]) -> list[str]:
    return [line for line in await ref.call(Log()) if ">" not in line]


async def test_a130_a_handler_is_found_by_state_then_for_any(
    running: Running, reports: list[Report]
) -> None:
    async with running(DOOR) as runtime:
        ref = runtime.whereis("door", DoorApi)
        assert await ref.call(Knock()) == "CLOSED"
        ref.cast(Push())
        assert await ref.call(Knock()) == "OPEN"
        assert await ref.call(Enter("a")) == "a"
        ref.cast(Do(lambda door: door.go(S.LOCKED)))
        with pytest.raises(WrongProtocol, match=r"DoorApi in S\.LOCKED, not Knock: send "):
            await ref.call(Knock())
        ref.cast(Push())
        assert await notes(ref) == ["a"]
    assert [r.cause for r in reports if isinstance(r, DeadLetter)] == [Cause.UNHANDLED]


async def test_a130_on_unhandled_may_be_taken_over(running: Running) -> None:
    class Friendly(Door):
        def on_unhandled(self, message: Any) -> Any:
            return "nobody is in"

    async with running(ChildSpec("door", Friendly, name="door")) as runtime:
        ref = runtime.whereis("door", DoorApi)
        ref.cast(Do(lambda door: door.go(S.LOCKED)))
        assert await ref.call(Knock()) == "nobody is in"


async def test_a131_postponed_messages_are_retried_when_the_state_changes(
    running: Running,
) -> None:
    answers: list[str] = []

    async def come(ref: Ref[DoorApi], who: str) -> None:
        answers.append(await ref.call(Enter(who)))

    async with running(DOOR) as runtime, anyio.create_task_group() as tasks:
        ref = runtime.whereis("door", DoorApi)
        for who in "ab":
            tasks.start_soon(come, ref, who)
            await anyio.sleep(0.1)
        ref.cast(Note("later 1"))
        ref.cast(Do(lambda door: door.go(S.CLOSED)))
        await anyio.sleep(0.1)
        assert await notes(ref) == [], "to stay is no change"
        ref.cast(Push())
        ref.cast(Note("new"))
        await anyio.sleep(0.1)
        assert await notes(ref) == ["a", "b", "later 1", "new"]
    assert sorted(answers) == ["a", "b"]


async def test_a132_a_state_timeout_ends_with_its_state(running: Running) -> None:
    async with running(DOOR) as runtime:
        ref = runtime.whereis("door", DoorApi)
        ref.cast(Do(lambda door: door.state_timeout(1.0, Note("first"))))
        ref.cast(Do(lambda door: door.state_timeout(2.0, Note("second"))))
        await anyio.sleep(1.5)
        assert await notes(ref) == [], "set again, it starts again"
        await anyio.sleep(1.0)
        ref.cast(Do(lambda door: door.state_timeout(1.0, Note("third"))))
        ref.cast(Push())
        await anyio.sleep(2.0)
        ref.cast(Do(lambda door: door.state_timeout(1.0, Note("fourth"))))
        ref.cast(Do(lambda door: door.state_timeout(None)))
        await anyio.sleep(2.0)
        assert await notes(ref) == ["second"]


async def test_a133_an_event_ends_the_event_timeout_and_named_ones_survive(
    running: Running,
) -> None:
    async with running(DOOR) as runtime:
        ref = runtime.whereis("door", DoorApi)
        ref.cast(Do(lambda door: door.named_timeout("x", 5.0, Note("named"))))
        ref.cast(Do(lambda door: door.event_timeout(1.0, Note("quiet"))))
        await anyio.sleep(2.0)
        ref.cast(Do(lambda door: door.event_timeout(1.0, Note("not quiet"))))
        await anyio.sleep(0.5)
        ref.cast(Push())
        await anyio.sleep(3.0)
        assert await notes(ref) == ["quiet", "named"]


class Watching(Door):
    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx


def watch(door: Door) -> None:
    assert isinstance(door, Watching)
    door.event_timeout(0.5, Note("quiet"))
    door.ctx.monitor(door.ctx.whereis("nobody", DoorApi))


async def test_a133_a_notice_of_the_runtime_is_an_event_too(running: Running) -> None:
    """It ends the event timeout, and may change the state as any handler."""

    class Guard(Watching):
        def on_down(self, down: Down) -> None:
            self.go(S.LOCKED)
            self.next_event(Note("alarm"))

        async def on_info(self, message: Any) -> None:
            await anyio.sleep(0.1)
            self.go(S.OPEN)

    async with running(ChildSpec("door", Guard, name="door")) as runtime:
        ref = runtime.whereis("door", DoorApi)
        ref.cast(Note("later"))
        ref.cast(Do(watch))
        await anyio.sleep(1.0)
        assert await ref.call(Log()) == ("None>CLOSED", "CLOSED>LOCKED", "alarm")
        ref.cast(Strange())
        await anyio.sleep(0.2)
        assert (await ref.call(Log()))[3:] == ("LOCKED>OPEN", "later")


async def test_a133_a_machine_without_on_down_has_an_event_all_the_same(running: Running) -> None:
    async with running(ChildSpec("door", Watching, name="door")) as runtime:
        ref = runtime.whereis("door", DoorApi)
        ref.cast(Do(watch))
        await anyio.sleep(1.0)
        assert await notes(ref) == []


async def test_a134_a135_next_events_then_zero_timeouts_then_mail(running: Running) -> None:
    def both(door: Door) -> None:
        door.state_timeout(0, Note("zero"))
        door.next_event(Note("one"))
        door.next_event(Note("two"))

    async with running(DOOR) as runtime:
        ref = runtime.whereis("door", DoorApi)
        ref.cast(Do(both))
        ref.cast(Note("mail"))
        assert await notes(ref) == ["one", "two", "zero", "mail"]


async def test_a134_a_zero_timeout_can_still_be_cancelled(running: Running) -> None:
    def both(door: Door) -> None:
        door.state_timeout(0, Note("zero"))
        door.next_event(Push())

    async with running(DOOR) as runtime:
        ref = runtime.whereis("door", DoorApi)
        ref.cast(Do(both))
        ref.cast(Note("mail"))
        assert await notes(ref) == ["mail"]


async def test_a136_enter_hooks_run_on_each_change_and_on_repeat(running: Running) -> None:
    async with running(DOOR) as runtime:
        ref = runtime.whereis("door", DoorApi)
        ref.cast(Push())
        ref.cast(Do(lambda door: door.go(S.OPEN)))
        ref.cast(Note("later"))
        ref.cast(Push())
        ref.cast(Note("later"))
        ref.cast(DoSlowly(lambda door: door.repeat_state()))
        assert await ref.call(Log()) == (
            "None>CLOSED",
            "CLOSED>OPEN",
            "later",
            "OPEN>CLOSED",
            "CLOSED>CLOSED",
        )


@pytest.mark.parametrize("what", ["go", "repeat_state"])
async def test_a136_an_enter_hook_may_not_change_the_state(running: Running, what: str) -> None:
    class Restless(Door):
        @enters(S.CLOSED)
        def entered(self, old: S | None) -> None:
            self.go(S.OPEN) if what == "go" else self.repeat_state()

    with pytest.raises(StartFailed, match="WrongMoment"):
        async with running(ChildSpec("door", Restless)):
            pass


async def test_a_state_cannot_be_changed_before_there_is_one(running: Running) -> None:
    class Early(Door):
        def init(self, ctx: Any) -> None:
            self.go(S.OPEN)

    with pytest.raises(StartFailed, match="WrongMoment"):
        async with running(ChildSpec("door", Early)):
            pass


async def test_a137_a_postponed_call_keeps_its_deadline(running: Running) -> None:
    async with running(DOOR) as runtime:
        ref = runtime.whereis("door", DoorApi)
        with pytest.raises(CallTimeout):
            await ref.call(Enter("late"), timeout=1.0)
        ref.cast(Push())
        assert await notes(ref) == []


async def test_a137_the_postponed_are_bounded_and_answered_at_the_end(
    running: Running, reports: list[Report]
) -> None:
    async with running(DOOR) as runtime:
        ref = runtime.whereis("door", DoorApi)
        for _ in range(3):
            for _ in range(7):
                ref.cast(Note("later"))
            await anyio.sleep(0.1)
        assert not ref.alive()
    (end,) = [r.reason for r in reports if isinstance(r, ChildTerminated)]
    assert isinstance(end, Crash)
    assert end.exc == "StashFull"
    assert {r.cause for r in reports if isinstance(r, DeadLetter)} == {Cause.DIED}


async def test_a146_a_trace_shows_the_states(running: Running) -> None:
    events: list[TraceEvent] = []
    async with running(DOOR) as runtime:
        ref = runtime.whereis("door", DoorApi)
        await sysapi.trace(ref, events.append)
        ref.cast(Push())
        await ref.call(Knock())
    assert [e.about for e in events if e.what is Direction.STATE] == ["S.OPEN"]


def test_two_handlers_for_one_message_in_one_state_are_refused() -> None:
    with pytest.raises(TypeError, match="two handlers for Push"):

        class Twice(Door):  # pyright: ignore[reportUnusedClass]
            @when(S.CLOSED)
            @on_cast(Push)
            def again(self, message: Push) -> None: ...


def test_an_enter_hook_cannot_await() -> None:
    with pytest.raises(TypeError, match="cannot await"):

        class Slow(Door):  # pyright: ignore[reportUnusedClass]
            @enters(S.OPEN)
            async def slowly(self, old: S | None) -> None: ...

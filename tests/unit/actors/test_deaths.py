"""How actors end: who is told in which order, what still runs, and what is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

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
    Down,
    Exit,
    Joined,
    Killed,
    Left,
    Normal,
    Pending,
    Reason,
    Ref,
    Report,
    Requests,
    Restart,
    Shutdown,
    Stop,
    StopReply,
    TerminateError,
    on,
    on_cast,
)
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


class ManApi:
    pass


class Do(Cast[ManApi], frozen=True, tag=True):
    what: Callable[[Man], Any]


class DoSlowly(Cast[ManApi], frozen=True, tag=True):
    what: Callable[[Man], Awaitable[Any]]


class Ask(Call[ManApi, str], frozen=True, tag=True):
    what: Callable[[Man], str | StopReply[str]]


class Wait(Call[ManApi, str], frozen=True, tag=True):
    seconds: float = 60.0


class Man(Actor[ManApi]):
    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on_cast(Do)
    def do(self, message: Do) -> Any:
        return message.what(self)

    @on_cast(DoSlowly)
    async def do_slowly(self, message: DoSlowly) -> Any:
        return await message.what(self)

    @on(Ask)
    def ask(self, message: Ask) -> str | StopReply[str]:
        return message.what(self)

    @on(Wait)
    async def wait(self, message: Wait) -> str:
        await anyio.sleep(message.seconds)
        return "waited"

    def terminate(self, reason: Reason) -> None:
        self.log.append(f"terminate: it {reason}")


class Mourner(Man):
    trap_exit = True

    def on_exit(self, exit: Exit) -> None:  # noqa: A002 - OTP's word
        self.log.append(exit)

    def on_down(self, down: Down) -> None:
        self.log.append(down)

    def on_info(self, message: Joined | Left) -> None:
        self.log.append(message)


def man(name: str, log: list[Any], kind: type[Man] = Man, **options: Any) -> ChildSpec:
    options = {"restart": Restart.TEMPORARY, **options}
    return ChildSpec(name, lambda: kind(log), name=name, **options)


def ends(reports: list[Report]) -> list[Reason]:
    return [r.reason for r in reports if isinstance(r, ChildTerminated)]


async def test_a072_everybody_concerned_is_told_in_this_order(running: Running) -> None:
    """Timers, names and groups, callers, links, monitors, the supervisor."""
    log: list[Any] = []
    at_end: list[Any] = []
    pending: list[Pending[str]] = []

    def observe(report: Report) -> None:
        if isinstance(report, ChildTerminated) and report.path == "dying":
            mourner = runtime.tree().children[1]
            at_end.extend(
                [
                    runtime.whereis("dying", ManApi).alive(),
                    runtime.members("men"),
                    pending[0].done(),
                    mourner.mailbox,
                    log.copy(),
                ]
            )

    def prepare(mourner: Man) -> str:
        mourner.ctx.link(mourner.ctx.whereis("dying", ManApi))
        mourner.ctx.monitor(mourner.ctx.whereis("dying", ManApi))
        mourner.ctx.monitor_group("men")
        return ""

    def be_known(dying: Man) -> None:
        dying.ctx.join("men")
        dying.ctx.send_after(1.0, Do(lambda man: man.log.append("a timer of the dead")))

    async with running(man("dying", []), man("mourner", log, Mourner), observe=observe) as runtime:
        dying = runtime.whereis("dying", ManApi)
        dying.cast(Do(be_known))
        await anyio.sleep(0.1)
        assert await runtime.whereis("mourner", ManApi).call(Ask(prepare)) == ""
        requests = Requests[str]()
        pending.append(requests.send(dying, Wait()))
        await anyio.sleep(0.1)
        dying.exit(Crash("Test", "now"))
        await anyio.sleep(2.0)
    assert at_end == [False, [], True, 3, []], "all done or queued before the supervisor hears"
    assert [type(told) for told in log[:-1]] == [Left, Exit, Down]


async def test_a079_the_supervisors_signal_ends_one_that_traps_after_terminate(
    running: Running, reports: list[Report]
) -> None:
    log: list[Any] = []
    async with running(man("a", log, Mourner)):
        pass
    assert log == ["terminate: it was shut down"]
    assert ends(reports) == [Shutdown()]


async def test_a113_the_reply_comes_first_then_terminate_then_death(running: Running) -> None:
    log: list[Any] = []

    def observe(report: Report) -> None:
        if isinstance(report, ChildTerminated):
            log.append("dead")

    class Leaving(Man):
        async def terminate(self, reason: Reason) -> None:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
            await anyio.sleep(1.0)
            self.log.append("terminate")

    async with running(man("a", log, Leaving), observe=observe) as runtime:
        ref = runtime.whereis("a", ManApi)
        log.append(await ref.call(Ask(lambda _: StopReply(Normal(), "reply"))))
        await anyio.sleep(2.0)
    assert log == ["reply", "terminate", "dead"]


def boom(_: object) -> None:
    raise ValueError("boom")


async def boom_later(_: object) -> None:
    await anyio.lowlevel.checkpoint()
    raise ValueError("boom")


WAYS: list[tuple[str, Callable[[Ref[ManApi]], object], str | None]] = [
    ("stop", lambda a: a.cast(Do(lambda _: Stop())), "ended normally"),
    ("crash", lambda a: a.cast(Do(boom)), "crashed with ValueError: boom"),
    ("crash in a task", lambda a: a.cast(DoSlowly(boom_later)), "crashed with ValueError: boom"),
    ("own exit", lambda a: a.cast(Do(lambda m: m.ctx.exit(Shutdown()))), "was shut down"),
    ("signal", lambda a: a.exit(Shutdown("why")), "was shut down (why)"),
    ("Killed, but no kill", lambda a: a.exit(Killed()), "was killed"),
    ("kill", lambda a: a.kill(), None),
]


@pytest.mark.parametrize(("way", "told"), [w[1:] for w in WAYS], ids=[w[0] for w in WAYS])
async def test_a114_terminate_runs_at_every_end_but_a_kill(
    running: Running, way: Callable[[Ref[ManApi]], object], told: str | None
) -> None:
    log: list[Any] = []
    async with running(man("a", log)) as runtime:
        ref = runtime.whereis("a", ManApi)
        way(ref)
        await anyio.sleep(0.1)
        assert not ref.alive()
    assert log == ([] if told is None else [f"terminate: it {told}"])


async def test_a120_the_timers_of_the_dead_are_cancelled(running: Running) -> None:
    log: list[Any] = []

    def start(man: Man) -> None:
        man.ctx.send_every(1.0, Do(lambda man: man.log.append("tick")))
        man.ctx.send_after(1.0, Do(lambda man: man.log.append("due")))

    async with running(man("a", log, restart=Restart.PERMANENT)) as runtime:
        ref = runtime.whereis("a", ManApi)
        ref.cast(Do(start))
        await anyio.sleep(0.5)
        assert runtime.leftovers()["deadlines"] == 2
        ref.kill()
        await anyio.sleep(5.0)
        assert ref.alive()
        assert runtime.leftovers()["deadlines"] == 0
    assert log == ["terminate: it was shut down"], "the successor gets none of them"


async def test_a171_a_cancellation_is_no_crash_and_goes_through_handlers(
    running: Running, reports: list[Report]
) -> None:
    seen: list[Any] = []

    async def wait(_: Man) -> None:
        with anyio.move_on_after(1.0) as scope:
            await anyio.sleep_forever()
        seen.append(scope.cancelled_caught)
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            seen.append("cancelled")
            raise

    async with running(man("a", []), man("b", [])) as runtime:
        a, b = runtime.whereis("a", ManApi), runtime.whereis("b", ManApi)
        for ref in (a, b):
            ref.cast(DoSlowly(wait))
        await anyio.sleep(2.0)
        assert seen == [True, True], "a handler may cancel what it began itself"
        a.kill()
        b.exit(Shutdown("enough"))
        await anyio.sleep(0.1)
        assert seen[2:] == ["cancelled", "cancelled"]
    assert sorted(map(str, ends(reports))) == ["was killed", "was shut down (enough)"]


async def test_a171_a_caller_that_is_cancelled_disturbs_the_callee_in_nothing(
    running: Running,
) -> None:
    async with running(man("a", [])) as runtime:
        ref = runtime.whereis("a", ManApi)
        with anyio.move_on_after(0.5) as scope:
            await ref.call(Wait(1.0))
        assert scope.cancelled_caught
        assert await ref.call(Wait(1.0)) == "waited"
        assert runtime.counters.late_replies == 1


async def clumsy() -> None:
    try:
        await anyio.sleep_forever()
    finally:
        raise ValueError("in the midst of a cancellation")


@pytest.mark.parametrize("how", ["kill", "exit"])
@pytest.mark.parametrize("where", ["handler", "child task"])
async def test_a179_an_error_mixed_with_a_cancellation_is_reported_and_the_end_goes_on(
    running: Running, reports: list[Report], how: str, where: str
) -> None:
    async def several(_: object) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(clumsy)
            tasks.start_soon(anyio.sleep_forever)

    async with running(man("a", [])) as runtime:
        ref = runtime.whereis("a", ManApi)
        if where == "handler":
            ref.cast(DoSlowly(several))
        else:
            ref.cast(Do(lambda man: man.ctx.start_soon(several, None)))
        await anyio.sleep(0.1)
        if how == "kill":
            ref.kill()
        else:
            ref.exit(Shutdown())
        await anyio.sleep(0.1)
        assert not ref.alive()
    assert ends(reports) == [Killed() if how == "kill" else Shutdown()]
    (unclean,) = [r.crash for r in reports if isinstance(r, TerminateError)]
    assert (unclean.exc, unclean.text) == ("ValueError", "in the midst of a cancellation")


@pytest.mark.parametrize("exit_code", [None, 3])
async def test_a179_the_first_leaf_of_a_group_names_the_crash_and_the_trace_shows_all(
    running: Running, reports: list[Report], exit_code: int | None
) -> None:
    first = KeyError("first") if exit_code is None else SystemExit(exit_code)

    async def fail(_: Man) -> None:
        inner = BaseExceptionGroup("inner", [first, ValueError("second")])
        raise BaseExceptionGroup("outer", [inner, OSError("third")])

    async with running(man("a", [])) as runtime:
        runtime.whereis("a", ManApi).cast(DoSlowly(fail))
        await anyio.sleep(0.1)
    (end,) = ends(reports)
    assert isinstance(end, Crash)
    assert end.exc == type(first).__name__
    assert all(text in end.trace for text in ("outer", "inner", "second", "third"))


@pytest.mark.parametrize("kind", ["cast", "call"])
async def test_a175_a_message_taken_and_not_begun_is_lost_and_not_put_back(
    running: Running, reports: list[Report], kind: str
) -> None:
    begun: list[int] = []
    errors: list[str] = []

    async def begin(_: Man) -> None:
        begun.append(1)

    class Noting(Man):
        @on(Wait)
        async def wait(self, message: Wait) -> str:
            begun.append(1)
            return ""

    async def ask(ref: Ref[ManApi]) -> None:
        with pytest.raises(CalleeExit) as caught:
            await ref.call(Wait(0.0))
        errors.append(str(caught.value.reason))

    async with running(man("a", [], Noting), man("b", [])) as runtime:
        a, b = runtime.whereis("a", ManApi), runtime.whereis("b", ManApi)
        async with anyio.create_task_group() as tasks:
            if kind == "cast":
                a.cast(DoSlowly(begin))
            else:
                tasks.start_soon(ask, a)
                await anyio.lowlevel.checkpoint()
            b.cast(Do(lambda _: a.kill()))  # in the turn after the one that takes the message
        await anyio.sleep(0.1)
        assert not a.alive()
    letters = [(r.message, r.cause) for r in reports if isinstance(r, DeadLetter)]
    assert begun == []
    assert letters == ([("DoSlowly", Cause.DIED)] if kind == "cast" else [])
    assert errors == ([] if kind == "cast" else ["was killed"])

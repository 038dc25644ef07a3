"""Calls and casts: each ends in exactly one outcome, and leaves nothing behind."""

from __future__ import annotations

from typing import ClassVar

import anyio
import anyio.lowlevel
import pytest

from keygrove_actors import (
    DEFER,
    Actor,
    AlreadyReplied,
    Call,
    CalleeExit,
    CallFailure,
    CallTimeout,
    Cast,
    Cause,
    ChildSpec,
    Crash,
    Ctx,
    DeadLetter,
    DeclaredError,
    Defer,
    NoProc,
    Normal,
    Ref,
    ReplyTo,
    Report,
    Runtime,
    Shutdown,
    Stop,
    StopReply,
    WrongProtocol,
    on,
    on_cast,
)
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


class EchoApi:
    pass


class OtherApi:
    pass


class Refused(CallFailure, frozen=True, tag=True):
    why: str


class Unlisted(CallFailure, frozen=True, tag=True):
    pass


class Echo(Call[EchoApi, int], frozen=True, tag=True):
    value: int


class Slow(Call[EchoApi, int], frozen=True, tag=True):
    seconds: float


class Fail(Call[EchoApi, int], frozen=True, tag=True):
    errors: ClassVar = (Refused,)
    how: str


class FailSlowly(Call[EchoApi, int], frozen=True, tag=True):
    errors: ClassVar = (Refused,)
    how: str


class Leave(Call[EchoApi, int], frozen=True, tag=True):
    answered: bool


class Later(Call[EchoApi, int], frozen=True, tag=True):
    pass


class Answer(Call[EchoApi, str], frozen=True, tag=True):
    """Answers the call deferred last, `times` times."""

    times: int


class CallYou(Call[EchoApi, int], frozen=True, tag=True):
    """Makes the receiver call `name`; of several, each calls the next."""

    names: tuple[str, ...]
    timeout: float


class Handled(Call[EchoApi, int], frozen=True, tag=True):
    pass


class Note(Cast[EchoApi], frozen=True, tag=True):
    pass


class Unknown(Call[EchoApi, int], frozen=True, tag=True):
    pass


class UnknownNote(Cast[EchoApi], frozen=True, tag=True):
    pass


class Echoer(Actor[EchoApi]):
    def __init__(self) -> None:
        self.handled = 0
        self.later: ReplyTo[int] | None = None

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on(Echo)
    def echo(self, message: Echo) -> int:
        self.handled += 1
        return message.value

    @on(Slow)
    async def slow(self, message: Slow) -> int:
        await anyio.sleep(message.seconds)
        return 1

    @on(Fail)
    def fail(self, message: Fail) -> int:
        return fail(message.how)

    @on(FailSlowly)
    async def fail_slowly(self, message: FailSlowly) -> int:
        await anyio.lowlevel.checkpoint()
        return fail(message.how)

    @on(Leave)
    def leave(self, message: Leave) -> Stop | StopReply[int]:
        return StopReply(Normal(), 7) if message.answered else Stop()

    @on(Later)
    def defer(self, message: Later) -> Defer:
        self.later = self.ctx.reply_to
        return DEFER

    @on(Answer)
    def answer(self, message: Answer) -> str:
        assert self.later is not None
        try:
            for number in range(message.times):
                self.later.send(number)
        except AlreadyReplied as error:
            return str(error)
        return ""

    @on(CallYou)
    async def call_you(self, message: CallYou) -> int:
        first, *rest = message.names
        ref = self.ctx.whereis(first, EchoApi)
        if rest:
            return await ref.call(CallYou(tuple(rest), message.timeout), timeout=message.timeout)
        return await ref.call(Slow(60.0), timeout=message.timeout)

    @on(Handled)
    def count(self, message: Handled) -> int:
        return self.handled

    @on_cast(Note)
    def note(self, message: Note) -> None:
        self.handled += 1


def fail(how: str) -> int:
    match how:
        case "refused":
            raise Refused("closed").error()
        case "unlisted":
            raise Unlisted().error()
        case _:
            raise ValueError(how)


ECHO = ChildSpec("echo", Echoer, name="echo")


async def test_a090_a_call_is_answered(running: Running) -> None:
    async with running(ECHO) as runtime:
        assert await runtime.whereis("echo", EchoApi).call(Echo(3)) == 3
        assert await runtime.whereis("echo", EchoApi).call(Slow(1.0), timeout=None) == 1


async def test_a090_a_slow_answer_is_a_timeout_that_names_the_message(running: Running) -> None:
    async with running(ECHO) as runtime:
        start = anyio.current_time()
        with pytest.raises(CallTimeout, match="echo did not answer Slow within 2 s") as caught:
            await runtime.whereis("echo", EchoApi).call(Slow(60.0), timeout=2.0)
        assert isinstance(caught.value, TimeoutError)
        assert 2.0 <= anyio.current_time() - start <= 2.02


async def test_a090_without_a_word_a_call_waits_five_seconds(running: Running) -> None:
    async with running(ECHO) as runtime:
        start = anyio.current_time()
        with pytest.raises(CallTimeout):
            await runtime.whereis("echo", EchoApi).call(Slow(60.0))
        assert 5.0 <= anyio.current_time() - start <= 5.02


async def test_a091_an_unknown_name_is_noproc_at_once(running: Running) -> None:
    async with running(ECHO) as runtime:
        start = anyio.current_time()
        with pytest.raises(NoProc, match="nobody is not running"):
            await runtime.whereis("nobody", EchoApi).call(Echo(1))
        assert anyio.current_time() == start


async def test_a091_a_dead_actor_is_noproc_for_refs_of_both_kinds(running: Running) -> None:
    runtime: Runtime
    async with running(ECHO) as runtime:
        by_name = runtime.whereis("echo", EchoApi)
    with pytest.raises(NoProc):
        await by_name.call(Echo(1))


@pytest.mark.parametrize("message", [Fail("bug"), FailSlowly("bug"), Fail("unlisted")])
async def test_a092_a099_a_crash_answers_its_call(
    running: Running, message: Fail | FailSlowly
) -> None:
    async with running(ECHO) as runtime:
        with pytest.raises(CalleeExit) as caught:
            await runtime.whereis("echo", EchoApi).call(message)
        assert isinstance(caught.value.reason, Crash)


async def test_a092_an_end_without_a_reply_answers_at_once(running: Running) -> None:
    async with running(ECHO) as runtime:
        with pytest.raises(CalleeExit) as caught:
            await runtime.whereis("echo", EchoApi).call(Leave(answered=False))
        assert caught.value.reason == Normal()


async def test_a092_a113_a_reply_goes_before_the_end(running: Running) -> None:
    async with running(ECHO) as runtime:
        assert await runtime.whereis("echo", EchoApi).call(Leave(answered=True)) == 7


async def test_a092_a152_queued_calls_are_answered_by_the_death(running: Running) -> None:
    outcomes: list[str] = []

    async def ask(ref: Ref[EchoApi], message: Call[EchoApi, int]) -> None:
        with pytest.raises(CalleeExit):
            await ref.call(message, timeout=60.0)
        outcomes.append(type(message).__name__)

    async with running(ECHO) as runtime, anyio.create_task_group() as tasks:
        ref = runtime.whereis("echo", EchoApi)
        tasks.start_soon(ask, ref, Slow(30.0))
        await anyio.sleep(1.0)
        tasks.start_soon(ask, ref, Echo(1))
        await anyio.sleep(1.0)
        ref.exit(Crash("Debug", "asked to"))
        await anyio.sleep(0.01)
        assert sorted(outcomes) == ["Echo", "Slow"]


@pytest.mark.parametrize("message", [Fail("refused"), FailSlowly("refused")])
async def test_a099_a_declared_failure_is_an_answer(
    running: Running, message: Fail | FailSlowly
) -> None:
    async with running(ECHO) as runtime:
        ref = runtime.whereis("echo", EchoApi)
        with pytest.raises(DeclaredError) as caught:
            await ref.call(message)
        assert caught.value.failure == Refused("closed")
        assert runtime.tree().children[0].incarnation == 1


async def test_a094_a_late_reply_is_dropped_and_counted(running: Running) -> None:
    async with running(ECHO) as runtime:
        ref = runtime.whereis("echo", EchoApi)
        with pytest.raises(CallTimeout):
            await ref.call(Slow(3.0), timeout=1.0)
        await anyio.sleep(5.0)
        assert runtime.counters.late_replies == 1
        assert await ref.call(Echo(2)) == 2


async def test_a096_an_expired_call_is_skipped_in_the_queue(
    running: Running, reports: list[Report]
) -> None:
    async with running(ECHO) as runtime, anyio.create_task_group() as tasks:
        ref = runtime.whereis("echo", EchoApi)
        tasks.start_soon(ref.call, Slow(3.0))
        await anyio.sleep(0.1)
        with pytest.raises(CallTimeout):
            await ref.call(Echo(1), timeout=1.0)
        assert await ref.call(Handled()) == 0
        assert runtime.counters.expired == 1
    assert [r.cause for r in reports if isinstance(r, DeadLetter)] == [Cause.EXPIRED]


async def test_a096_a_nested_call_has_what_is_left_of_the_deadline(running: Running) -> None:
    children = [ChildSpec(n, Echoer, name=n) for n in "ab"]
    async with running(*children) as runtime:
        start = anyio.current_time()
        with pytest.raises(CallTimeout):
            await runtime.whereis("a", EchoApi).call(CallYou(("b",), 50.0), timeout=1.0)
        await anyio.sleep(0.1)
        assert anyio.current_time() - start < 1.2
        assert runtime.tree().children[0].incarnation == 2


async def test_a095_a173_a_cancelled_caller_leaves_nothing_behind(running: Running) -> None:
    async with running(ECHO) as runtime:
        ref = runtime.whereis("echo", EchoApi)
        with anyio.move_on_after(1.0):
            await ref.call(Slow(3.0))
        with anyio.move_on_after(1.0):
            await ref.call(Echo(1))
        assert runtime.leftovers()["deadlines"] == 0
        await anyio.sleep(5.0)
        assert runtime.counters.abandoned == 1
        assert await ref.call(Handled()) == 0


async def test_a097_a150_a_cast_to_nobody_is_a_dead_letter(
    running: Running, reports: list[Report]
) -> None:
    async with running(ECHO) as runtime:
        runtime.whereis("nobody", EchoApi).cast(Note())
    letters = [r for r in reports if isinstance(r, DeadLetter)]
    assert [(d.target, d.message, d.cause) for d in letters] == [("nobody", "Note", Cause.NO_PROC)]


async def test_a098_a_deferred_reply_is_sent_once(running: Running) -> None:
    answers: list[int] = []

    async def ask(ref: Ref[EchoApi]) -> None:
        answers.append(await ref.call(Later()))

    async with running(ECHO) as runtime, anyio.create_task_group() as tasks:
        ref = runtime.whereis("echo", EchoApi)
        tasks.start_soon(ask, ref)
        await anyio.sleep(0.1)
        assert "already answered this Later" in await ref.call(Answer(2))
        await anyio.sleep(0.1)
        assert answers == [0]


async def test_a098_a_deferred_reply_never_sent_ends_with_the_actor(running: Running) -> None:
    async def ask(ref: Ref[EchoApi]) -> None:
        with pytest.raises(CalleeExit) as caught:
            await ref.call(Later(), timeout=None)
        assert caught.value.reason == Shutdown()

    async with anyio.create_task_group() as tasks, running(ECHO) as runtime:
        tasks.start_soon(ask, runtime.whereis("echo", EchoApi))
        await anyio.sleep(0.1)


async def test_a101_a_message_without_a_handler_harms_only_its_sender(
    running: Running, reports: list[Report]
) -> None:
    async with running(ECHO) as runtime:
        ref = runtime.whereis("echo", EchoApi)
        told = r"^echo serves EchoApi, not Unknown: send Echo, .*, or give its class a handler for"
        with pytest.raises(WrongProtocol, match=told):
            await ref.call(Unknown())
        ref.cast(UnknownNote())
        assert await ref.call(Echo(1)) == 1
    assert [r.cause for r in reports if isinstance(r, DeadLetter)] == [Cause.UNHANDLED]


async def test_a084_a_name_of_another_protocol_is_refused(running: Running) -> None:
    async with running(ECHO) as runtime:
        with pytest.raises(WrongProtocol, match=r"serves EchoApi, not OtherApi: ask for EchoApi$"):
            runtime.whereis("echo", OtherApi)


async def test_calls_from_plain_tasks_run_side_by_side(running: Running) -> None:
    answers: list[int] = []

    async def ask(ref: Ref[EchoApi], value: int) -> None:
        answers.append(await ref.call(Echo(value)))

    async with running(ECHO) as runtime, anyio.create_task_group() as tasks:
        for value in range(500):
            tasks.start_soon(ask, runtime.whereis("echo", EchoApi), value)
    assert sorted(answers) == list(range(500))


async def test_a101_an_actor_that_takes_nothing_says_what_to_do(running: Running) -> None:
    class Deaf(Actor[EchoApi]):
        pass

    async with running(ChildSpec("deaf", Deaf, name="deaf")) as runtime:
        told = r"^deaf serves EchoApi, not Echo: give its class a handler for Echo$"
        with pytest.raises(WrongProtocol, match=told):
            await runtime.whereis("deaf", EchoApi).call(Echo(1))

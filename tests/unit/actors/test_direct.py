"""Direct turns: what they may, and that nobody can tell them from queued ones."""

from __future__ import annotations

import gc
from contextlib import suppress
from typing import ClassVar

import anyio
import anyio.lowlevel
import pytest

from keygrove_actors import (
    CONTINUE_REPLY,
    DEFER,
    Actor,
    Call,
    CalleeExit,
    CallFailure,
    CallTimeout,
    Cast,
    ChildSpec,
    ContinueReply,
    Crash,
    Ctx,
    DeclaredError,
    Defer,
    NoReply,
    Normal,
    Reason,
    Ref,
    ReplyTo,
    Restart,
    Shutdown,
    StopReply,
    on,
    on_cast,
)
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


class DeskApi:
    pass


class Closed(CallFailure, frozen=True, tag=True):
    pass


class Ask(Call[DeskApi, str], frozen=True, tag=True):
    errors: ClassVar = (Closed,)
    how: str


class Note(Cast[DeskApi], frozen=True, tag=True):
    text: str


class Read(Call[DeskApi, tuple[str, ...]], frozen=True, tag=True):
    pass


class AskOther(Call[DeskApi, str], frozen=True, tag=True):
    seconds: float


class Desk(Actor[DeskApi]):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.kept: list[ReplyTo[str]] = []

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on(Ask)
    def ask(self, message: Ask) -> str | Defer | StopReply[str] | ContinueReply[str]:  # noqa: C901, PLR0911 - each way to answer
        match message.how:
            case "fail":
                raise Closed().error()
            case "crash":
                raise ValueError("boom")
            case "stop":
                return StopReply(Normal(), "last")
            case "exit":
                self.ctx.exit(Shutdown("enough"))
                return "answered"
            case "note":
                self.ctx.self_ref.cast(Note("own"))
                return "noted"
            case "continue":
                return CONTINUE_REPLY("more", "first")
            case "forget":
                return DEFER
            case "now":
                self.ctx.reply_to.send("sent")
                return DEFER
            case "later":
                self.kept.append(self.ctx.reply_to)
                self.ctx.send_after(1.0, Note("due"))
                return DEFER
            case other:
                return other

    @on_cast(Note)
    def note(self, message: Note) -> None:
        self.notes.append(message.text)
        for reply_to in self.kept:
            reply_to.send("kept")
        self.kept.clear()

    @on(Read)
    def read(self, message: Read) -> tuple[str, ...]:
        return tuple(self.notes)

    @on(AskOther)
    async def ask_other(self, message: AskOther) -> str:
        await anyio.sleep(message.seconds)
        return await self.ctx.whereis("other", DeskApi).call(Ask("plain"))

    def on_continue(self, value: str) -> None:
        self.notes.append(value)


DESK = ChildSpec("desk", Desk, name="desk", restart=Restart.TEMPORARY)


async def test_a167_a_direct_call_does_not_wait_for_the_loop(
    running: Running, direct: bool
) -> None:
    async with running(DESK) as runtime:
        answers: list[str] = []

        async def ask() -> None:
            answers.append(await runtime.whereis("desk", DeskApi).call(Ask("plain")))

        step = ask()
        with suppress(StopIteration):
            step.send(None)
        assert answers == (["plain"] if direct else [])
        step.close()


async def test_a167_direct_calls_let_others_run_now_and_then(running: Running) -> None:
    beats: list[int] = []

    async def beat() -> None:
        while True:
            beats.append(len(beats))
            await anyio.lowlevel.checkpoint()

    async with running(DESK) as runtime, anyio.create_task_group() as tasks:
        tasks.start_soon(beat)
        ref = runtime.whereis("desk", DeskApi)
        for _ in range(1000):
            await ref.call(Ask("plain"))
        tasks.cancel_scope.cancel()
    assert len(beats) >= 4


async def test_a167_a_direct_turn_never_overtakes_queued_mail(running: Running) -> None:
    async with running(DESK) as runtime:
        ref = runtime.whereis("desk", DeskApi)
        for text in "abc":
            ref.cast(Note(text))
        assert await ref.call(Read()) == ("a", "b", "c")


@pytest.mark.parametrize(
    ("how", "answer"),
    [
        ("plain", "plain"),
        ("stop", "last"),
        ("exit", "answered"),
        ("note", "noted"),
        ("continue", "first"),
        ("now", "sent"),
        ("later", "kept"),
    ],
)
async def test_every_way_to_answer_is_the_same(running: Running, how: str, answer: str) -> None:
    async with running(DESK) as runtime:
        ref = runtime.whereis("desk", DeskApi)
        assert await ref.call(Ask(how)) == answer
        await anyio.sleep(0.1)
        assert ref.alive() == (how not in {"stop", "exit"})
        if how in {"note", "continue"}:
            assert await ref.call(Read()) == ({"note": "own", "continue": "more"}[how],)


async def test_a099_a_declared_failure_and_a_crash_are_the_same(running: Running) -> None:
    async with running(DESK) as runtime:
        ref = runtime.whereis("desk", DeskApi)
        with pytest.raises(DeclaredError) as declared:
            await ref.call(Ask("fail"))
        assert (declared.value.failure, declared.value.target) == (Closed(), "desk")
        with pytest.raises(CalleeExit) as crashed:
            await ref.call(Ask("crash"))
        assert isinstance(crashed.value.reason, Crash)
        assert not ref.alive()


async def test_a096_a_handler_past_its_deadline_begins_no_direct_turn(running: Running) -> None:
    other = ChildSpec("other", Desk, name="other")
    async with running(DESK, other) as runtime:
        with pytest.raises(CallTimeout):
            await runtime.whereis("desk", DeskApi).call(AskOther(2.0), timeout=1.0)
        await anyio.sleep(2.0)
        assert not runtime.whereis("desk", DeskApi).alive()


async def test_a098_a_forgotten_reply_is_no_reply(running: Running) -> None:
    async with running(DESK) as runtime:
        with pytest.raises(NoReply, match="dropped the way back"):
            await runtime.whereis("desk", DeskApi).call(Ask("forget"), timeout=None)


async def test_a098_a_reply_collected_later_is_no_reply(running: Running) -> None:
    class Careless(Desk):
        @on_cast(Note)
        def note(self, message: Note) -> None:
            self.kept.clear()
            gc.collect()

    spec = ChildSpec("desk", Careless, name="desk")
    async with running(spec) as runtime:
        ref: Ref[DeskApi] = runtime.whereis("desk", DeskApi)
        with pytest.raises(NoReply):
            await ref.call(Ask("later"), timeout=None)
        assert runtime.leftovers()["deadlines"] == 0


async def test_a098_a_way_back_that_a_crash_loses_tells_of_the_crash(running: Running) -> None:
    async def answer(asked: list[ReplyTo[str]]) -> None:
        asked.pop()
        raise OSError("the disk is gone")

    class Fragile(Desk):
        async def terminate(self, reason: Reason) -> None:
            gc.collect()
            await anyio.sleep(0.1)

        @on(Ask)
        def ask(self, message: Ask) -> Defer:
            self.ctx.start_soon(answer, [self.ctx.reply_to])
            return DEFER

    spec = ChildSpec("desk", Fragile, name="desk", restart=Restart.TEMPORARY)
    async with running(spec) as runtime:
        with pytest.raises(CalleeExit) as failed:
            await runtime.whereis("desk", DeskApi).call(Ask("crash"), timeout=None)
        assert isinstance(failed.value.reason, Crash)
        assert failed.value.reason.exc == "OSError"


class Patient(Actor[DeskApi]):
    """Has a task of its own, because its `init` awaits."""

    async def init(self, ctx: Ctx) -> None:
        await anyio.lowlevel.checkpoint()

    @on(Read)
    def read(self, _: Read) -> tuple[str, ...]:
        return ()


async def test_a073_a_direct_call_is_not_handled_after_an_exit_signal_sent_before(
    running: Running,
) -> None:
    async with running(ChildSpec("p", Patient, name="p", restart=Restart.TEMPORARY)) as runtime:
        patient = runtime.whereis("p", DeskApi)
        assert await patient.call(Read()) == ()
        patient.exit(Crash("Test", "sent first"))
        with pytest.raises(CalleeExit):
            await patient.call(Read())

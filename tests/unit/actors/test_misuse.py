"""What untyped programs get wrong is refused at once, and told in words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from math import nan
from typing import Any, TypeAlias

import anyio
import pytest

from keygrove_actors import (
    POSTPONE,
    STOP,
    STOP_REPLY,
    BadSpec,
    Call,
    CalleeExit,
    ChildSpec,
    ChildTerminated,
    Crash,
    Ctx,
    Jitter,
    Normal,
    Reason,
    Report,
    Requests,
    Runtime,
    StartFailed,
    StateActor,
    Strategy,
    SupRef,
    SupSpec,
    TerminateError,
    WrongThread,
    multi_call,
    on,
    run,
    sysapi,
)
from tests.unit.actors.jobs import Add, Base, JobApi, Pick, Read, Work, child

Running: TypeAlias = Callable[..., AbstractAsyncContextManager[Runtime]]
pytestmark = pytest.mark.anyio


class Timed(Base):
    """Takes its times from whoever asks."""

    @on(Work)
    def set_timer(self, message: Work) -> int:
        self.ctx.send_after(message.seconds, Add(1))
        return 1

    @on(Pick)
    async def wait(self, message: Pick) -> int:
        return (await self.ctx.receive(Add, timeout=message.within)).value


class Do(Call[JobApi, Any], frozen=True, tag=True):
    what: Callable[[Ctx], Any]


async def wait_any(runtime: Runtime, no: Any) -> None:
    requests = Requests[int]()
    requests.send(runtime.whereis("a", JobApi), Pick(0, 1.0))
    try:
        await requests.wait_any(no)
    finally:
        requests.abandon()


ASKED: dict[str, Callable[[Runtime, Any], Awaitable[Any]]] = {
    "timeout": lambda runtime, no: runtime.whereis("a", JobApi).call(Read(), timeout=no),
    "wait_up": lambda runtime, no: runtime.whereis("b", JobApi).call(Read(), wait_up=no),
    "many": lambda runtime, no: multi_call([runtime.whereis("a", JobApi)], Read(), timeout=no),
    "any": wait_any,
    "sysapi": lambda runtime, no: sysapi.suspend(runtime.whereis("a", JobApi), timeout=no),
    "stop": lambda runtime, no: runtime.stop(no),
}


@pytest.mark.parametrize("no", ["5", nan], ids=repr)
@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
async def test_a_time_that_is_no_number_is_refused(
    running: Running, ask: Callable[[Runtime, Any], Awaitable[Any]], no: Any
) -> None:
    async with running(child(Timed), direct=False) as runtime:
        with pytest.raises((TypeError, ValueError), match="give a number of seconds"):
            await ask(runtime, no)
        assert await runtime.whereis("a", JobApi).call(Read()) == ()


@pytest.mark.parametrize("message", [Work(nan), Work("5"), Pick(0, nan)], ids=repr)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
async def test_a_handlers_time_that_is_no_number_is_its_crash(
    running: Running, message: Any
) -> None:
    async with running(child(Timed)) as runtime:
        with pytest.raises(CalleeExit, match="give a number of seconds"):
            await runtime.whereis("a", JobApi).call(message)


@pytest.mark.parametrize("option", ["stop_deadline", "kill_grace"])
async def test_a_time_of_the_whole_runtime_is_looked_at_before_it_starts(option: str) -> None:
    options: dict[str, Any] = {option: "5"}
    with pytest.raises(TypeError, match=rf"{option} is '5': give a number of seconds"):
        async with run(SupSpec(), **options):
            raise AssertionError("it was started")


async def test_a_start_that_makes_no_actor_is_told_as_such() -> None:
    make: Any = partial(dict[str, int])
    spec = SupSpec(children=(ChildSpec("a", make),))
    with pytest.raises(StartFailed) as caught:
        async with run(spec):
            raise AssertionError("it was started")
    reason = caught.value.reason
    assert isinstance(reason, Crash)
    assert (reason.exc, "makes dict, no actor" in reason.text) == ("BadSpec", True)


@pytest.mark.parametrize("kind", [dict, {"log": []}, Timed()], ids=["class", "state", "actor"])
async def test_a143_code_is_a_class_of_actors(running: Running, kind: Any) -> None:
    async with running(child(Timed)) as runtime:
        ref = runtime.whereis("a", JobApi)
        with pytest.raises(BadSpec, match="is no class of actors"):
            await sysapi.change_code(ref, kind)
        await sysapi.suspend(ref)
        with pytest.raises(BadSpec, match="is no class of actors"):
            await sysapi.change_code(ref, kind)
        await sysapi.resume(ref)
        ref.cast(Add(1))
        await anyio.sleep(0.1)
        assert await ref.call(Read()) == (1,)


@pytest.mark.parametrize(
    "spec", [None, Timed, ChildSpec("a", Timed)], ids=["none", "class", "child"]
)
async def test_a_tree_is_a_supervisor(spec: Any) -> None:
    with pytest.raises(BadSpec, match=r"^a tree is a supervisor, not \w+: write SupSpec"):
        async with run(spec):
            raise AssertionError("it was started")


NO: Any = []
ASKED_OF_SUPERVISOR: dict[str, Callable[[SupRef[Any]], Awaitable[Any]]] = {
    "StartChild": lambda sup: sup.start_child(NO),
    "ReplaceSpec": lambda sup: sup.replace_spec(NO),
    "TerminateChild": lambda sup: sup.terminate_child(NO),
    "RestartChild": lambda sup: sup.restart_child(NO),
    "DeleteChild": lambda sup: sup.delete_child(NO),
}


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ONE, Strategy.DYNAMIC])
@pytest.mark.parametrize("request_", ASKED_OF_SUPERVISOR)
async def test_a007_a_supervisor_outlives_a_request_that_is_none(
    running: Running, request_: str, strategy: Strategy
) -> None:
    template = ChildSpec("t", Timed) if strategy is Strategy.DYNAMIC else None
    sub = ChildSpec("sub", SupSpec(strategy=strategy, template=template))
    async with running(sub) as runtime:
        sup = runtime.supervisor("sub")
        with pytest.raises(BadSpec, match=f"^{request_} is given list: "):
            await ASKED_OF_SUPERVISOR[request_](sup)
        assert sup.which_children() == ()


class Odd(Base):
    """Does what its messages say, with whatever they carry."""

    @on(Do)
    def do(self, message: Do) -> Any:
        return message.what(self.ctx)


class OddSlowly(Base):
    @on(Do)
    async def do(self, message: Do) -> Any:
        return message.what(self.ctx)


async def nothing() -> int:
    return 1


NO_REASON = "is no reason to end: give Normal"
ODD_OUTCOMES: dict[str, tuple[Callable[[Ctx], Any], str]] = {
    "exit": (lambda ctx: ctx.exit(NO), NO_REASON),
    "exit by ref": (lambda ctx: ctx.self_ref.exit(NO), NO_REASON),
    "stop": (lambda _: STOP(NO), NO_REASON),
    "stop with a class": (lambda _: STOP(Normal), NO_REASON),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    "reply and stop": (lambda _: STOP_REPLY(NO, 1), NO_REASON),
    "coroutine": (lambda _: nothing(), "a def that returned a coroutine, nothing, which nobody"),
    "postpone": (lambda _: POSTPONE, "has no states to POSTPONE to: use ctx.stash there"),
}


@pytest.mark.parametrize(("what", "told"), ODD_OUTCOMES.values(), ids=ODD_OUTCOMES)
@pytest.mark.parametrize("kind", [Odd, OddSlowly])
async def test_an_outcome_that_nothing_can_be_done_with_is_a_crash_that_says_so(
    running: Running, kind: type[Base], what: Callable[[Ctx], Any], told: str
) -> None:
    async with running(child(kind)) as runtime:
        ref = runtime.whereis("a", JobApi)
        with pytest.raises(CalleeExit, match=told) as caught:
            await ref.call(Do(what))
    assert isinstance(caught.value.reason, Crash)


@pytest.mark.parametrize("reason", [None, 5, ValueError("x"), Normal], ids=repr)
async def test_a060_a_reason_to_end_is_one_of_those_there_are(
    running: Running, reason: Any
) -> None:
    async with running(child(Base)) as runtime:
        ref = runtime.whereis("a", JobApi)
        with pytest.raises(TypeError, match=r"is no reason to end: give Normal\(\), Shutdown"):
            ref.exit(reason)
        assert ref.alive()


class OddInit(Base):
    def init(self, ctx: Ctx) -> Any:
        return nothing()


class OddInitSlowly(Base):
    async def init(self, ctx: Ctx) -> Any:
        return 7


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (OddInit, "init of a has a def that returned a coroutine, nothing, which nobody awaits"),
        (OddInitSlowly, "init of a returned 7: return nothing, IGNORE or CONTINUE"),
    ],
)
async def test_an_init_returns_nothing_but_what_it_may(
    running: Running, kind: type[Base], told: str
) -> None:
    with pytest.raises(StartFailed, match=told):
        async with running(child(kind)):
            raise AssertionError("it was started")


async def test_a114_a_terminate_that_nobody_awaits_is_reported(
    running: Running, reports: list[Report]
) -> None:
    class OddEnd(Base):
        def terminate(self, reason: Reason) -> Any:
            return nothing()

    async with running(child(OddEnd)):
        pass
    (unclean,) = [r for r in reports if isinstance(r, TerminateError)]
    assert "terminate of a has a def that returned a coroutine" in unclean.crash.text


class Stateless(StateActor[JobApi, Jitter]):
    pass


class Astray(StateActor[JobApi, Jitter]):
    initial = Jitter.NONE

    @on(Read)
    def read(self, message: Read) -> tuple[Any, ...]:
        self.go(NO)
        return ()


async def test_a130_a_state_machine_starts_in_a_state_and_goes_to_one(running: Running) -> None:
    with pytest.raises(StartFailed, match="Stateless starts in no state: set initial to one"):
        async with running(child(Stateless)):
            raise AssertionError("it was started")
    async with running(child(Astray)) as runtime:
        with pytest.raises(CalleeExit, match="is no state here: go to a member of Jitter"):
            await runtime.whereis("a", JobApi).call(Read())


async def test_what_an_exception_says_is_told_in_a_line(running: Running) -> None:
    def shout(_: Ctx) -> None:
        raise ValueError("two\nlines, and \x1b[31mred: " + "words " * 50)

    async with running(child(Odd)) as runtime:
        with pytest.raises(CalleeExit) as caught:
            await runtime.whereis("a", JobApi).call(Do(shout))
    assert str(caught.value).isprintable()
    assert str(caught.value).count("words") > 25, "the advice of an error comes last"


async def watch(report: Report) -> None: ...


@pytest.mark.parametrize("observe", [5, watch], ids=["number", "async"])
async def test_an_observer_is_a_plain_function(observe: Any) -> None:
    with pytest.raises(TypeError, match="give a plain function of one report"):
        async with run(SupSpec(), observe=observe):
            raise AssertionError("it was started")


ODD_REQUESTS: dict[str, tuple[Callable[[Ctx], Any], str]] = {
    "no task": (lambda ctx: ctx.start_soon(NO), "is no task: give an async function and its"),
    "a coroutine": (lambda ctx: ctx.start_soon(nothing()), "nothing is called already: give it"),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    "no task to await": (lambda ctx: ctx.tasks.run(NO), "is no task: give an async function"),
    "no protocol": (lambda ctx: ctx.whereis("a", NO), "is no protocol: give the class that its"),
    "an actor": (
        lambda ctx: ctx.supervisor("a").count_children(),
        "a serves JobApi, not SupApi: ask for JobApi",
    ),
    "endless": (
        lambda ctx: ctx.send_after(10**400, Add(1)),
        "a timer's delay is 1000.*: give a number of seconds",
    ),
}


@pytest.mark.parametrize(("what", "told"), ODD_REQUESTS.values(), ids=ODD_REQUESTS)
async def test_what_a_handler_asks_for_and_cannot_get_is_a_crash_that_says_so(
    running: Running, what: Callable[[Ctx], Any], told: str
) -> None:
    async with running(child(Odd)) as runtime:
        with pytest.raises(CalleeExit, match=told):
            await runtime.whereis("a", JobApi).call(Do(what))


@pytest.mark.parametrize("way", ["start_soon", "tasks"])
async def test_a_task_of_a_plain_function_is_a_crash_that_says_so(
    running: Running, reports: list[Report], way: str
) -> None:
    def start(ctx: Ctx) -> None:
        run_task: Any = ctx.start_soon if way == "start_soon" else ctx.tasks.run
        run_task(max, 1, 2)

    async with running(child(Odd)) as runtime:
        await runtime.whereis("a", JobApi).call(Do(start))
        await anyio.sleep(0.1)
    (end,) = [r.reason for r in reports if isinstance(r, ChildTerminated)]
    assert "max gave 2 to await: make a task of an async function" in str(end)


async def test_a116_receive_is_told_a_class(running: Running) -> None:
    class Deaf(Base):
        @on(Read)
        async def read(self, message: Read) -> tuple[Any, ...]:
            return (await self.ctx.receive(NO),)

    async with running(child(Deaf)) as runtime:
        with pytest.raises(CalleeExit, match="is received by nobody: give the class"):
            await runtime.whereis("a", JobApi).call(Read())


async def test_a149_a_label_does_not_move_a_terminals_cursor(running: Running) -> None:
    def label(ctx: Ctx) -> int:
        ctx.set_label("evil\n\x1b[31mred" + "x\n" * 500)
        return len(ctx.self_ref.label)

    async with running(child(Odd)) as runtime:
        ref = runtime.whereis("a", JobApi)
        assert await ref.call(Do(label)) == len("a ()") + 200
        (info,) = runtime.supervisor("").which_children()
        assert info.ref is not None
        assert info.ref.label.isprintable()


@pytest.mark.parametrize("ask", ["exit", "kill"])
async def test_a_signal_from_another_thread_is_told_its_way(running: Running, ask: str) -> None:
    async with running(child(Base)) as runtime:
        ref = runtime.whereis("a", JobApi)
        signal = partial(ref.exit, Normal()) if ask == "exit" else ref.kill
        with (
            ThreadPoolExecutor() as threads,
            pytest.raises(WrongThread, match=rf"there, use anyio.from_thread.run_sync\(ref.{ask}"),
        ):
            threads.submit(signal).result()


@pytest.mark.parametrize("word", ["", "a\nb", "\x1b[31m"])
async def test_a007_ids_and_names_can_be_printed(word: str) -> None:
    with pytest.raises(BadSpec, match="use printable characters"):
        ChildSpec(word, Base)
    with pytest.raises(BadSpec, match="use printable characters"):
        ChildSpec("a", Base, name=word)

"""What no handler should do, and what the runtime makes of it: a crash, never a hang."""

from __future__ import annotations

import asyncio
import gc
from math import inf, nan
from typing import Any

import anyio
import pytest
import sniffio

from keygrove_actors import (
    CONTINUE,
    DEFER,
    Actor,
    Backoff,
    BadSpec,
    Budget,
    Call,
    CalleeExit,
    CallTimeout,
    Cast,
    ChildSpec,
    ChildTerminated,
    Continue,
    Crash,
    Ctx,
    Defer,
    MailboxSpec,
    Overflow,
    Report,
    Restart,
    StartFailed,
    SupSpec,
    on,
    on_cast,
    strategy,
    sysapi,
)
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


class OddApi:
    pass


class Raise(Call[OddApi, int], frozen=True, tag=True):
    """Raise it in a plain handler."""

    error: BaseException


class RaiseLater(Call[OddApi, int], frozen=True, tag=True):
    """Raise it in a handler that awaits."""

    error: BaseException


class RaiseAside(Cast[OddApi], frozen=True, tag=True):
    """Raise it in a task of the actor's own."""

    error: BaseException


class Put(Cast[OddApi], frozen=True, tag=True):
    pass


class Keep(Call[OddApi, int], frozen=True, tag=True):
    """Never answered."""


class Hello(Call[OddApi, int], frozen=True, tag=True):
    pass


class Unwordable(Exception):  # noqa: N818 - a name in a crash
    def __str__(self) -> str:
        raise ValueError("no words")


class OwnEnd(BaseException):
    pass


class Odd(Actor[OddApi]):
    def __init__(self) -> None:
        self.went_on = 0

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on(Raise)
    def raise_now(self, message: Raise) -> int:
        raise message.error

    @on(RaiseLater)
    async def raise_later(self, message: RaiseLater) -> int:
        await anyio.sleep(0.01)
        raise message.error

    @on_cast(RaiseAside)
    def raise_aside(self, message: RaiseAside) -> None:
        async def aside() -> None:
            await anyio.sleep(0.01)
            raise message.error

        self.ctx.start_soon(aside)

    @on_cast(Put)
    async def put(self, message: Put) -> Continue:
        await anyio.sleep(0.01)
        return CONTINUE(1)

    def on_continue(self, value: Any) -> None:
        self.went_on += 1

    @on(Keep)
    def keep(self, message: Keep) -> Defer:
        self.last = self.ctx.reply_to
        return DEFER

    @on(Hello)
    def hello(self, message: Hello) -> int:
        return self.went_on


ODD = ChildSpec("odd", Odd, name="odd")
ENDS: list[BaseException] = [
    GeneratorExit(),
    OwnEnd("x"),
    BaseExceptionGroup("some", [OwnEnd("y")]),
    Unwordable(),
]


@pytest.mark.parametrize("error", ENDS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("kind", [Raise, RaiseLater])
async def test_a099_whatever_a_handler_raises_ends_the_actor_and_no_more(
    running: Running, reports: list[Report], kind: type[Any], error: BaseException
) -> None:
    async with running(ODD) as runtime:
        ref = runtime.whereis("odd", OddApi)
        with pytest.raises(CalleeExit):
            await ref.call(kind(error))
        assert await ref.call(Hello(), wait_up=1.0) == 0
    crash = next(r.reason for r in reports if isinstance(r, ChildTerminated))
    assert isinstance(crash, Crash)


@pytest.mark.parametrize("error", ENDS, ids=lambda error: type(error).__name__)
async def test_a170_whatever_a_task_of_an_actor_raises_ends_the_actor_and_no_more(
    running: Running, error: BaseException
) -> None:
    async with running(ODD) as runtime:
        ref = runtime.whereis("odd", OddApi)
        before = runtime.tree().children[0].actor
        ref.cast(RaiseAside(error))
        await anyio.sleep(0.1)
        assert await ref.call(Hello(), wait_up=1.0) == 0
        assert runtime.tree().children[0].actor != before


async def test_a171_a_cancellation_that_is_the_handlers_own_is_a_crash(running: Running) -> None:
    if sniffio.current_async_library() != "asyncio":
        pytest.skip("trio's cannot be made")
    async with running(ODD, intensity=5) as runtime:
        ref = runtime.whereis("odd", OddApi)
        for kind in (Raise, RaiseLater):
            with pytest.raises(CalleeExit, match="CancelledError"):
                await ref.call(kind(asyncio.CancelledError()), wait_up=1.0)
            await anyio.sleep(0.01)


@pytest.mark.parametrize("error", ENDS, ids=lambda error: type(error).__name__)
async def test_a114_whatever_cleaning_up_raises_the_tree_stops(
    running: Running, error: BaseException
) -> None:
    class Untidy(Odd):
        def terminate(self, reason: object) -> None:
            raise error

    class UntidyLater(Odd):
        async def terminate(self, reason: object) -> None:
            raise error

    async with running(ChildSpec("a", Untidy), ChildSpec("b", UntidyLater)) as runtime:
        pass
    assert not any(runtime.leftovers().values())


@pytest.mark.parametrize("seconds", [0.0, -1.0, inf, nan])
async def test_a120_a_timer_that_repeats_without_a_period_is_refused(
    running: Running, seconds: float
) -> None:
    class Impatient(Odd):
        def init(self, ctx: Ctx) -> None:
            with pytest.raises(ValueError, match=r"more than 0|number of seconds"):
                ctx.send_every(seconds, Put())

    async with running(ChildSpec("a", Impatient)):
        pass


async def test_a120_a_timer_that_is_never_due_costs_nobody_anything(running: Running) -> None:
    class Patient(Odd):
        def init(self, ctx: Ctx) -> None:
            ctx.send_after(inf, Put())
            ctx.send_every(1e-9, Put(), name="fast").cancel()

    async with running(ChildSpec("a", Patient), ODD) as runtime:
        with pytest.raises(CallTimeout):
            await runtime.whereis("odd", OddApi).call(Keep(), timeout=0.3)


async def test_a009_a_child_may_have_for_ever_to_stop(running: Running) -> None:
    async with running(ChildSpec("a", Odd, shutdown=inf)) as runtime:
        pass
    assert not any(runtime.leftovers().values())


def test_a007_numbers_that_are_none_are_refused() -> None:
    for make in (
        lambda: ChildSpec("a", Odd, shutdown=nan),
        lambda: ChildSpec("a", Odd, init_timeout=nan),
        lambda: SupSpec(period=nan),
        lambda: Backoff(base=nan),
        lambda: Backoff(base=1.0, cap=nan),
        lambda: Budget(1, nan),
    ):
        with pytest.raises(BadSpec):
            make()


def test_a007_what_is_no_actor_and_no_tuple_is_refused_with_what_to_write() -> None:
    actor: Any = Odd()
    with pytest.raises(BadSpec, match="give a class"):
        ChildSpec("a", actor)
    alone: Any = ODD
    with pytest.raises(BadSpec, match="a tuple"):
        SupSpec(children=alone)
    word: Any = "permanent"
    with pytest.raises(BadSpec, match="member of Restart"):
        ChildSpec("a", Odd, restart=word)
    assert Restart.PERMANENT.value == word


FULL = ChildSpec("odd", Odd, name="odd", mailbox=MailboxSpec(2, Overflow.DROP_OLDEST))


async def test_a117_no_policy_drops_what_is_the_runtimes_own(running: Running) -> None:
    async with running(FULL) as runtime, anyio.create_task_group() as tasks:
        ref = runtime.whereis("odd", OddApi)
        ref.cast(Put())
        await anyio.sleep(0.005)
        tasks.start_soon(sysapi.get_state, ref)
        await anyio.sleep(0.001)
        for _ in range(5):
            ref.cast(Put())
        await anyio.sleep(1.0)
        # one was in hand, one found room beside the request: each went on after itself
        assert await ref.call(Hello()) == 2


async def test_a098_deferred_calls_are_forgotten_with_their_callers(running: Running) -> None:
    async with running(ODD) as runtime:
        ref = runtime.whereis("odd", OddApi)
        for _ in range(10):
            with pytest.raises(CallTimeout):
                await ref.call(Keep(), timeout=0.01)
        gc.collect()
        await anyio.sleep(0.1)
        cell = ref.resolve()
        assert cell is not None
        assert len(cell.deferred or ()) <= 1


async def test_a116_a_predicate_that_raises_is_its_receivers_affair(running: Running) -> None:
    seen: list[str] = []

    def choosy(message: Put) -> bool:
        raise ZeroDivisionError

    class Choosy(Odd):
        @on(Hello)
        async def hello(self, message: Hello) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
            try:
                await self.ctx.receive(Put, where=choosy)
            except ZeroDivisionError:
                seen.append("here")
            return 1

    async with running(ChildSpec("odd", Choosy, name="odd")) as runtime:
        ref = runtime.whereis("odd", OddApi)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ref.call, Hello())
            await anyio.sleep(0.01)
            ref.cast(Put())
    assert seen == ["here"]


async def test_a_supervisor_that_cannot_decide_ends_and_leaves_nobody(
    running: Running, reports: list[Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    decided: list[object] = []

    def confused_once(model: Any, event: Any) -> Any:
        decided.append(event)
        if len(decided) == 1:
            raise RuntimeError("cannot decide")
        return strategy.step(model, event)

    async with running(ChildSpec("sup", SupSpec(children=(ODD,))), intensity=5) as runtime:
        ref = runtime.whereis("odd", OddApi)
        monkeypatch.setattr("keygrove_actors.supervisor.step", confused_once)
        ref.exit(Crash("Boom", ""))
        await anyio.sleep(1.0)
        assert await ref.call(Hello(), wait_up=1.0) == 0
    crash = next(r.reason for r in reports if isinstance(r, ChildTerminated) and r.path == "sup")
    assert isinstance(crash, Crash)
    assert crash.text == "cannot decide"


async def test_a003_a_failed_start_deep_in_the_tree_names_who_failed_and_why(
    running: Running,
) -> None:
    class Broken(Odd):
        def init(self, ctx: Ctx) -> None:
            raise OSError("no such device")

    inner = ChildSpec("inner", SupSpec(children=(ChildSpec("broken", Broken),)))
    with pytest.raises(StartFailed, match=r"because outer/inner/broken .* no such device"):
        async with running(ChildSpec("outer", SupSpec(children=(inner,)))):
            pass

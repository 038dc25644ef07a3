"""Several calls at once."""

from __future__ import annotations

from functools import partial

import anyio
import pytest

from keygrove_actors import (
    Actor,
    Call,
    CallTimeout,
    Cast,
    ChildSpec,
    Ctx,
    NoProc,
    Requests,
    Trace,
    abcast,
    multi_call,
    on,
    on_cast,
)
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


class LagApi:
    pass


class Lag(Call[LagApi, str], frozen=True, tag=True):
    pass


class Collect(Call[LagApi, tuple[str, ...]], frozen=True, tag=True):
    names: tuple[str, ...]


class Touch(Cast[LagApi], frozen=True, tag=True):
    pass


class Lagging(Actor[LagApi]):
    def __init__(self, name: str, seconds: float) -> None:
        self.name = name
        self.seconds = seconds

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on(Lag)
    async def lag(self, message: Lag) -> str:
        await anyio.sleep(self.seconds)
        return self.name

    @on(Collect)
    async def collect(self, message: Collect) -> tuple[str, ...]:
        refs = [self.ctx.whereis(name, LagApi) for name in message.names]
        answers = await multi_call(refs, Lag(), timeout=50.0)
        return tuple(type(bad.error).__name__ for bad in answers.bad)

    @on_cast(Touch)
    def touch(self, message: Touch) -> None:
        self.seconds = 0.0


def lagging(name: str, seconds: float) -> ChildSpec:
    return ChildSpec(name, lambda: Lagging(name, seconds), name=name)


CHILDREN = (lagging("a", 3.0), lagging("b", 1.0), lagging("c", 9.0))


async def test_a102_multi_call_waits_for_all_under_one_deadline(running: Running) -> None:
    async with running(*CHILDREN) as runtime:
        refs = [runtime.whereis(name, LagApi) for name in ("a", "nobody", "b", "c")]
        start = anyio.current_time()
        answers = await multi_call(refs, Lag(), timeout=5.0)
        assert anyio.current_time() - start < 5.1
        assert [reply for _, reply in answers.replies] == ["a", "b"]
        assert [(bad.ref.label, type(bad.error)) for bad in answers.bad] == [
            ("nobody", NoProc),
            ("c", CallTimeout),
        ]
        assert runtime.leftovers()["deadlines"] == 0


async def test_a102_multi_call_from_a_handler_keeps_to_its_deadline(running: Running) -> None:
    async with running(*CHILDREN, lagging("d", 0.0)) as runtime:
        ref = runtime.whereis("d", LagApi)
        assert await ref.call(Collect(("a", "d"))) == ("CallingSelf",)


async def test_a102_abcast_reaches_all(running: Running) -> None:
    async with running(*CHILDREN) as runtime:
        refs = [runtime.whereis(name, LagApi) for name in "abc"]
        abcast(refs, Touch())
        answers = await multi_call(refs, Lag(), timeout=0.5)
        assert [reply for _, reply in answers.replies] == ["a", "b", "c"]


async def test_a176_a_fan_out_keeps_the_trace_and_sets_the_parent_span(running: Running) -> None:
    class Traced(Lagging):
        @on(Lag)
        async def lag(self, message: Lag) -> str:
            return self.shown()

        @on_cast(Touch)
        def touch(self, message: Touch) -> None:
            seen.append(self.shown())

        def shown(self) -> str:
            trace = self.ctx.trace
            return "" if trace is None else f"{trace.id} {trace.span} of {trace.parent}"

    class Asking(Lagging):
        @on(Collect)
        async def collect(self, message: Collect) -> tuple[str, ...]:
            refs = [self.ctx.whereis(name, LagApi) for name in message.names]
            abcast(refs, Touch(), trace=self.ctx.trace)
            answers = await multi_call(refs, Lag())
            one = Requests[str]()
            last = one.send(refs[0], Lag())
            assert await one.wait_any() is last
            return (*(reply for _, reply in answers.replies), last.result())

    seen: list[str] = []
    specs = [ChildSpec(n, partial(Traced, n, 0.0), name=n) for n in "ab"]
    async with running(*specs, ChildSpec("c", partial(Asking, "c", 0.0), name="c")) as runtime:
        a, b, c = (runtime.whereis(name, LagApi) for name in "abc")
        replies = await c.call(Collect(("a", "b")), trace=Trace("t", "s"))
        assert replies == ("t s.1 of s", "t s.2 of s", "t s of None")
        assert seen == ["t s.1 of s", "t s.2 of s"]
        answers = await multi_call([a, b], Lag(), trace=Trace("u"))
        assert [reply for _, reply in answers.replies] == ["u .1 of None", "u .2 of None"]
        assert await c.call(Collect(("a", "b"))) == ("", "", "")


async def test_a103_each_reply_is_given_out_once_in_order_of_coming(running: Running) -> None:
    async with running(*CHILDREN) as runtime:
        requests = Requests[str]()
        for name in "abc":
            requests.send(runtime.whereis(name, LagApi), Lag(), timeout=None)
        seen: list[str] = []
        while (pending := await requests.wait_any()) is not None:
            seen.append(pending.result())
        assert seen == ["b", "a", "c"]
        assert len(requests) == 0


async def test_a103_an_abandoned_call_leaves_nothing_behind(running: Running) -> None:
    async with running(*CHILDREN) as runtime:
        requests = Requests[str]()
        first = requests.send(runtime.whereis("a", LagApi), Lag())
        requests.send(runtime.whereis("b", LagApi), Lag())
        await anyio.sleep(0.1)
        first.abandon()
        assert await requests.wait_any(0.5) is None
        done = await requests.wait_any()
        assert done is not None
        assert done.result() == "b"
        assert await requests.wait_any() is None
        await anyio.sleep(5.0)
        assert runtime.counters.late_replies == 1
        assert runtime.leftovers()["deadlines"] == 0

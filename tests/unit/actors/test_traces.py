"""What OTP 25 did with the same children and events, replayed through the real runtime.

Children: id and P permanent, T transient, M temporary. Events: `a:boom` ends that child
(skipped if it is not running), `fail(a,2)` lets its next two inits fail. Trace: `+a` up,
`xa` init failed, `-a(why)` ended by itself, `-a` shut down, `EXIT` supervisor ended.
"""

import re
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from keygrove_actors import (
    Actor,
    Cast,
    ChildSpec,
    ChildStarted,
    ChildTerminated,
    Ctx,
    Normal,
    Report,
    Restart,
    Runtime,
    Shutdown,
    StartError,
    State,
    Stop,
    Strategy,
    TreeEnded,
    on_cast,
)

ROWS = [
    ("one_for_one", 5, "aP bT tM dP", "b:boom b:normal a:normal stop",
     "+a +b +t +d -b(boom) +b -b(normal) -a(normal) +a -d -t -a EXIT"),
    ("rest_for_one", 5, "aP bT tM dP", "b:boom b:normal a:normal stop",
     "+a +b +t +d -b(boom) -d -t +b +d -b(normal) -a(normal) -d +a +b +d -d -b -a EXIT"),
    ("one_for_all", 5, "aP bT tM dP", "b:boom b:normal a:normal stop",
     "+a +b +t +d -b(boom) -d -t -a +a +b +d -b(normal) -a(normal) -d +a +b +d -d -b -a EXIT"),
    ("one_for_one", 1, "aP bP", "a:boom b:boom", "+a +b -a(boom) +a -b(boom) -a EXIT"),
    ("one_for_one", 3, "fP", "fail(f,99) f:boom", "+f -f(boom) xf xf xf EXIT"),
    ("rest_for_one", 8, "aP bP cM dP", "fail(a,2) c:boom fail(b,2) a:shutdown c:normal",
     "+a +b +c +d -c(boom) -a -d -b xa xa +a xb xb +b +d"),
    ("rest_for_one", 8, "aP bM cP", "a:shutdown b:shutdown fail(b,2) c:shutdown a:boom",
     "+a +b +c -a -c -b +a +c -c +c -a(boom) -c +a +c"),
    ("one_for_one", 8, "aP bP cT dP",
     "fail(d,1) d:boom fail(b,3) d:boom d:shutdown d:normal c:normal d:boom",
     "+a +b +c +d -d(boom) xd +d -d(boom) +d -d +d -d(normal) +d -c(normal) -d(boom) +d"),
    ("one_for_all", 5, "aT bM cM dP", "b:boom a:boom fail(c,2) b:boom fail(a,2) a:normal c:boom",
     "+a +b +c +d -b(boom) -a(boom) -d -c +a +d -a(normal)"),
    ("one_for_one", 5, "aP bM cP", "b:normal c:normal a:boom fail(a,2) a:boom",
     "+a +b +c -b(normal) -c(normal) +c -a(boom) +a -a(boom) xa xa +a"),
]  # fmt: skip

KINDS = {"P": Restart.PERMANENT, "T": Restart.TRANSIENT, "M": Restart.TEMPORARY}


class ChildApi:
    pass


class End(Cast[ChildApi], frozen=True, tag=True):
    how: str


class BoomError(Exception):
    pass


class Plain(Actor[ChildApi]):
    def __init__(self, id: str, failing: Counter[str]) -> None:  # noqa: A002 - OTP's word
        self.id = id
        self.failing = failing

    def init(self, ctx: Ctx) -> None:
        if self.failing[self.id] > 0:
            self.failing[self.id] -= 1
            raise BoomError("boom")

    @on_cast(End)
    def end(self, message: End) -> Stop:
        if message.how == "boom":
            raise BoomError("boom")
        return Stop(Normal() if message.how == "normal" else Shutdown())


class Tasked(Plain):
    async def init(self, ctx: Ctx) -> None:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        super().init(ctx)
        await anyio.lowlevel.checkpoint()

    async def terminate(self, reason: object) -> None:
        await anyio.lowlevel.checkpoint()


def shown(report: Report) -> str | None:
    match report:
        case ChildStarted(child):
            return f"+{child}"
        case StartError(child):
            return f"x{child}"
        case ChildTerminated(child, _, _, Shutdown()):
            return f"-{child}"
        case ChildTerminated(child, _, _, Normal()):
            return f"-{child}(normal)"
        case ChildTerminated(child):
            return f"-{child}(boom)"
        case _:
            return None


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [Plain, Tasked])
@pytest.mark.parametrize(("strategy", "intensity", "children", "events", "trace"), ROWS)
async def test_a020_to_a046_the_runtime_does_what_otp_did(  # noqa: PLR0913, PLR0917 - a table's columns
    running: Callable[..., AbstractAsyncContextManager[Runtime]],
    reports: list[Report],
    kind: type[Plain],
    strategy: str,
    intensity: int,
    children: str,
    events: str,
    trace: str,
) -> None:
    failing: Counter[str] = Counter()
    specs = [
        ChildSpec(c[0], partial(kind, c[0], failing), name=c[0], restart=KINDS[c[1]])
        for c in children.split()
    ]
    seen: list[str] = []
    with suppress(TreeEnded):
        async with running(
            *specs, strategy=Strategy(strategy), intensity=intensity, period=1000.0
        ) as runtime:
            for event in events.split():
                if count := re.fullmatch(r"fail\((\w),(\d+)\)", event):
                    failing[count[1]] = int(count[2])
                elif event != "stop":
                    child, _, how = event.partition(":")
                    runtime.whereis(child, ChildApi).cast(End(how))
                    await anyio.sleep(0.01)
            if "stop" in events:
                await runtime.stop()
            seen = [line for report in reports if (line := shown(report))]
            seen += ["EXIT"] if runtime.tree().state is State.DOWN else []
    assert " ".join(seen) == trace

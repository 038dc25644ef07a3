"""Lives of children in a few letters, lived by the real runtime.

Children: id and P permanent, T transient, M temporary. Events: `a:boom` ends that child
(skipped if it is not running), `fail(a,2)` lets its next two inits fail. Trace: `+a` up,
`xa` init failed, `-a(why)` ended by itself, `-a` shut down, `EXIT` supervisor ended.
"""

import re
from collections import Counter
from contextlib import suppress
from functools import partial

import anyio
import anyio.lowlevel

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
    Shutdown,
    StartError,
    State,
    Stop,
    Strategy,
    TreeEnded,
    on_cast,
)
from tests.unit.actors.conftest import Running

KINDS = {"P": Restart.PERMANENT, "T": Restart.TRANSIENT, "M": Restart.TEMPORARY}


class ChildApi:
    pass


class End(Cast[ChildApi], frozen=True, tag=True):
    how: str


class BoomError(Exception):
    pass


class Ends(Actor[ChildApi]):
    """Ends as it is told."""

    @on_cast(End)
    def end(self, message: End) -> Stop:
        if message.how == "boom":
            raise BoomError("boom")
        return Stop(Normal() if message.how == "normal" else Shutdown())


class Plain(Ends):
    def __init__(self, id: str, failing: Counter[str]) -> None:  # noqa: A002 - OTP's word
        self.id = id
        self.failing = failing

    def init(self, ctx: Ctx) -> None:
        if self.failing[self.id] > 0:
            self.failing[self.id] -= 1
            raise BoomError("boom")


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


async def lived(  # noqa: PLR0913, PLR0917 - a table's columns
    running: Running,
    reports: list[Report],
    kind: type[Plain],
    strategy: str,
    intensity: int,
    children: str,
    events: str,
) -> str:
    """What becomes of `children` by `events`."""
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
    return " ".join(seen)

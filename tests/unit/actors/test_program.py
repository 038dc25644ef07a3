"""A tree as a whole program: its signals, its exit code, and its last words."""

from __future__ import annotations

import os
import signal
from typing import Any

import anyio
import pytest

from keygrove_actors import (
    Actor,
    ChildSpec,
    ChildTerminated,
    Ctx,
    Report,
    Shutdown,
    StartError,
    SupSpec,
    serve,
)

BACKENDS = ("asyncio", "trio")


class Signalled(Actor[object]):
    """Has its own process stopped, as an operator would, and does what a subclass says."""

    sends: signal.Signals | None = signal.SIGTERM

    def init(self, ctx: Ctx) -> None:
        ctx.start_soon(self.go)

    async def go(self) -> None:
        if self.sends is not None:
            os.kill(os.getpid(), self.sends)
        await anyio.sleep_forever()


class Interrupted(Signalled):
    sends = signal.SIGINT


class Slow(Signalled):
    async def terminate(self, reason: object) -> None:
        await anyio.sleep_forever()


class Failing(Signalled):
    sends = None

    async def go(self) -> None:
        raise ValueError("boom")


class Misborn(Actor[object]):
    def init(self, ctx: Ctx) -> None:
        raise OSError("no such\nport")


class Endless(Actor[object]):
    async def init(self, ctx: Ctx) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await anyio.sleep_forever()


def tree(kind: Any) -> SupSpec:
    return SupSpec(children=(ChildSpec("a", kind),))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", [Signalled, Interrupted])
def test_a_signal_stops_the_tree_in_order(backend: str, kind: type[Signalled]) -> None:
    reports: list[Report] = []
    before = signal.getsignal(kind.sends or 0)
    serve(tree(kind), observe=reports.append, backend=backend)
    assert reports[-1] == ChildTerminated("a", "a", 1, Shutdown())
    assert signal.getsignal(kind.sends or 0) is before


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_signal_stops_a_start(backend: str) -> None:
    reports: list[Report] = []
    with pytest.raises(SystemExit, match=r"^not stopped within 0 s, so killed: a;"):
        serve(tree(Endless), observe=reports.append, stop_deadline=0.0, backend=backend)
    assert any(isinstance(report, StartError) for report in reports)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Misborn, "^a crashed with OSError: no such.nport while it started: mend that and start "),
        (Failing, "^the root supervisor .*: the last breach reported names the child to mend$"),
        (Slow, "^not stopped within 0 s, so killed: a; look at"),
    ],
    ids=["start", "end", "stop"],
)
def test_what_fails_is_the_last_line_of_the_program(backend: str, kind: Any, told: str) -> None:
    with pytest.raises(SystemExit, match=told) as caught:
        serve(tree(kind), stop_deadline=0.0, backend=backend)
    assert isinstance(caught.value.code, str), "which Python prints, and exits with 1"
    assert caught.value.code.isprintable()

"""A tree as a whole program: its signals, its exit code, and its last words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
    WrongThread,
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


OUTLIVES = """
import anyio
from keygrove_actors import Actor, ChildSpec, Ctx, Normal, SupSpec, serve

class Shielded(Actor[object]):
    async def init(self, ctx):
        ctx.start_soon(self.go)
        ctx.self_ref.kill()

    async def go(self):
        with anyio.CancelScope(shield=True):
            await anyio.sleep_forever()

serve(SupSpec(children=(ChildSpec("a", Shielded),), intensity=0), observe=print, backend="{}")
"""


@pytest.mark.slow  # for the second that an actor has to die of its kill, and one more
@pytest.mark.parametrize("backend", BACKENDS)
def test_a014_a177_a_process_ends_though_an_actor_does_not(backend: str) -> None:
    program = [sys.executable, "-c", OUTLIVES.format(backend)]
    ended = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
    *_, last = ended.stderr.splitlines()
    assert (ended.returncode, last.startswith("still running, though killed")) == (1, True)
    assert "Traceback" not in ended.stderr
    assert "a still ran 1 s after its kill, and is cut off" in ended.stdout


def torn(error: Exception) -> Callable[[Report], None]:
    def observe(report: Report) -> None:
        raise error

    return observe


@pytest.mark.parametrize("backend", BACKENDS)
def test_reports_that_cannot_be_written_are_told_of_in_a_line(backend: str) -> None:
    told = r"^reports were lost: \[Errno 32\] Broken pipe: see where observe writes$"
    with pytest.raises(SystemExit, match=told):
        serve(tree(Signalled), observe=torn(BrokenPipeError(32, "Broken pipe")), backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_observers_own_error_is_raised_as_it_is(backend: str) -> None:
    with pytest.raises(ValueError, match="odd"):
        serve(tree(Signalled), observe=torn(ValueError("odd")), backend=backend)


def test_a_tree_is_served_in_the_main_thread_by_a_loop_there_is() -> None:
    with pytest.raises(ValueError, match="backend is 'curio': give one of asyncio, trio"):
        serve(tree(Signalled), backend="curio")
    with ThreadPoolExecutor() as threads, pytest.raises(WrongThread, match="here, use run"):
        threads.submit(serve, tree(Signalled)).result()

"""Run a world: what happens, when, and in which order, follows from a seed.

Two engines run the same coroutine: `aio`, a loop of asyncio whose clock jumps, with the rules of
cancellation that production has; `trio`, whose rules are stricter. The coroutine may use all of
anyio but threads, sockets, files and processes.
"""

from __future__ import annotations

import gc
import inspect
import signal
import threading
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, Generic, TypeVar

import msgspec

from keygrove_chaos.engine_aio import run_on_aio
from keygrove_chaos.engine_trio import run_on_trio
from keygrove_chaos.errors import first, place
from keygrove_chaos.program import program_of
from keygrove_chaos.trace import Trace, line
from keygrove_chaos.tripwires import THREADS, NondeterminismError, blamed, replaced, tripwires
from keygrove_chaos.world import (
    DeadlockError,
    EngineName,
    LivelockError,
    Main,
    Options,
    TimeUpError,
    UnsupportedError,
)

T = TypeVar("T")

SHOWN: Final = 50
"""Events shown when a run fails."""
AGAIN_S: Final = 1.0
STANDS_STILL: Final = 10
"""Real seconds for each of the processor's that a run may take."""
_FOREIGN: Final[dict[EngineName, tuple[str, str]]] = {
    "trio": ("no running event loop", "asyncio's loop"),
    "aio": ("must be called from async context", "trio"),
}
"""What the other engine's library says where it is not running."""


class Outcome(msgspec.Struct, Generic[T], frozen=True):
    """A run that came to its end."""

    result: T
    seed: int
    trace: Trace
    virtual_s: float


def run(
    main: Main[T],
    *,
    seed: int,
    options: Options = Options(),  # noqa: B008 - frozen
    trace: Trace | None = None,
) -> Outcome[T]:
    """Run `main(world)` to its end.

    Whatever it raises carries the seed and the last events as notes. A `trace` of the caller's
    has them all, also then.

    The program of `main` is watched besides `options.watched`.

    Raises:
        LivelockError: virtual time stood still, or `options.cpu_s` were over.
        DeadlockError: nothing was left that could happen.
        TimeUpError: it was not over after `options.limit_s` virtual seconds.
        NondeterminismError: what is watched reached past its ports, or anybody waited for a thread.
    """
    trace = Trace(options.keep) if trace is None else trace
    with (
        _no_collector(),
        _alarm(options.cpu_s) as alarm,
        _threads() as started,
        tripwires((*options.watched, *program_of(main))) as hits,
    ):
        try:
            try:
                run_on = run_on_trio if options.engine == "trio" else run_on_aio
                result, virtual_s = run_on(main, seed, trace, options)
            except (DeadlockError, TimeUpError) as waiting:
                for thread in started:
                    raise thread from waiting
                raise
            finally:
                alarm.is_over = True
                # Whoever was running may have swallowed it, as a server does with a bug.
                for error in (*alarm.rung, *hits):
                    raise error
        except BaseException as error:
            _refuse_foreign(error, options.engine)
            error.add_note(f"seed {seed}, engine {options.engine}; the last events:")
            error.add_note("\n".join(line(event) for event in trace.last(SHOWN)))
            raise
    return Outcome(result, seed, trace, virtual_s)


def _refuse_foreign(error: BaseException, engine: EngineName) -> None:
    """Say so where a scenario asked for the event loop of the other engine."""
    wrong, (says, other) = first(error), _FOREIGN[engine]
    if isinstance(wrong, RuntimeError) and str(wrong) == says:
        raise UnsupportedError(
            f"what is called at {place(wrong)} needs {other}: use anyio "
            f"throughout, or another engine than {engine}"
        ) from error


@contextmanager
def _no_collector() -> Generator[None, None, None]:
    """Collect after a run, never in one: when it does depends on everything that went before.

    What was there before is left out, or each run would pay for the whole process.
    """
    was_on = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()
        if was_on:
            gc.enable()


@contextmanager
def _threads() -> Generator[list[NondeterminismError], None, None]:
    """Let no thread that is started keep this process alive; yields where that was done.

    Modules that nobody watches may start some: whoever waits for one is in vain, though.
    """
    real: Callable[[threading.Thread], None] = threading.Thread.start
    started: list[NondeterminismError] = []

    def start(thread: threading.Thread) -> None:
        frame = inspect.currentframe()
        assert frame is not None
        started.append(blamed("Thread.start", frame.f_back or frame, THREADS))
        thread.daemon = True
        real(thread)

    with replaced(threading.Thread, "start", start):
        yield started


class _Alarm(KeyboardInterrupt):
    """Event loops let it out, whatever they were doing."""


class _Watch:
    """Where a run was interrupted; nobody is once it is over, whatever is then still to be done."""

    def __init__(self) -> None:
        self.rung: list[LivelockError] = []
        self.is_over = False


@contextmanager
def _alarm(seconds: float) -> Generator[_Watch, None, None]:
    """Interrupt a run that takes too much of the processor, even in a loop without an await.

    How long that is in real time depends on who else wants it. What does not want it at all is
    interrupted after ten times as many real seconds. It is interrupted again each second, until
    it ends.
    """
    watch = _Watch()
    if threading.current_thread() is not threading.main_thread():
        yield watch
        return

    spans = {
        signal.SIGVTALRM: f"{seconds:g} s of the processor",
        signal.SIGALRM: f"{seconds * STANDS_STILL:g} real seconds",
    }

    def ring(number: int, frame: FrameType | None) -> None:
        if watch.is_over:
            return
        if not watch.rung:
            where = "".join(traceback.format_stack(frame, limit=5))
            span = spans[signal.Signals(number)]
            says = f"the run took more than {span}; it is at\n{where}"
            watch.rung.append(LivelockError(says))
        raise _Alarm

    with (
        _timer(signal.ITIMER_VIRTUAL, signal.SIGVTALRM, seconds, ring),
        _timer(signal.ITIMER_REAL, signal.SIGALRM, seconds * STANDS_STILL, ring),
    ):
        yield watch


@contextmanager
def _timer(
    clock: int,
    number: signal.Signals,
    seconds: float,
    ring: Callable[[int, FrameType | None], None],
) -> Generator[None, None, None]:
    before: Any = signal.signal(number, ring)
    signal.setitimer(clock, seconds, AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(clock, 0)
        signal.signal(number, before)

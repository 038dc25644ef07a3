"""A world of virtual time in one thread, and what its engines have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from random import Random
from typing import Final, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from keygrove_chaos.entropy import Streams
from keygrove_chaos.errors import ChaosError, PlanError, RunError
from keygrove_chaos.order import Order, order_for
from keygrove_chaos.timeline import Moment
from keygrove_chaos.trace import Fact, Trace
from keygrove_chaos.tripwires import WATCHED

T = TypeVar("T")

EngineName: TypeAlias = Literal["aio", "trio"]
ENGINES: Final[tuple[EngineName, ...]] = ("aio", "trio")

CPU_S: Final = 30.0
"""Seconds of the processor that a run may take."""
STILL_PASSES: Final = 200_000
"""Rounds of the scheduler, without virtual time passing, after which a run is called a livelock."""
HOST: ContextVar[str] = ContextVar("HOST", default="")
"""Which node a task or callback belongs to; inherited by what it starts."""


_FACTS: Final = frozenset({str, int, float, bool})
"""Types of nearly all facts; what is derived from them serves as well, and takes longer."""


class LivelockError(RunError):
    """Something runs and runs, and virtual time stands still."""


class DeadlockError(RunError):
    """Everyone waits, and nothing will ever happen."""


class TimeUpError(RunError):
    """The run is not over at the virtual second it had to be over by."""


class BackgroundError(RunError):
    """A task that nobody awaited died, or a callback did."""


class UnsupportedError(ChaosError):
    """The engine cannot do this: never a silent no-op."""


class Engine(Protocol):
    """What moves a world."""

    def now(self) -> float:
        """Virtual seconds."""
        ...

    def call_at(self, when: float, function: Callable[[], None], /) -> Moment:
        """See `Timeline`."""
        ...

    def pause(self, host: str) -> None:
        """Run nothing of this host from now on.

        Raises:
            UnsupportedError: this engine cannot.
        """
        ...

    def resume(self, host: str) -> None:
        """Run what waited, and go on."""
        ...


class World:
    """The `Timeline` of one run, and its trace."""

    def __init__(
        self, streams: Streams, engine: Engine, trace: Trace, plan: bytes | None = None
    ) -> None:
        self.seed = streams.seed
        self.trace = trace
        self.plan = plan
        """What the run was given, or has drawn; JSON."""
        self._engine = engine
        self._streams = streams
        self.counts: dict[str, int] = {}
        self.now = engine.now
        self.call_at = engine.call_at

    def stream(self, purpose: str) -> Random:
        """See `Timeline`."""
        return self._streams.stream(purpose)

    def planned(self, drawn: T) -> T:
        """The plan of this run: what was drawn from its seed, or else what `Options` gives.

        Raises:
            PlanError: what is given is no such plan.
        """
        if self.plan is not None:
            try:
                return msgspec.json.decode(self.plan, type=type(drawn))
            except msgspec.DecodeError as error:
                raise PlanError(str(error)) from error
        self.plan = msgspec.json.encode(drawn)
        return drawn

    def note(self, *facts: Fact) -> None:
        """See `Timeline`.

        Raises:
            TypeError: a fact is neither a word nor a number.
        """
        if not _FACTS.issuperset(map(type, facts)):
            _check_facts(facts)
        self.trace.add(self.now(), facts)

    def count(self, what: str, by: int = 1) -> None:
        """Count what happened, to be seen in the verdict: effects of faults, rare states.

        Raises:
            TypeError: it is not so many.
        """
        if not isinstance(by, int):  # pyright: ignore[reportUnnecessaryIsInstance] - scenarios may be untyped
            raise TypeError(f"world.count({what!r}, {by!r:.80}): count by whole numbers")
        self.counts[what] = self.counts.get(what, 0) + by

    def pause(self, host: str) -> None:
        """Freeze all tasks and callbacks that began under this `HOST`."""
        self.note("pause", host)
        self._engine.pause(host)

    def resume(self, host: str) -> None:
        """Let them go on; what fell due meanwhile happens now."""
        self.note("resume", host)
        self._engine.resume(host)


def _check_facts(facts: tuple[object, ...]) -> None:
    for fact in facts:
        if not isinstance(fact, str | int | float):
            raise TypeError(
                f"world.note({fact!r:.80}): facts are words and numbers that are the same in each "
                "run; note a name of it"
            )


Main: TypeAlias = Callable[[World], Awaitable[T]]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Of one run. `limit_s` is virtual time, `cpu_s` is the processor's; `keep`: which events."""

    engine: EngineName = "aio"
    limit_s: float = 86_400.0
    cpu_s: float = CPU_S
    order: Callable[[Random], Order] = order_for
    watched: tuple[str, ...] = WATCHED
    """Packages that tripwires watch besides the program of the scenario; see `tripwires`."""
    keep: range | None = None
    plan: bytes | None = None
    """In place of what the seed would draw; see `World.planned`."""

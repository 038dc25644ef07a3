"""What observers see of one actor: figures, the last events, a trace, filters.

None of it costs an unobserved actor anything: while a `Watch` is set, the actor's fast
tables are empty, and every message comes past it (see `turns`).
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from keygrove_actors.hub import type_name
from keygrove_actors.mail import Notice, Request
from keygrove_actors.messages import Defer

if TYPE_CHECKING:
    from keygrove_actors.cell import Cell

LOG_EVENTS: Final = 10
"""Events remembered unless somebody asks for more; OTP's number."""


class Direction(enum.Enum):
    """What kind of event it was."""

    IN = "in"
    """A message is about to be handled."""
    OUT = "out"
    """A message was sent."""
    REPLY = "reply"
    """A call was answered."""
    TIMER = "timer"
    """A timer of the actor fired, and its message is mail now."""
    STATE = "state"
    """A state machine changed its state."""


class TraceEvent(msgspec.Struct, frozen=True):
    """One event of one actor. `about` is a message type or a state, never a payload."""

    at: float
    path: str
    what: Direction
    about: str
    target: str | None = None


class Figures(msgspec.Struct, frozen=True):
    """How often one type of message was handled, and how long that took."""

    count: int = 0
    total_s: float = 0.0
    longest_s: float = 0.0


class Statistics(msgspec.Struct, frozen=True):
    """What an actor did since its statistics were turned on."""

    since: float
    messages_in: int
    messages_out: int
    kinds: dict[str, Figures]


class Watch:
    """All that watches one actor."""

    __slots__ = (
        "_begun",
        "_cell",
        "_filters",
        "_kind",
        "_kinds",
        "_log",
        "_messages_in",
        "_messages_out",
        "_since",
        "_sink",
    )

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._sink: Callable[[TraceEvent], None] | None = None
        self._log: deque[TraceEvent] | None = None
        self._filters: list[Callable[[Any], bool]] = []
        self._since: float | None = None
        self._messages_in = self._messages_out = 0
        self._kinds: dict[str, Figures] = {}
        self._begun = 0.0
        self._kind: str | None = None

    def is_needed(self) -> bool:
        """Whether anything watches at all."""
        return bool(
            self._sink is not None
            or self._log is not None
            or self._filters
            or self._since is not None
        )

    # ---- what the actor's turns tell

    def lets_in(self, item: Any) -> bool:
        """A message is about to be handled; whether no filter is against it."""
        message = item.message if isinstance(item, Request) else item
        message = getattr(message, "message", message) if isinstance(item, Notice) else message
        for keep in list(self._filters):
            try:
                if not keep(message):
                    return False
            except Exception:  # noqa: BLE001 - a filter that raises is taken away (A-146)
                self.remove(keep)
        self._kind = type_name(message)
        self._begun = self._cell.hub.backend.clock()
        self._messages_in += 1
        self._event(Direction.IN, self._kind)
        return True

    def settled(self, item: Any, outcome: Any) -> None:
        """Its handler is done."""
        if isinstance(item, Request) and not isinstance(outcome, Defer):
            self._event(Direction.REPLY, type_name(item.message))
        if self._since is not None and self._kind is not None:
            took = self._cell.hub.backend.clock() - self._begun
            old = self._kinds.get(self._kind, Figures())
            self._kinds[self._kind] = Figures(
                old.count + 1, old.total_s + took, max(old.longest_s, took)
            )
        self._kind = None

    def sent(self, message: str, target: str) -> None:
        """The actor sent something."""
        self._messages_out += 1
        self._event(Direction.OUT, message, target)

    def timer(self, message: str) -> None:
        """A timer fired."""
        self._event(Direction.TIMER, message)

    def state(self, name: str) -> None:
        """A state machine has a new state."""
        self._event(Direction.STATE, name)

    # ---- what observers ask

    def trace(self, sink: Callable[[TraceEvent], None] | None) -> None:
        """Give every event to `sink`, or to nobody."""
        self._sink = sink

    def keep_log(self, events: int) -> None:
        """Remember that many events from now on, or none."""
        self._log = deque(self._log or (), maxlen=events) if events else None

    def log(self) -> tuple[TraceEvent, ...]:
        """The events remembered, oldest first."""
        return tuple(self._log or ())

    def count(self, *, on: bool) -> None:
        """Begin the statistics anew, or end them."""
        self._since = self._cell.hub.backend.now() if on else None
        self._messages_in = self._messages_out = 0
        self._kinds = {}

    def statistics(self) -> Statistics | None:
        """The figures; None unless they were asked for."""
        if self._since is None:
            return None
        return Statistics(self._since, self._messages_in, self._messages_out, dict(self._kinds))

    def install(self, keep: Callable[[Any], bool]) -> None:
        """Ask `keep` of each message whether it is to be handled."""
        self._filters.append(keep)

    def remove(self, keep: Callable[[Any], bool]) -> None:
        """Ask it no more."""
        if keep in self._filters:
            self._filters.remove(keep)

    def _event(self, what: Direction, about: str, target: str | None = None) -> None:
        if self._sink is None and self._log is None:
            return
        event = TraceEvent(self._cell.hub.backend.now(), self._cell.path, what, about, target)
        if self._log is not None:
            self._log.append(event)
        if self._sink is not None:
            try:
                self._sink(event)
            except Exception:  # noqa: BLE001 - a sink must not harm the actor it watches
                self._sink = None

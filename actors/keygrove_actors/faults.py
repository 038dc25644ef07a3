"""What a simulation does to messages on their way, all of it drawn from one seed.

The gate stands before every mailbox. A rule says which messages it concerns, by sender,
receiver and type, and what becomes of them; a partition loses what crosses it, replies
included. Crashes before or after handling are planted with a `Watch` of their own, so
that they happen in the turn, where a real one would.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from keygrove_actors.backend import Parker
from keygrove_actors.cell import Cell
from keygrove_actors.hub import Hub, type_name
from keygrove_actors.mail import Envelope, Mailbox, Notice, Request
from keygrove_actors.reports import Cause
from keygrove_actors.watch import Watch
from keygrove_actors.wheel import Alarm

if TYPE_CHECKING:
    from keygrove_actors.turns import Turns

OUTSIDE: Final = "-"
"""The sender of what no actor sent."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Which messages, and what becomes of them. Paths; None stands for any.

    `drop` and `duplicate` are probabilities, `delay` bounds in seconds to draw from; a
    delay lets later messages overtake. Calls are never duplicated: the caller takes one
    reply. With `replies`, the rule holds for answers on their way back instead.
    """

    sender: str | None = None
    target: str | None = None
    message: type[Any] | None = None
    drop: float = 0.0
    delay: tuple[float, float] | None = None
    duplicate: float = 0.0
    replies: bool = False

    def concerns(self, sender: str, target: str, message: object) -> bool:
        """Whether the rule is for this one."""
        return (
            self.sender in {None, sender}
            and self.target in {None, target}
            and (self.message is None or type(message) is self.message)
        )


class _Reply:
    """A caller's parker behind the gate: the answer has a way to go, too."""

    __slots__ = ("_gate", "_hub", "_message", "_parker", "_way")

    def __init__(self, gate: FaultGate, cell: Mailbox, request: Request, caller: str) -> None:
        self._gate = gate
        self._hub = cell.hub
        self._parker = request.parker
        self._message = request.message
        self._way = (cell.path, caller)

    def done(self) -> bool:
        return self._parker.done()

    def set_result(self, result: Any, /) -> None:
        self._gate.answer(self._hub, self._message, self._way, partial(self._arrive, result))

    def set_exception(self, exception: Exception, /) -> None:
        if not self._parker.done():
            self._parker.set_exception(exception)

    def _arrive(self, result: Any) -> None:
        if not self._parker.done():
            self._parker.set_result(result)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._parker.__await__()


class _Coin(dict[type[Any], Any]):
    """The handlers of one cell that may run directly: if the coin says so, and no fault does."""

    __slots__ = ("_cell", "_gate")

    def __init__(self, gate: FaultGate, cell: Mailbox, table: dict[type[Any], Any]) -> None:
        super().__init__(table)
        self._gate = gate
        self._cell = cell

    def get(self, kind: Any, default: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] - one signature of three is used
        handler = super().get(kind, default)
        if handler is None or not self._gate.allows_direct(self._cell, kind):
            return None
        return handler


class CrashPlan(Watch):
    """Raises `error` at the next message of `kind`, before or after it is handled."""

    __slots__ = ("_after", "_error", "_kind_to_hit")

    def __init__(self, cell: Cell, kind: type[Any], error: Exception, *, after: bool) -> None:
        super().__init__(cell)
        self._kind_to_hit = kind
        self._error = error
        self._after = after

    def is_needed(self) -> bool:
        """Always: it is there to strike."""
        return True

    def lets_in(self, item: Any) -> bool:
        """A message is about to be handled."""
        if not self._after and self._hits(item):
            if isinstance(item, Request):
                self._cell.current = item  # as a handler that crashes: its caller is told
            raise self._error
        return super().lets_in(item)

    def settled(self, item: Any, outcome: Any) -> None:
        """It is handled, and not answered yet."""
        if self._after and self._hits(item):
            raise self._error
        super().settled(item, outcome)

    def _hits(self, item: Any) -> bool:
        message = item.message if isinstance(item, Request) else item
        return type(message) is self._kind_to_hit


class FaultGate:
    """Decides over each message of a simulated runtime, and writes down what it decided."""

    def __init__(self, random: Random, note: Callable[..., None]) -> None:
        self.rules: list[Rule] = []
        self.plans: list[tuple[str, type[Any], Exception, bool]] = []
        self._parts: tuple[frozenset[str], frozenset[str]] | None = None
        self._random = random
        self._note = note
        self._is_passing = False

    def partition(self, left: set[str], right: set[str]) -> None:
        """Lose whatever goes from one part to the other. Paths of actors."""
        self._parts = (frozenset(left), frozenset(right))

    def heal(self) -> None:
        """Let messages pass again; what was lost stays lost."""
        self._parts = None

    def direct(self, cell: Mailbox, table: dict[type[Any], Any]) -> dict[type[Any], Any]:
        """Whether a call runs directly is drawn for each."""
        return _Coin(self, cell, table)

    def allows_direct(self, cell: Mailbox, kind: type[Any]) -> bool:
        """Whether a call may pass by the gate this time."""
        if self.rules or self.plans or self._parts is not None or self._random.random() < 0.5:
            return False
        self._note("direct", _sender(cell.hub), cell.path, kind.__name__)
        return True

    def admits(self, cell: Mailbox, item: Any) -> bool:
        """Let `item` in, lose it, or keep it for later."""
        if self._is_passing or (isinstance(item, Notice) and type(item) is not Envelope):
            return True
        sender = _sender(cell.hub)
        message = item.message if isinstance(item, Request | Envelope) else item
        self._plant(cell)
        fate, delay = self._fate(sender, cell.path, message, replies=False)
        if isinstance(item, Request) and not isinstance(item.parker, _Reply):
            item.parker = cast("Parker[Any]", _Reply(self, cell, item, sender))
        self._note("send", sender, cell.path, type_name(message), fate)
        match fate:
            case "drop":
                if not isinstance(item, Request):
                    cell.hub.dead_letter(cell.label, item, Cause.FILTERED)
                return False
            case "delay":
                self._later(cell, item, delay)
                return False
            case "duplicate" if not isinstance(item, Request):
                self._later(cell, item, self._random.uniform(0.0, 0.01))
            case _:
                pass
        return True

    def answer(
        self, hub: Hub, message: object, way: tuple[str, str], arrive: Callable[[], None]
    ) -> None:
        """An answer is on its way back to `target`."""
        sender, target = way
        fate, delay = self._fate(sender, target, message, replies=True)
        self._note("reply", sender, target, type_name(message), fate)
        if fate == "delay":
            Alarm(hub.wheel, hub.backend.now() + delay, arrive)
        elif fate != "drop":
            arrive()

    def _fate(
        self, sender: str, target: str, message: object, *, replies: bool
    ) -> tuple[str, float]:
        if self._parts is not None:
            left, right = self._parts
            if (sender in left and target in right) or (sender in right and target in left):
                return "drop", 0.0
        for rule in self.rules:
            if rule.replies is not replies or not rule.concerns(sender, target, message):
                continue
            if self._random.random() < rule.drop:
                return "drop", 0.0
            if self._random.random() < rule.duplicate:
                return "duplicate", 0.0
            if rule.delay is not None:
                return "delay", self._random.uniform(*rule.delay)
        return "pass", 0.0

    def _later(self, cell: Mailbox, item: Any, delay: float) -> None:
        Alarm(cell.hub.wheel, cell.hub.backend.now() + delay, partial(self._deliver, cell, item))

    def _deliver(self, cell: Mailbox, item: Any) -> None:
        self._note("arrive", cell.path, type_name(getattr(item, "message", item)))
        self._is_passing = True
        try:
            cell.post(item)
        finally:
            self._is_passing = False

    def _plant(self, cell: Mailbox) -> None:
        for plan in self.plans:
            path, kind, error, after = plan
            if path in {cell.path, cell.spec.name} and isinstance(cell, Cell):
                self.plans.remove(plan)
                cell.watch = CrashPlan(cell, kind, error, after=after)
                cell.retable()
                return


def _sender(hub: Hub) -> str:
    cell: Turns | None = hub.calling_cell()
    return OUTSIDE if cell is None else cell.path

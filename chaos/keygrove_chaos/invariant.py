"""What an invariant is: something that sees all that happens, and may say that it is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from keygrove_chaos.history import Function
from keygrove_chaos.observation import Finding, Occurrence, View
from keygrove_chaos.operations import Operation


class Invariant(Protocol):
    """One invariant in one run. Each method returns the first thing found wrong."""

    id: ClassVar[str]
    hears: ClassVar[frozenset[Function]]
    """It is shown events of the history that are about these, and all that is no such event."""

    def on_event(self, event: Occurrence) -> Finding | None:
        """Something happened. O(1), but for the packets that it is about."""
        ...

    def at_quiescence(self, view: View) -> Finding | None:
        """Nothing moves now."""
        ...

    def final(self, view: View, ops: Sequence[Operation]) -> Finding | None:
        """The run is over, all faults are healed, and everything has settled."""
        ...


class Passive:
    """An invariant that finds nothing; a base for those that do not look at all moments."""

    hears: ClassVar[frozenset[Function]] = frozenset(Function)

    def on_event(self, event: Occurrence) -> Finding | None:
        """See `Invariant`."""
        del event
        return None

    def at_quiescence(self, view: View) -> Finding | None:
        """See `Invariant`."""
        del view
        return None

    def final(self, view: View, ops: Sequence[Operation]) -> Finding | None:
        """See `Invariant`."""
        del ops
        return self.at_quiescence(view)

"""The monitor that holds a run against its invariants.

What is not watched is printed with the reason, never left out in silence; and what is not
known is printed as such, never counted as held.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from keygrove_chaos.catalogue import CATALOGUE, DESCRIPTIONS, Setup
from keygrove_chaos.errors import ChaosError
from keygrove_chaos.history import Event, Function
from keygrove_chaos.invariant import Invariant, Passive
from keygrove_chaos.observation import Finding, Occurrence, Undecided, View, Violation
from keygrove_chaos.operations import operations


class Monitor:
    """One run, held against its invariants. Of each, the first violation is kept."""

    def __init__(self, invariants: Iterable[Invariant], disabled: Mapping[str, str]) -> None:
        self._watching = {one.id: one for one in invariants}
        self._hear()
        self._kept = list(self._watching)
        self._disabled = dict(disabled)
        self.findings: list[Finding] = []

    def on_event(self, event: Occurrence) -> None:
        """Something happened."""
        hearing = self._hearing[event.function] if isinstance(event, Event) else self._listening
        for invariant in hearing:
            finding = invariant.on_event(event)
            if finding is not None:
                self._take(invariant, finding)

    def at_quiescence(self, view: View) -> None:
        """Nothing moves now."""
        for invariant in list(self._watching.values()):
            self._take(invariant, invariant.at_quiescence(view))

    def final(self, view: View, history: Iterable[Event]) -> None:
        """The run is over, all faults are healed, and everything has settled."""
        ops = operations(history)
        for invariant in list(self._watching.values()):
            self._take(invariant, invariant.final(view, ops))

    def _take(self, invariant: Invariant, finding: Finding | None) -> None:
        if finding is not None:
            self.findings.append(finding)
            if isinstance(finding, Violation):
                del self._watching[invariant.id]
                self._hear()

    def _hear(self) -> None:
        """Who looks at what: there are many events, and most invariants pass most of them over."""
        passing_over: object = Passive.on_event
        watching = self._watching.values()
        self._listening = [one for one in watching if type(one).on_event is not passing_over]
        self._hearing = {
            function: [one for one in self._listening if function in one.hears]
            for function in Function
        }

    @property
    def violations(self) -> list[Violation]:
        """What is wrong, in the order in which it was found."""
        return [one for one in self.findings if isinstance(one, Violation)]

    def verdict_line(self) -> str:
        """What became of each invariant, in one line: also of those that were not watched."""
        broken = sorted({one.invariant for one in self.violations})
        unknown = sorted(
            {one.invariant for one in self.findings if isinstance(one, Undecided)} - set(broken)
        )
        held = len(self._kept) - len(broken) - len(unknown)
        parts = [f"{held} of {len(self._kept)} invariants held"]
        parts += [f"violated: {', '.join(broken)}"] if broken else []
        parts += [f"unknown: {', '.join(unknown)}"] if unknown else []
        off = [f"{name} ({why})" for name, why in sorted(self._disabled.items())]
        parts += [f"disabled: {', '.join(off)}"] if off else []
        return "; ".join(parts)


def monitor(setup: Setup, disabled: Mapping[str, str] | None = None) -> Monitor:
    """All invariants of the catalogue, but for the `disabled`, each with the reason.

    Those that the setup gives too little for are disabled with that as the reason.

    Raises:
        ChaosError: one is disabled that is not in the catalogue.
    """
    off = dict(disabled or {})
    unknown = sorted(off.keys() - {one.id for one in DESCRIPTIONS})
    if unknown:
        raise ChaosError(f"no invariant {', '.join(unknown)} to disable: see DESCRIPTIONS")
    watched: list[Invariant] = []
    for entry in CATALOGUE:
        if entry.description.id in off:
            continue
        begun = entry.begin(setup)
        if isinstance(begun, str):
            off[entry.description.id] = begun
        else:
            watched.append(begun)
    return Monitor(watched, off)

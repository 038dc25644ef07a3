"""Whole runs for tests: a story, held against all invariants."""

from keygrove_chaos.catalogue import Setup
from keygrove_chaos.history import NANOSECONDS
from keygrove_chaos.invariants import Monitor, monitor
from keygrove_chaos.observation import Occurrence, View
from tests.unit.chaos.stories import told

NOTHING = View(99 * NANOSECONDS, ())


def judged(
    story: str,
    setup: Setup | None = None,
    *,
    view: View = NOTHING,
    others: tuple[Occurrence, ...] = (),
) -> Monitor:
    """A run from its first event to its end; `others` happened before."""
    watching = monitor(setup or Setup())
    history = told(story)
    for event in (*others, *history):
        watching.on_event(event)
    watching.final(view, history)
    return watching

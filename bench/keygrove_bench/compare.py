"""`python -m keygrove_bench.compare`: which statements on actors two relatives keep.

Each cell is the outcome of a probe: a few lines that try the statement on the library, or a
look at its public names where it has nothing of the kind. What our own runtime keeps is for
its tests to say, which name the statement they prove.
"""

from __future__ import annotations

import os
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from keygrove_bench.actors.sides import NotRunError
from keygrove_bench.actors.verdicts import Outcome, probed

STATEMENTS: Final = {
    "A-001": "children start one at a time, each after the `init` of the one before",
    "A-002": "children stop one at a time, in reverse order",
    "A-003": "a failed `init` stops the children before it, and the start fails",
    "A-006": "two children with one id are refused before any starts",
    "A-020": "a permanent child is restarted after a normal exit, too",
    "A-021": "a transient child stays down after a normal exit",
    "A-022": "a temporary child is never restarted",
    "A-023": "one_for_one: only the dead child is restarted",
    "A-024": "one_for_all: the others stop in reverse order, then all start in order",
    "A-025": "rest_for_one: the later ones stop in reverse order, then start with the dead one",
    "A-028": "dynamic children, started while the tree runs",
    "A-031": "stopping a child by request does not restart it",
    "A-035": "a limit on dynamic children",
    "A-041": "more restarts than `intensity` end the supervisor",
    "A-042": "the offender is not restarted, and the others are stopped",
    "A-043": "the restart of a group counts once",
    "A-044": "a restart whose `init` fails is tried again, each try counted",
    "A-050": "restarts with backoff",
    "A-061": "`exit(Shutdown)` ends an actor that does not trap, and reaches one that does",
    "A-062": "`kill` ends an actor that traps exits",
    "A-066": "an exit signal overtakes the messages that wait",
    "A-067": "links are idempotent: link, link, unlink is not linked",
    "A-068": "linking a dead actor tells so",
    "A-069": "each monitor is distinct and fires once, at once for a dead target",
    "A-070": "after demonitor with flush no Down is handled",
    "A-074": "if a supervisor is killed, its children die",
    "A-080": "a name belongs to one live actor; a second claim is refused",
    "A-083": "an address of one incarnation never reaches the next",
    "A-085": "groups: an actor may join, and leaves at its death",
    "A-090": "a call without a timeout given has one",
    "A-091": "calling a dead actor fails at once",
    "A-092": "a call pending when the callee dies fails at once, with the reason",
    "A-093": "calling oneself is refused at once",
    "A-094": "a reply after the timeout is dropped",
    "A-098": "a reply may be deferred, and is sent once",
    "A-099": "an exception ends the actor; a declared failure is an answer",
    "A-110": "one message at a time",
    "A-114": "`terminate` runs at every orderly end",
    "A-120": "messages to oneself after a time, cancelled by death",
    "A-131": "postponed events are retried after a change of state, before newer ones",
    "A-140": "suspend and resume",
    "A-150": "messages nobody will see are counted and reported",
    "A-160": "mailboxes are bounded",
    "A-176": "context variables of the sender do not leak into the receiver",
}

LIBRARIES: Final = ("otpylib", "pykka")

_TESTS: Final = Path(__file__).parents[2] / "tests"


def compared() -> dict[str, dict[str, Outcome] | str]:
    """The outcomes of each library by statement; the reason, if it cannot be probed."""
    found: dict[str, dict[str, Outcome] | str] = {}
    for library in LIBRARIES:
        try:
            found[library] = probed(library, STATEMENTS)
        except NotRunError as error:
            found[library] = f"not run: {error}"
    return found


def tested() -> set[str]:
    """The statements that a test of our own runtime names."""
    text = "\n".join(path.read_text() for path in sorted(_TESTS.glob("*/actors/*.py")))
    return {f"A-{number}" for number in re.findall(r"(?:\bA-|_a)(\d{3})", text)}


def markdown() -> str:
    """The table, as `docs/reference/actors-compare.md` has it."""
    outcomes, ours = compared(), tested()
    heads = " | ".join(f"{library} {_version(library)}" for library in LIBRARIES)
    lines = [f"| | statement | Keygrove | {heads} |", "| --- | --- | --- | --- | --- |"]
    for statement, words in STATEMENTS.items():
        cells = [_cell(outcomes[library], statement) for library in LIBRARIES]
        mine = "tested" if statement in ours else "no test yet"
        lines.append(f"| {statement} | {words} | {mine} | {' | '.join(cells)} |")
    totals = [_total(outcomes[library]) for library in LIBRARIES]
    tests = f"{len(ours & STATEMENTS.keys())} of {len(STATEMENTS)}"
    lines.append(f"| | kept | {tests} | {' | '.join(totals)} |")
    return "\n".join(lines)


def _cell(outcomes: dict[str, Outcome] | str, statement: str) -> str:
    return "not run" if isinstance(outcomes, str) else outcomes[statement].text()


def _total(outcomes: dict[str, Outcome] | str) -> str:
    if isinstance(outcomes, str):
        return outcomes
    return f"{sum(one.keeps is True for one in outcomes.values())} of {len(outcomes)}"


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.stdout.write(markdown() + "\n")
    sys.stdout.flush()
    os._exit(0)  # a probe that waits for ever has left its thread behind

"""Bugs planted in the supervisor: does the model test of random trees find each?

Each mutation is a text patch on a copy of `keygrove_actors`; the test's state machine then
plays against the copy, 2,000 examples at most, without shrinking. Run from the repository:

    python -m keygrove_bench.mutants
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import click
import msgspec
from rich.console import Console
from rich.table import Table

EXAMPLES = 2000
NEVER_S = 120
"""A mutant may leave everybody waiting: what takes longer than this never ends. The control
takes a sixth of it."""

PLAY = """
import warnings
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.property.actors.test_tree import Tree
lives = 0
class Counted(Tree):
    def __init__(self):
        global lives
        lives += 1
        super().__init__()
warnings.simplefilter("ignore")
chosen = settings(max_examples={examples}, stateful_step_count=11, deadline=None, database=None,
    derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False)
try:
    run_state_machine_as_test(Counted, settings=chosen)
except BaseException as error:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    print(lives, type(error).__name__, str(error).partition(chr(10))[0][:60])
"""


class Mutant(msgspec.Struct, frozen=True):
    """One planted bug: in `module`, `old` becomes `new`."""

    name: str
    module: str
    old: str
    new: str


class Outcome(msgspec.Struct, frozen=True):
    """What became of it. `found` is empty if the test noticed nothing."""

    mutant: Mutant
    found: str
    seconds: float


CONTROL = Mutant("none: the control", "strategy", "import annotations", "import annotations")
MUTANTS = (
    Mutant(
        "A-002 children stop in start order",
        "strategy",
        "c.id for c in reversed(model.children.values()) if c.state is not State.STOPPING",
        "c.id for c in model.children.values() if c.state is not State.STOPPING",
    ),
    Mutant(
        "A-003 the others start in spite of a failed child",
        "strategy",
        '_leave(model, Shutdown(f"failed_to_start_child:{child.id}"))',
        "pass",
    ),
    Mutant(
        "A-005 init may take for ever",
        "staff",
        "if spec.init_timeout is None:",
        "if True:",
    ),
    Mutant(
        "A-009 stopping may take for ever",
        "staff",
        "post.arm(Alarm(self.hub.wheel, self.hub.backend.now() + limit, cell.kill))",
        "pass",
    ),
    Mutant(
        "A-012 every end under stop is fine",
        "strategy",
        "if reason is not None and not is_expected(child, reason):",
        "if False:",
    ),
    Mutant(
        "A-013 an end that a stop has dealt with is news again",
        "strategy",
        "model.pending = deque(n for n in model.pending if not _is_end_of(n, child.id))",
        "pass",
    ),
    Mutant(
        "A-021 a transient child is restarted after an orderly end",
        "model",
        "return not isinstance(reason, ORDERLY)",
        "return True",
    ),
    Mutant(
        "A-022 a temporary child's spec stays",
        "model",
        "return not model.is_dynamic and child.spec.restart is not Restart.TEMPORARY",
        "return not model.is_dynamic",
    ),
    Mutant(
        "A-025 rest_for_one takes everyone",
        "model",
        "group = list(model.children.values())[after:]",
        "group = list(model.children.values())",
    ),
    Mutant(
        "A-029 dynamic children have no deadline",
        "staff",
        "self._stop_alarm = Alarm(self.hub.wheel, due, self.kill_all)",
        "pass",
    ),
    Mutant(
        "A-031 a failed start_child leaves its spec",
        "strategy",
        "            forget(model, child, effects)\n    elif",
        "            pass\n    elif",
    ),
    Mutant(
        "A-035 one child more than max_children",
        "child_requests",
        "len(model.children) >= most",
        "len(model.children) > most",
    ),
    Mutant("A-040 stamps never expire", "pace", "while stamps and", "while False and"),
    Mutant(
        "A-040 news put off counts for when it came",
        "strategy",
        "    child.state, child.ended = State.DOWN, None\n    if is_restarted",
        "    child.state, child.ended, model.now = State.DOWN, None, news.now\n    if is_restarted",
    ),
    Mutant("A-041 one restart too few", "strategy", "if used > limit:", "if used >= limit:"),
    Mutant(
        "A-046 a round goes on after a failed start",
        "strategy",
        "    if is_retry:\n        model.to_start.clear()\n",
        "",
    ),
    Mutant(
        "A-048 significant children mean nothing",
        "strategy",
        "if not child.spec.significant:",
        "if True:",
    ),
    Mutant(
        "A-051 the exponent is never reset",
        "pace",
        "now - pace.up_since >= backoff.reset_after",
        "False",
    ),
    Mutant(
        "A-052 restart_child waits like all others",
        "child_requests",
        "model.pending.append(Retry(child.id, child.attempt, request.now))",
        "pass",
    ),
    Mutant(
        "A-053 a group runs on while one of it waits",
        "strategy",
        "model.to_stop.extend(c.id for c in reversed(group) if c is not child)\n"
        "    child.state, child.due",
        "child.state, child.due",
    ),
    Mutant(
        "A-053 a second failure does not join",
        "strategy",
        "waiting = whom_all_await(model, child)",
        "waiting = None",
    ),
    Mutant(
        "A-054 a budget of one's own counts for all",
        "strategy",
        "if budget is None:\n        stamps",
        "if True:\n        stamps",
    ),
    Mutant(
        "A-054 nobody is given up",
        "strategy",
        "if is_spent(child, due):",
        "if False:",
    ),
    Mutant(
        "A-074 a killed supervisor stops its children in order",
        "supervisor",
        "self.note(KillAsked())",
        "self.note(StopAsked(Killed()))",
    ),
)


def attempt(mutant: Mutant, examples: int = EXAMPLES) -> Outcome:
    """Plant one, and let the test look for it."""
    root = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "keygrove_actors"
        shutil.copytree(root / "actors" / "keygrove_actors", copy)
        path = copy / f"{mutant.module}.py"
        text = path.read_text()
        if text.count(mutant.old) != 1:
            raise ValueError(f"{mutant.name}: its text occurs {text.count(mutant.old)} times")
        path.write_text(text.replace(mutant.old, mutant.new))
        begin = perf_counter()
        try:
            found = subprocess.run(
                [sys.executable, "-c", PLAY.format(examples=examples)],
                env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{root}"},
                capture_output=True,
                text=True,
                check=True,
                timeout=NEVER_S,
            ).stdout.strip()
        except subprocess.TimeoutExpired:
            found = "it never ends"
    return Outcome(mutant, found, perf_counter() - begin)


def table(outcomes: Sequence[Outcome]) -> Table:
    """The outcomes, for people."""
    rows = Table("mutation", "in", "seconds", "found by example")
    for one in outcomes:
        found = one.found or "[bold]nothing found"
        rows.add_row(one.mutant.name, one.mutant.module, f"{one.seconds:.1f}", found)
    return rows


@click.command()
def main() -> None:
    """Plant each bug in turn, and see whether the model test finds it: takes some minutes.

    Needs what tests need: `pip install -e '.[dev]'`. Exit code 1 if a bug survives, or if the
    test finds fault where none was planted.
    """
    outcomes: list[Outcome] = []
    for mutant in (CONTROL, *MUTANTS):
        outcomes.append(outcome := attempt(mutant))
        click.echo(f"{mutant.name}: {outcome.found or 'not found'}", err=True)
    Console().print(table(outcomes))
    control, *planted = outcomes
    if control.found or not all(one.found for one in planted):
        raise click.ClickException("a planted bug survived, or one was found that is none")


if __name__ == "__main__":
    main()

"""Bugs planted in the supervisor: does the model test of random trees find each?

Each is planted by `keygrove_chaos.mutants` in a process of its own, where the test's state machine
then plays 2,000 examples at most, without shrinking. Run from the repository:

    python -m keygrove_bench.mutants
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import click
import msgspec
from rich.console import Console
from rich.table import Table

from keygrove_chaos.mutants import Bug

EXAMPLES = 2000
NEVER_S = 120
"""A mutant may leave everybody waiting: what takes longer than this never ends. The control
takes a sixth of it."""

PLAY = """
import sys, warnings
import msgspec
from keygrove_chaos.mutants import Bug, plant
plant(msgspec.json.decode(sys.stdin.buffer.read(), type=Bug))
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


class Outcome(msgspec.Struct, frozen=True):
    """What became of it. `found` is empty if the test noticed nothing."""

    bug: Bug
    found: str
    seconds: float


def _bug(id: str, module: str, function: str, old: str, new: str) -> Bug:  # noqa: A002 - a table's columns
    return Bug(id=id, module=f"keygrove_actors.{module}", function=function, old=old, new=new)


CONTROL = _bug("none: the control", "strategy", "_restart", "used > limit", "used > limit")
BUGS = (
    _bug(
        "A-002 children stop in start order",
        "strategy",
        "_leave",
        "reversed(model.children.values())",
        "model.children.values()",
    ),
    _bug(
        "A-003 the others start in spite of a failed child",
        "strategy",
        "_start_failed",
        '_leave(model, Shutdown(f"failed_to_start_child:{child.id}"))',
        "None",
    ),
    _bug(
        "A-005 init may take for ever",
        "staff",
        "Staff.start_child",
        "spec.init_timeout is None",
        "True",
    ),
    _bug(
        "A-009 stopping may take for ever",
        "staff",
        "Staff.stop_child",
        "post.arm(Alarm(self.hub.wheel, self.hub.backend.now() + limit, cell.kill))",
        "None",
    ),
    _bug(
        "A-012 every end under stop is fine",
        "strategy",
        "_stopped",
        "reason is not None and not is_expected(child, reason)",
        "False",
    ),
    _bug(
        "A-013 an end that a stop has dealt with is news again",
        "strategy",
        "_stopped",
        "model.pending = deque(n for n in model.pending if not _is_end_of(n, child.id))",
        "pass",
    ),
    _bug(
        "A-021 a transient child is restarted after an orderly end",
        "model",
        "is_restarted",
        "not isinstance(reason, ORDERLY)",
        "True",
    ),
    _bug(
        "A-022 a temporary child's spec stays",
        "model",
        "is_kept",
        "not model.is_dynamic and child.spec.restart is not Restart.TEMPORARY",
        "not model.is_dynamic",
    ),
    _bug(
        "A-025 rest_for_one takes everyone",
        "model",
        "group_of",
        "list(model.children.values())[after:]",
        "list(model.children.values())",
    ),
    _bug(
        "A-029 dynamic children have no deadline",
        "staff",
        "Staff.stop_all",
        "self._stop_alarm = Alarm(self.hub.wheel, due, self.kill_all)",
        "pass",
    ),
    _bug(
        "A-031 a failed start_child leaves its spec",
        "strategy",
        "_start_failed",
        "forget(model, child, effects)",
        "None",
    ),
    _bug(
        "A-035 one child more than max_children",
        "child_requests",
        "_add",
        "len(model.children) >= most",
        "len(model.children) > most",
    ),
    _bug(
        "A-040 stamps never expire", "pace", "spend", "stamps and stamps[0] < now - period", "False"
    ),
    _bug(
        "A-040 news put off counts for when it came",
        "strategy",
        "_deal_with",
        "child.state, child.ended = State.DOWN, None",
        "child.state, child.ended, model.now = State.DOWN, None, news.now",
    ),
    _bug("A-041 one restart too few", "strategy", "_restart", "used > limit", "used >= limit"),
    _bug(
        "A-045 a failed restart takes a child's address",
        "child_calls",
        "_id_of",
        "cell.incarnation < post.lived",
        "cell.incarnation < post.incarnation",
    ),
    _bug(
        "A-046 a round goes on after a failed start",
        "strategy",
        "_again",
        "model.to_start.clear()",
        "None",
    ),
    _bug(
        "A-048 significant children mean nothing",
        "strategy",
        "_ended",
        "not child.spec.significant",
        "True",
    ),
    _bug(
        "A-051 the exponent is never reset",
        "pace",
        "next_delay",
        "now - pace.up_since >= backoff.reset_after",
        "False",
    ),
    _bug(
        "A-052 restart_child waits like all others",
        "child_requests",
        "_restart",
        "model.pending.append(Retry(child.id, child.attempt, request.now))",
        "None",
    ),
    _bug(
        "A-053 a group runs on while one of it waits",
        "strategy",
        "_wait",
        "model.to_stop.extend(c.id for c in reversed(group) if c is not child)",
        "None",
    ),
    _bug(
        "A-053 a second failure does not join",
        "strategy",
        "_again",
        "whom_all_await(model, child)",
        "None",
    ),
    _bug(
        "A-054 a budget of one's own counts for all",
        "strategy",
        "_restart",
        "budget is None",
        "True",
    ),
    _bug("A-054 nobody is given up", "strategy", "_again", "is_spent(child, due)", "False"),
    _bug(
        "A-074 a killed supervisor stops its children in order",
        "supervisor",
        "SupervisorCell.kill",
        "self.note(KillAsked())",
        "self.note(StopAsked(Killed()))",
    ),
    _bug(
        "A-083 a ref reaches a later incarnation",
        "child_calls",
        "_id_of",
        "cell.incarnation < post.lived",
        "False",
    ),
)


def attempt(bug: Bug, examples: int = EXAMPLES) -> Outcome:
    """Plant one, and let the test look for it.

    Raises:
        CalledProcessError: the bug is stale; the process has said so.
    """
    begin = perf_counter()
    try:
        found = subprocess.run(
            [sys.executable, "-c", PLAY.format(examples=examples)],
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
            input=msgspec.json.encode(bug),
            stdout=subprocess.PIPE,
            check=True,
            timeout=NEVER_S,
        ).stdout.decode()
    except subprocess.TimeoutExpired:
        found = "it never ends"
    return Outcome(bug, found.strip(), perf_counter() - begin)


def table(outcomes: Sequence[Outcome]) -> Table:
    """The outcomes, for people."""
    rows = Table("bug", "in", "seconds", "found by example")
    for one in outcomes:
        found = one.found or "[bold]nothing found"
        rows.add_row(one.bug.id, one.bug.module, f"{one.seconds:.1f}", found)
    return rows


@click.command()
def main() -> None:
    """Plant each bug in turn, and see whether the model test finds it: takes some minutes.

    Needs what tests need: `pip install -e '.[dev]'`. Exit code 1 if a bug survives, or if the
    test finds fault where none was planted.
    """
    outcomes: list[Outcome] = []
    for bug in (CONTROL, *BUGS):
        outcomes.append(outcome := attempt(bug))
        click.echo(f"{bug.id}: {outcome.found or 'not found'}", err=True)
    Console().print(table(outcomes))
    control, *planted = outcomes
    if control.found or not all(one.found for one in planted):
        raise click.ClickException("a planted bug survived, or one was found that is none")


if __name__ == "__main__":
    main()

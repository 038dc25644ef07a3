"""Whether a seed is the same run everywhere: looked at in other processes, after other seeds.

What is compared are checkpoints of the trace hash. Where they differ, both sides run again,
keeping the thousand events in question, and the first that differs is shown.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import Final

import msgspec

from keygrove_chaos.campaign import Verdict, judge, scenario_named
from keygrove_chaos.trace import BLOCK, Event, Trace, first_difference, line
from keygrove_chaos.tripwires import WATCHED
from keygrove_chaos.world import EngineName, Options

CHILD_S: Final = 600.0
"""Seconds another process may take."""
BEFORE: Final = 20
"""Seeds that are run before, in one of the variants,"""
OTHERS: Final = 1_000_000
"""which begin here."""


class Variant(msgspec.Struct, frozen=True):
    """Another way to run the same seeds: after `before` others, or each after itself; and so on."""

    name: str
    before: int = 0
    is_repeated: bool = False
    hash_seed: int = 0
    is_debugging: bool = False


VARIANTS: Final = (
    Variant("in a fresh process"),
    Variant("after itself", is_repeated=True),
    Variant("after 20 other seeds", before=BEFORE),
    Variant("with hash seed 1", hash_seed=1),
    Variant("with hash seed 2", hash_seed=2),
    Variant("with debug logging", is_debugging=True),
)


class Task(msgspec.Struct, frozen=True):
    """What another process is to run; `keep` are the first and the last event to send back."""

    scenario: str
    seeds: tuple[int, ...]
    engine: EngineName
    variant: Variant
    watched: tuple[str, ...] = WATCHED
    keep: tuple[int, int] = (0, 0)


class Answer(msgspec.Struct, frozen=True):
    """The hashes of one seed there, and the events asked for."""

    seed: int
    digest: str
    checkpoints: tuple[str, ...]
    kept: list[Event]


class Difference(msgspec.Struct, frozen=True):
    """A seed that ran otherwise in a variant; the first event that differs, if it was found."""

    seed: int
    variant: str
    event: int | None = None
    here: str = ""
    there: str = ""

    def text(self) -> str:
        """For people."""
        if self.event is None:
            return f"seed {self.seed} runs otherwise {self.variant}, at its very end"
        return (
            f"seed {self.seed} runs otherwise {self.variant}, first in event {self.event}:\n"
            f"  here:  {self.here}\n  there: {self.there}"
        )


def differences(
    scenario: str,
    seeds: tuple[int, ...],
    engine: EngineName = "aio",
    watched: tuple[str, ...] = WATCHED,
) -> list[Difference]:
    """Run all seeds in all variants; what differs from a plain run here."""
    options = Options(engine=engine, watched=watched)
    plain = {seed: judge(scenario_named(scenario), seed, options) for seed in seeds}
    found: list[Difference] = []
    for variant in VARIANTS:
        task = Task(scenario, seeds, engine, variant, watched)
        for answer in _elsewhere(task):
            if answer.digest != plain[answer.seed].digest:
                found.append(_located(task, plain[answer.seed], answer))
    return found


def _located(task: Task, here: Verdict, there: Answer) -> Difference:
    place = first_difference(list(here.checkpoints), list(there.checkpoints))
    if place is None:
        start = min(len(here.checkpoints), len(there.checkpoints)) * BLOCK
        place = range(start, start + BLOCK)
    task = msgspec.structs.replace(task, seeds=(here.seed,), keep=(place.start, place.stop))
    mine, its = _events(task), _elsewhere(task)[0].kept
    for offset in range(max(len(mine), len(its))):
        pair = [events[offset] if offset < len(events) else None for events in (mine, its)]
        if pair[0] != pair[1]:
            shown = ["(the run is over)" if one is None else line(one) for one in pair]
            return Difference(here.seed, task.variant.name, place.start + offset, *shown)
    return Difference(here.seed, task.variant.name)


def _events(task: Task) -> list[Event]:
    """What a plain run here keeps."""
    trace, (seed,) = Trace(range(*task.keep)), task.seeds
    judge(scenario_named(task.scenario), seed, _options(task), trace)
    return trace.kept


def _options(task: Task) -> Options:
    return Options(engine=task.engine, watched=task.watched)


def _elsewhere(task: Task) -> list[Answer]:
    ran = subprocess.run(
        [sys.executable, "-m", "keygrove_chaos.determinism"],
        input=msgspec.json.encode(task),
        capture_output=True,
        check=True,
        timeout=CHILD_S,
        env={**os.environ, "PYTHONHASHSEED": str(task.variant.hash_seed)},
    )
    return msgspec.json.decode(ran.stdout, type=list[Answer])


def _answer(task: Task) -> list[Answer]:
    """What this process finds; called in the other one."""
    scenario, options = scenario_named(task.scenario), _options(task)
    if task.variant.is_debugging:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    for number in range(task.variant.before):
        judge(scenario, OTHERS + number, options)
    answers: list[Answer] = []
    for seed in task.seeds:
        if task.variant.is_repeated:
            judge(scenario, seed, options)
        trace = Trace(range(*task.keep))
        verdict = judge(scenario, seed, options, trace)
        answers.append(Answer(seed, verdict.digest, verdict.checkpoints, trace.kept))
    return answers


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a scenario prints is no answer
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    answers.write(msgspec.json.encode(_answer(task)))
    answers.close()

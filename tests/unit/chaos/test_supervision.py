"""The model of restarting, on hand-written reports: right actions pass, wrong ones are told."""

from collections.abc import Mapping
from typing import Any

import pytest

from keygrove_actors import (
    Actor,
    AutoShutdown,
    Backoff,
    Budget,
    ChildSpec,
    Crash,
    Jitter,
    Killed,
    Normal,
    OnBudget,
    Reason,
    Restart,
    Shutdown,
    Strategy,
    SupSpec,
)
from keygrove_actors.reports import (
    Breach,
    ChildGivenUp,
    ChildRestarting,
    ChildStarted,
    ChildTerminated,
    Report,
    ShutdownError,
    StartError,
)
from keygrove_chaos.history import NANOSECONDS
from keygrove_chaos.supervision import SupervisionModel, expected_paths


class Idle(Actor[object]):
    """Does nothing."""


REASONS: Mapping[str, Reason] = {
    "crashed": Crash("Boom", ""),
    "stopped": Shutdown(),
    "killed": Killed(),
    "done": Normal(),
    "broke": Shutdown("reached_max_restart_intensity"),
}


def child(name: str, **options: Any) -> ChildSpec:
    return ChildSpec(name, Idle, **options)


def tree(strategy: str, *children: ChildSpec, **options: Any) -> SupSpec:
    chosen: dict[str, Any] = {"intensity": 2, "period": 5.0} | options
    return SupSpec(children=children, strategy=Strategy(strategy), **chosen)


def report(words: str) -> tuple[float, Report]:
    """`3.5 a crashed`, `3.5 restart a 1 of 2`, `3.5 up a 2`, `3.5 breach a 2 in 5`."""
    time, *rest = words.split()
    match rest:
        case ["up", path, life]:
            said: Report = ChildStarted(path.split("/")[-1], path, int(life))
        case ["restart", path, used, "of", limit]:
            said = ChildRestarting(path.split("/")[-1], path, int(used), int(limit))
        case ["breach", path, limit, "in", period]:
            said = Breach(path.split("/")[-1], path, int(limit), float(period))
        case ["giveup", path, limit, "in", period]:
            said = ChildGivenUp(path.split("/")[-1], path, int(limit), float(period))
        case ["fails", path]:
            said = StartError(path.split("/")[-1], path, Crash("Boom", ""))
        case ["error", path]:
            said = ShutdownError(path.split("/")[-1], path, Crash("Boom", ""))
        case [path, how]:
            said = ChildTerminated(path.split("/")[-1], path, 1, REASONS[how])
        case _:
            raise AssertionError(words)
    return float(time), said


def heard(spec: SupSpec, story: str) -> tuple[SupervisionModel, list[str]]:
    model = SupervisionModel(spec)
    wrong: list[str] = []
    for words in filter(None, (part.strip() for part in story.split("|"))):
        time, said = report(words)
        found = model.hear(round(time * NANOSECONDS), said)
        wrong += [] if found is None else [found]
    return model, wrong


ABC = (child("a"), child("b"), child("c"))
UP = "0 up a 1 | 0 up b 1 | 0 up c 1 | "
ONE, ALL, REST = (tree(name, *ABC) for name in ("one_for_one", "one_for_all", "rest_for_one"))
NESTED = tree("one_for_one", child("x"), ChildSpec("s", tree("one_for_one", *ABC, intensity=0)))
BELOW = "0 up x 1 | 0 up s/a 1 | 0 up s/b 1 | 0 up s/c 1 | 0 up s 1 | "
SLOW = Backoff(base=1.0, first=1.0, cap=2.0, jitter=Jitter.NONE)
EQUAL = Backoff(base=2.0, first=2.0, cap=2.5, jitter=Jitter.EQUAL)
BUDGET = child("a", budget=Budget(1, 10.0), on_budget=OnBudget.GIVE_UP)
KINDS = (child("t", restart=Restart.TRANSIENT), child("u", restart=Restart.TEMPORARY), child("b"))

GOOD: Mapping[str, tuple[SupSpec, str]] = {
    "a tree comes up": (ONE, UP),
    "one for one": (ONE, UP + "1 b crashed | 1 restart b 1 of 2 | 1 up b 2"),
    "one for all": (
        ALL,
        UP + "1 b crashed | 1 restart b 1 of 2 | 1 c stopped | 1 a stopped"
        "| 1 up a 2 | 1 up b 2 | 1 up c 2",
    ),
    "rest for one": (
        REST,
        UP + "1 b crashed | 1 restart b 1 of 2 | 1 c stopped | 1 up b 2 | 1 up c 2",
    ),
    "the window slides": (
        ONE,
        UP + "1 a crashed | 1 restart a 1 of 2 | 1 up a 2 | 2 a crashed | 2 restart a 2 of 2"
        "| 2 up a 3 | 6.1 a crashed | 6.1 restart a 2 of 2 | 6.1 up a 4",
    ),
    "a breach": (
        tree("one_for_one", *ABC, intensity=0),
        UP + "1 a crashed | 1 breach a 0 in 5 | 1 c stopped | 1 b stopped",
    ),
    "a breach below, and a restart above": (
        NESTED,
        BELOW + "1 s/b crashed | 1 breach s/b 0 in 5 | 1 s/c stopped | 1 s/a stopped | 1 s broke"
        "| 1 restart s 1 of 2 | 1 up s/a 1 | 1 up s/b 1 | 1 up s/c 1 | 1 up s 2",
    ),
    "a killed supervisor": (
        NESTED,
        BELOW + "1 s/a killed | 1 s/b killed | 1 s/c killed | 1 s killed | 1 restart s 1 of 2"
        "| 1 up s/a 1 | 1 up s/b 1 | 1 up s/c 1 | 1 up s 2",
    ),
    "a start that fails is tried again, and counts": (
        ONE,
        UP + "1 a crashed | 1 restart a 1 of 2 | 1 fails a | 1 restart a 2 of 2 | 1 up a 3",
    ),
    "a backoff": (
        tree("one_for_one", child("a", backoff=SLOW)),
        "0 up a 1 | 1 a crashed | 2 restart a 1 of 2 | 2 up a 2 | 2.5 a crashed"
        "| 3.5 restart a 2 of 2 | 3.5 up a 3",
    ),
    "a group that waits together": (
        tree("one_for_all", child("a"), child("b", backoff=SLOW), child("c")),
        UP + "1 b crashed | 1 c stopped | 1 a stopped | 2 restart b 1 of 2"
        "| 2 up a 2 | 2 up b 2 | 2 up c 2",
    ),
    "a child is given up": (
        tree("one_for_one", BUDGET, child("b")),
        "0 up a 1 | 0 up b 1 | 1 a crashed | 1 restart a 1 of 1 | 1 up a 2 | 2 a crashed"
        "| 2 giveup a 1 in 10 | 9 b crashed | 9 restart b 1 of 2 | 9 up b 2",
    ),
    "transient and temporary children may end": (
        tree("one_for_one", *KINDS),
        "0 up t 1 | 0 up u 1 | 0 up b 1 | 1 t done | 1 u crashed",
    ),
    "a group takes a transient child along, and no temporary one": (
        tree("one_for_all", *KINDS),
        "0 up t 1 | 0 up u 1 | 0 up b 1 | 1 t done | 2 b crashed | 2 restart b 1 of 2"
        "| 2 u stopped | 2 up t 2 | 2 up b 2",
    ),
    "two fall at once in a group": (
        ALL,
        UP + "1 a crashed | 1 b crashed | 1 restart a 1 of 2 | 1 c stopped"
        "| 1 up a 2 | 1 up b 2 | 1 up c 2",
    ),
    "a significant child ends its supervisor": (
        tree(
            "one_for_one",
            child("a"),
            ChildSpec(
                "s",
                tree(
                    "one_for_one",
                    child("x"),
                    child("y", restart=Restart.TEMPORARY, significant=True),
                    auto_shutdown=AutoShutdown.ANY_SIGNIFICANT,
                ),
            ),
        ),
        "0 up a 1 | 0 up s/x 1 | 0 up s/y 1 | 0 up s 1 | 1 s/y done | 1 s/x stopped | 1 s stopped"
        "| 1 restart s 1 of 2",
    ),
    "dynamic children": (
        SupSpec(template=child("w"), strategy=Strategy.DYNAMIC, intensity=2),
        "0 up w-1 1 | 1 up w-2 1 | 2 w-1 crashed | 2 restart w-1 1 of 2 | 2 up w-1 2 | 3 up w-3 1",
    ),
    "a crash while being stopped": (
        ALL,
        UP + "1 b crashed | 1 restart b 1 of 2 | 1 c crashed | 1 error c | 1 a stopped"
        "| 1 up a 2 | 1 up b 2 | 1 up c 2",
    ),
}

BAD: Mapping[str, tuple[SupSpec, str, str]] = {
    "children start in another order": (
        ONE,
        "0 up b 1",
        "b was started when it was a's turn",
    ),
    "a child is started twice": (ONE, UP + "1 up a 2", "a was started while it was up"),
    "nobody asked for a start": (
        ONE,
        UP + "1 a crashed | 1 up a 2",
        "a was started, and nothing had asked for it",
    ),
    "M-28: restarts are counted wrong": (
        ONE,
        UP + "1 a crashed | 1 restart a 1 of 2 | 1 up a 2 | 2 a crashed | 2 restart a 1 of 2",
        "a is restarted with 1 of 2 restarts spent; it were 2 of 2",
    ),
    "M-29: one restart too many": (
        ONE,
        UP + "1 a crashed | 1 restart a 1 of 2 | 1 up a 2 | 2 a crashed | 2 restart a 2 of 2"
        "| 2 up a 3 | 3 a crashed | 3 restart a 3 of 2",
        "a is restarted for the 3th time in 5 s, of 2 allowed",
    ),
    "a breach too early": (
        ONE,
        UP + "1 a crashed | 1 restart a 1 of 2 | 1 up a 2 | 2 a crashed | 2 breach a 2 in 5",
        "the supervisor of a gave up at restart 2 in 5 s, of 2 allowed",
    ),
    "M-30: rest for one takes only the one": (
        REST,
        UP + "1 b crashed | 1 restart b 1 of 2 | 1 up b 2",
        "b was started before c was stopped",
    ),
    "one for one takes others along": (
        ONE,
        UP + "1 b crashed | 1 restart b 1 of 2 | 1 c stopped | 1 up b 2 | 1 up c 2",
        "c was started, and nothing had asked for it",
    ),
    "a group stops in start order": (
        ALL,
        UP + "1 b crashed | 1 restart b 1 of 2 | 1 a stopped",
        "a was stopped before c, which started after it",
    ),
    "a group starts in another order": (
        ALL,
        UP + "1 b crashed | 1 restart b 1 of 2 | 1 c stopped | 1 a stopped | 1 up b 2",
        "b was started when it was a's turn",
    ),
    "a temporary child is started again": (
        tree("one_for_one", *KINDS),
        "0 up t 1 | 0 up u 1 | 0 up b 1 | 1 u crashed | 1 restart u 1 of 2",
        "u is restarted, and had not fallen",
    ),
    "an orderly transient child is started again": (
        tree("one_for_one", *KINDS),
        "0 up t 1 | 0 up u 1 | 0 up b 1 | 1 t done | 1 restart t 1 of 2",
        "t is restarted, and had not fallen",
    ),
    "a restart after giving up": (
        tree("one_for_one", *ABC, intensity=0),
        UP + "1 a crashed | 1 breach a 0 in 5 | 1 up a 2",
        "a was started after its supervisor had given up",
    ),
    "giving up twice": (
        tree("one_for_one", *ABC, intensity=0),
        UP + "1 a crashed | 1 b crashed | 1 breach a 0 in 5 | 1 breach b 0 in 5",
        "the supervisor of b gave up twice",
    ),
    "giving up for no reason": (
        NESTED,
        BELOW + "1 s/c stopped | 1 s/b stopped | 1 s/a stopped | 1 s stopped",
        "s gave up, and had no reason to",
    ),
    "an orphan": (
        NESTED,
        BELOW + "1 s/c killed | 1 s/a killed | 1 s killed",
        "s ended before its child s/b did",
    ),
    "up before its children": (
        NESTED,
        "0 up x 1 | 0 up s/a 1 | 0 up s 1",
        "s was called up before its child b was",
    ),
    "a backoff is cut short": (
        tree("one_for_one", child("a", backoff=EQUAL)),
        "0 up a 1 | 1 a crashed | 1.5 restart a 1 of 2",
        "a is restarted 0.5 s after a fell, before the 1 s that its backoff takes at least",
    ),
    "given up, and not to be": (
        ONE,
        UP + "1 a crashed | 1 giveup a 2 in 5",
        "a was given up, and its spec does not say so",
    ),
    "given up too early": (
        tree("one_for_one", BUDGET),
        "0 up a 1 | 1 a crashed | 1 giveup a 1 in 10",
        "a was given up at restart 1, of 1 allowed",
    ),
    "nobody is given up": (
        tree("one_for_one", BUDGET),
        "0 up a 1 | 1 a crashed | 1 restart a 1 of 1 | 1 up a 2 | 2 a crashed | 2 breach a 1 in 10",
        "the supervisor of a gave up, where a was to be given up",
    ),
    "ended twice": (ONE, UP + "1 a crashed | 1 a crashed", "a ended and had not been up"),
    "an old life": (
        ONE,
        UP + "1 a crashed | 1 restart a 1 of 2 | 1 up a 1",
        "a started life 1 after life 1",
    ),
}


@pytest.mark.parametrize(("spec", "story"), GOOD.values(), ids=GOOD)
def test_nothing_is_wrong_with(spec: SupSpec, story: str) -> None:
    assert heard(spec, story)[1] == []


@pytest.mark.parametrize(("spec", "story", "says"), BAD.values(), ids=BAD)
def test_it_is_told_that(spec: SupSpec, story: str, says: str) -> None:
    assert says in heard(spec, story)[1]


LATE: Mapping[str, tuple[SupSpec, str, list[str]]] = {
    "nobody is missing": (ONE, UP, []),
    "a child that was not restarted": (ONE, UP + "1 a crashed", ["a"]),
    "one that waits for its backoff": (
        tree("one_for_one", child("a", backoff=SLOW)),
        "0 up a 1 | 9 a crashed",
        [],
    ),
    "one that ended in order": (tree("one_for_one", KINDS[0]), "0 up t 1 | 1 t done", []),
    "one that was given up": (
        tree("one_for_one", BUDGET),
        "0 up a 1 | 1 a crashed | 1 restart a 1 of 1 | 1 up a 2 | 2 a crashed | 2 giveup a 1 in 10",
        [],
    ),
    "a supervisor that broke and did not end": (
        NESTED,
        BELOW + "1 s/b crashed | 1 breach s/b 0 in 5 | 1 s/c stopped | 1 s/a stopped",
        ["s"],
    ),
    "a round that stuck": (
        REST,
        UP + "1 b crashed | 1 restart b 1 of 2 | 1 c stopped | 1 up b 2",
        ["c"],
    ),
}


@pytest.mark.parametrize(("spec", "story", "paths"), LATE.values(), ids=LATE)
def test_who_is_late(spec: SupSpec, story: str, paths: list[str]) -> None:
    model = heard(spec, story)[0]
    assert model.late(10 * NANOSECONDS, 2.0) == paths
    assert model.late(2 * NANOSECONDS, 2.0) == []


def test_a_tree_that_stops_stops_in_reverse_order() -> None:
    def stopped(order: str) -> list[str]:
        model = heard(ONE, UP)[0]
        model.stop()
        ends = (report(f"1 {path} stopped")[1] for path in order)
        return [wrong for wrong in (model.hear(NANOSECONDS, end) for end in ends) if wrong]

    assert stopped("cba") == []
    assert stopped("bca") == ["b was stopped before c, which started after it"]


def test_expected_paths_are_those_of_permanent_children() -> None:
    assert list(expected_paths(NESTED)) == ["x", "s", "s/a", "s/b", "s/c"]
    assert list(expected_paths(tree("one_for_one", *KINDS))) == ["b"]
    assert list(expected_paths(SupSpec(template=child("w"), strategy=Strategy.DYNAMIC))) == []

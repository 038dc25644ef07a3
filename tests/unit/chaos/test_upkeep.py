"""Invariants of a node's runtime: they hold on sound nodes and are found broken on others."""

from collections.abc import Mapping

import pytest

from keygrove_actors import Actor, ChildSpec, Crash, MailboxSpec, Strategy, SupSpec
from keygrove_actors.reports import ChildRestarting, ChildStarted, ChildTerminated, Report
from keygrove_chaos.catalogue import Setup
from keygrove_chaos.history import NANOSECONDS
from keygrove_chaos.observation import MailboxGauge, NodeReport, NodeView, Occurrence, View
from tests.unit.chaos.runs import NOTHING, judged


class Idle(Actor[object]):
    """Does nothing."""


BOX = MailboxSpec(5)
TREE = SupSpec(
    children=(
        ChildSpec(
            "storage",
            SupSpec(
                children=tuple(
                    ChildSpec(f"shard-{number}", Idle, mailbox=BOX) for number in range(2)
                )
            ),
        ),
        ChildSpec("peers", SupSpec(template=ChildSpec("peer", Idle), strategy=Strategy.DYNAMIC)),
    ),
    intensity=3,
)


PATHS = ("storage", "storage/shard-0", "storage/shard-1", "peers")
BOOM = Crash("Boom", "")


def reports(*these: Report) -> tuple[NodeReport, ...]:
    return tuple(NodeReport(0, "n1", one) for one in (*UP, *these))


def up(path: str, life: int = 1) -> ChildStarted:
    return ChildStarted(path.rsplit("/", maxsplit=1)[-1], path, life)


def down(path: str) -> ChildTerminated:
    return ChildTerminated(path.rsplit("/", maxsplit=1)[-1], path, 1, BOOM)


UP = (up("storage/shard-0"), up("storage/shard-1"), up("storage"), up("peers"))
AGAIN = ChildRestarting("shard-0", "storage/shard-0", 1, 1)
WITH_TREE = Setup(tree=TREE, recovery_s=5.0)


def shape(*paths: str) -> View:
    return View(99 * NANOSECONDS, (NodeView(node="n1", policy="n1", paths=paths),))


def gauge(path: str, length: int, limit: int | None) -> MailboxGauge:
    return MailboxGauge(0, "n1", path, length, limit)


SOUND: Mapping[str, tuple[str, View, tuple[Occurrence, ...]]] = {
    "I-08: up": ("", NOTHING, reports()),
    "I-08: restarted": (
        "",
        NOTHING,
        reports(down("storage/shard-0"), AGAIN, up("storage/shard-0", 2)),
    ),
    "I-08: a new process": ("n1 start", NOTHING, reports(down("storage/shard-0"))),
    "I-10: whole": ("", shape(*PATHS), reports()),
    "I-10: with a dynamic child": ("", shape(*PATHS, "peers/peer-7"), reports()),
    "I-10: not looked at": ("", View(0, (NodeView(node="n1", policy="n1"),)), reports()),
    "I-11: empty": ("", NOTHING, (gauge("storage/shard-0", 0, 5),)),
    "I-11: full": ("", NOTHING, (gauge("storage/shard-0", 5, 5),)),
    "I-11: dynamic": ("", NOTHING, (gauge("peers/peer-7", 3, 10),)),
    "I-11: without a limit": ("", NOTHING, (gauge("peers/peer-7", 99, None),)),
    "I-23: the shard that is down": (
        "a gets | a fail 503 retry shard=shard-0",
        NOTHING,
        reports(down("storage/shard-0")),
    ),
    "I-23: another, and it succeeds": (
        "a gets | a ok 404 shard=shard-1",
        NOTHING,
        reports(down("storage/shard-0")),
    ),
}

UNSOUND: Mapping[str, tuple[str, View, tuple[Occurrence, ...], str]] = {
    "I-08: unasked": (
        "",
        NOTHING,
        reports(down("storage/shard-0"), up("storage/shard-0", 2)),
        "on n1, at 0 s: storage/shard-0 was started, and nothing had asked for it",
    ),
    "I-08: miscounted": (
        "",
        NOTHING,
        reports(down("storage/shard-0"), ChildRestarting("shard-0", "storage/shard-0", 2, 2)),
        "with 2 of 2 restarts spent",
    ),
    "I-10: not restarted": (
        "",
        View(6 * NANOSECONDS, (NodeView(node="n1", policy="n1"),)),
        reports(down("storage/shard-0")),
        "should have been up again within 5 s",
    ),
    "I-10: missing": ("", shape(*PATHS[1:]), reports(), "storage is not up"),
    "I-10: strange": (
        "",
        shape(*PATHS, "storage/shard-2"),
        reports(),
        "storage/shard-2 is up, and in no spec",
    ),
    "I-11: too many": (
        "",
        NOTHING,
        (gauge("storage/shard-0", 6, 5),),
        "storage/shard-0 on n1 has 6 messages waiting, of 5 allowed, at 0 s",
    ),
    "I-11: the bound is gone": (
        "",
        NOTHING,
        (gauge("storage/shard-0", 0, None),),
        "limit of None, where its spec says 5",
    ),
    "I-11: a dynamic child's too many": ("", NOTHING, (gauge("peers/peer-1", 11, 10),), "11"),
    "I-23: another shard": (
        "a gets | a fail 503 retry shard=shard-1",
        NOTHING,
        reports(down("storage/shard-0")),
        "a read of shard-1 on n1 failed at 1 s, while only others were down",
    ),
}


@pytest.mark.parametrize(("story", "view", "others"), SOUND.values(), ids=SOUND)
def test_all_hold_on_a_node_that_is(story: str, view: View, others: tuple[Occurrence, ...]) -> None:
    assert judged(story, WITH_TREE, view=view, others=others).findings == []


@pytest.mark.parametrize(("name", "case"), UNSOUND.items(), ids=UNSOUND)
def test_it_is_found_of_a_node_that(
    name: str, case: tuple[str, View, tuple[Occurrence, ...], str]
) -> None:
    story, view, others, says = case
    found = judged(story, WITH_TREE, view=view, others=others).violations
    (wrong,) = [one for one in found if one.invariant == name[:4]]
    assert says in wrong.says

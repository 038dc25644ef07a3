"""The running tree as lines for people."""

from typing import Any

import pytest

from keygrove.cli.treeview import COLUMNS, tree_lines
from keygrove_actors.census import Snapshot
from keygrove_actors.model import State


def actor(ident: str, *children: Snapshot, **facts: Any) -> Snapshot:
    given: dict[str, Any] = {
        "id": ident,
        "path": ident,
        "spec": ident,
        "name": ident,
        "about": None,
        "kind": "",
        "is_supervisor": bool(children),
        "state": State.UP,
    }
    return Snapshot(children=children, **(given | facts))


def test_each_actor_has_a_line_below_its_supervisor() -> None:
    shard = actor(
        "shard-0", mailbox=2, high_water=1_500, restarts=3, rate=120.44, memory=2048,
        doing="Merge", doing_s=0.25, unanswered=12,
    )  # fmt: skip
    assert tree_lines(actor("root", actor("storage", shard))) == [
        "actor        state  mailbox  restarts  msg/s  KiB  doing",
        "root         up         0/0         0    0.0  0.0",
        "  storage    up         0/0         0    0.0  0.0",
        "    shard-0  up     2/1,500         3  120.4  2.0  Merge for 0.2 s, of 12",
    ]


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({"state": State.RESTARTING}, "restarting"),
        ({"state": State.FAILED}, "failed"),
        ({"state": State.VACANT}, "vacant"),
        ({"is_suspended": True}, "suspended"),
        ({"busy": 0.254}, "busy 25%"),
        ({"about": "peer 203.0.113.5"}, "one [peer 203.0.113.5]"),
        ({"name": "other"}, "one (other)"),
    ],
)
def test_what_is_special_of_an_actor_is_shown(facts: dict[str, Any], shown: str) -> None:
    assert shown in tree_lines(actor("one", **facts))[1]


def test_where_nothing_is_to_be_cut_names_and_work_are_whole() -> None:
    name = "recon.partner." + "x" * 60
    deep = actor("root", actor("partners", actor(name, doing="Initiate" * 10, doing_s=1.0)))
    assert "…" in "".join(tree_lines(deep))
    (line,) = tree_lines(deep, None)[3:]
    assert name in line
    assert line.endswith("Initiate for 1.0 s")


def test_a_pool_with_work_fits_into_eighty_columns() -> None:
    busy: dict[str, Any] = {"mailbox": 12, "high_water": 250, "rate": 1234.5, "memory": 9_000}
    seats = [actor(f"worker-{n}", doing="Parse", doing_s=0.1, **busy) for n in range(3)]
    dispatcher = actor("dispatcher", name="parser-pool", **busy)
    tree = actor("root", actor("parsers", actor("parser-pool", *seats, dispatcher)))
    lines = tree_lines(tree)
    assert max(map(len, lines)) <= 80
    assert lines[4].endswith("Parse for 0.1 s")
    assert lines[-1].split()[0] == "dispatcher", "its name is that of its pool"


def test_a_wide_terminal_shows_more() -> None:
    tree = actor("one", doing="VeryLongNameOfAMessage" * 3)
    assert len(tree_lines(tree)[1]) == 80
    assert "VeryLongNameOfAMessage" * 3 in tree_lines(tree, 200)[1]


def test_no_line_is_wider_than_eighty_columns() -> None:
    deep = actor("x" * 300, doing="Y" * 300, about="z" * 200, mailbox=10**6, rate=1e6)
    for _ in range(30):
        deep = actor("supervisor", deep)
    lines = tree_lines(deep)
    assert max(map(len, lines)) == COLUMNS == 80
    assert all("up" in line for line in lines[1:]), "the state is never cut off"

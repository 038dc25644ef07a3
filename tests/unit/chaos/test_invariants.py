"""Invariants, and the monitor: each holds on good runs and is found broken on bad ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from keygrove_actors import SupSpec
from keygrove_chaos.catalogue import DESCRIPTIONS, Setup
from keygrove_chaos.errors import ChaosError
from keygrove_chaos.history import NANOSECONDS
from keygrove_chaos.invariants import monitor
from keygrove_chaos.observation import NodeView, View
from tests.unit.chaos.runs import NOTHING, judged

WITH_TREE = Setup(tree=SupSpec())


def holding(**packets: str) -> View:
    """Node n1 holds of each key some packets."""
    keys = {key: frozenset(some) for key, some in packets.items()}
    return View(99 * NANOSECONDS, (NodeView(node="n1", policy="n1", keys=keys),))


def looked(**found: Any) -> View:
    """What was seen of node n1."""
    return View(99 * NANOSECONDS, (NodeView(node="n1", policy="n1", **found),))


DISK = Setup(sees_disk=True)
PUT = "a puts x | a ok"

GOOD: Mapping[str, tuple[str, Setup, View]] = {
    "I-01: kept": (PUT, Setup(), holding(K="x")),
    "I-01: unknown, kept": ("a puts x | a info", Setup(), holding(K="x")),
    "I-01: unknown, gone": ("a puts x | a info", Setup(), holding()),
    "I-01: refused": ("a puts x | a fail", Setup(), holding()),
    "I-01: deleted": (f"{PUT} | b deletes | b ok", Setup(), holding()),
    "I-01: perhaps denied": (f"{PUT} | b denies | b info", Setup(), holding()),
    "I-01: another node's": ("a@n2 puts x | a ok", Setup(), holding()),
    "I-09: nothing left": ("n1 drain | n1 exit exit=0 left=0", Setup(), NOTHING),
    "I-14: reads grow": (
        "a gets | a ok | b puts x | b ok | a gets | a ok x | a gets | a ok x",
        Setup(),
        NOTHING,
    ),
    "I-14: own put read": (f"{PUT} | a gets | a ok x", Setup(), NOTHING),
    "I-14: own put unknown": ("a puts x | a info | a gets | a ok", Setup(), NOTHING),
    "I-14: another node": (f"{PUT} | a@n2 gets | a ok", Setup(), NOTHING),
    "I-14: another key": (f"{PUT} | a gets/L | a ok", Setup(), NOTHING),
    "I-14: removed": (f"{PUT} | b deletes | b ok | a gets | a ok", Setup(), NOTHING),
    "I-28: no address in the log": (
        PUT,
        Setup(),
        looked(keys={"K": frozenset("x")}, log=("request answered @ 5.1", "x.example")),
    ),
    "I-30: answers": (
        PUT,
        Setup(),
        looked(keys={"K": frozenset("x")}, probes={"a lookup": 200}),
    ),
    "I-17: nothing open": ("n1 drain | n1 exit exit=0 wal=0", Setup(), NOTHING),
    "I-17: killed while it drained": (
        "a puts x | n1 drain #0 | n1 exit | a info",
        Setup(),
        NOTHING,
    ),
    "I-17: answered": ("a puts x | n1 drain #0 | a ok | n1 exit exit=0", Setup(), NOTHING),
    "I-17: another of the same session": (
        "a puts x | a ok | a puts y | n1 drain #0 | a info | n1 exit exit=0",
        Setup(),
        NOTHING,
    ),
    "I-17: told to come again": (
        "a puts x | n1 drain #0 | a fail 503 retry | n1 exit exit=0",
        Setup(),
        NOTHING,
    ),
    "I-17: refused for its own fault": (
        "a puts x | n1 drain #0 | a fail 400 | n1 exit exit=0",
        Setup(),
        NOTHING,
    ),
    "I-17: on its way, and never accepted": (
        "a puts x | n1 drain | a info | n1 exit exit=0",
        Setup(),
        NOTHING,
    ),
    "I-17: told to come again, perhaps kept": (
        "a puts x | n1 drain #0 | a info 503 retry | n1 exit exit=0",
        Setup(),
        NOTHING,
    ),
    "I-17: too late to be accepted": (
        "n1 drain | a puts x | a info | n1 exit exit=0",
        Setup(),
        NOTHING,
    ),
    "I-17: killed": ("a puts x | n1 exit exit=137 | a info", Setup(), NOTHING),
    "I-20: durable first": ("a puts x | n1 durable/K x | a ok 200", DISK, NOTHING),
    "I-20: not seen": ("a puts x | a ok 200", Setup(), NOTHING),
    "I-20: full": ("a puts x | n1 disk errno=ENOSPC | a fail 507", DISK, NOTHING),
    "I-20: down": ("a puts x | n1 disk errno=EIO | a fail 503 retry", DISK, NOTHING),
    "I-20: not found": ("a gets | a ok 404", DISK, NOTHING),
    "I-20: no answer": ("a puts x | a info", DISK, NOTHING),
    "I-23: fails where the fault is": ("n1 fault | a gets | a info | n1 heal", Setup(), NOTHING),
    "I-23: fails as it heals": (
        "n1 fault | n2 fault | a gets | n1 heal | a info",
        Setup(),
        NOTHING,
    ),
    "I-23: succeeds elsewhere": ("n2 fault | a gets | a ok", Setup(), NOTHING),
    "I-23: fails when nothing is faulty": ("a gets | a info", Setup(), NOTHING),
    "I-23: refused": ("n2 fault | a gets | a fail 429", Setup(), NOTHING),
    "I-02: what is forged is not shown": (
        "a puts x !f | a ok | b gets | b ok x",
        Setup(),
        holding(K="x"),
    ),
    "I-02: of another key": (
        "a puts x !y | a ok | b puts/L y | b ok",
        Setup(),
        holding(K="x", L="y"),
    ),
    "I-06: gone and refused": (
        f"{PUT} | b denies | b ok | c gets | c ok | c puts y | c fail 422",
        Setup(),
        holding(),
    ),
    "I-06: put while it was denied": (
        "a puts x | b denies | b ok | a ok | c gets | c ok",
        Setup(),
        holding(),
    ),
    "I-06: on another node": ("b@n2 denies | b ok | a puts x | a ok", Setup(), holding(K="x")),
    "I-06: perhaps denied": ("b denies | b info | a puts x | a ok", Setup(), holding(K="x")),
    "I-06: allowed again": (
        "b denies | b ok | b allows | b ok | a puts x | a ok",
        Setup(),
        holding(K="x"),
    ),
    "I-06: perhaps allowed again": (
        "b denies | b ok | b allows | b info | a puts x | a ok",
        Setup(),
        holding(K="x"),
    ),
    "I-06: perhaps allowed after it": (
        "b allows | b info | c denies | c ok | a puts x | a ok",
        Setup(),
        holding(K="x"),
    ),
    "I-06: allowed beside it": (
        "b allows | c denies | b ok | c ok | a puts x | a ok",
        Setup(),
        holding(K="x"),
    ),
    "I-15: refused when it comes again": (
        "b denies 1x | b ok | b denies 1x | b fail 409",
        Setup(),
        NOTHING,
    ),
    "I-15: another order": ("b denies 1x | b ok | b denies 2x | b ok", Setup(), NOTHING),
    "I-15: perhaps not done": ("b denies 1x | b info | b denies 1x | b ok", Setup(), NOTHING),
    "I-15: on another node": ("b denies 1x | b ok | b@n2 denies 1x | b ok", Setup(), NOTHING),
    "I-15: of another key": ("b denies 1x | b ok | b denies/L 1x | b ok", Setup(), NOTHING),
    "I-13: denied and allowed": (
        f"{PUT} | b denies | b ok | b allows | b ok | a puts y | a ok | c gets | c ok y",
        Setup(),
        NOTHING,
    ),
    "I-13: an order": (f"{PUT} | b deletes | b ok | c gets | c ok", Setup(), NOTHING),
}

BAD: Mapping[str, tuple[str, Setup, View, str]] = {
    "I-02: forged and shown": (
        "a puts x !f | a ok | b gets | b ok x f",
        Setup(),
        NOTHING,
        "n1 shows f of key K at 3 s, which somebody else signed in its name",
    ),
    "I-02: forged and held": ("a puts x !f | a ok", Setup(), holding(K="xf"), "n1 shows f"),
    "I-02: refused and held": ("a puts x !f | a fail 422", Setup(), holding(K="f"), "n1 shows f"),
    "I-02: shown elsewhere": (
        "a puts x !f | a ok | b@n2 gets | b ok f",
        Setup(),
        NOTHING,
        "n2 shows f",
    ),
    "I-02: never answered": (
        "a puts x !f | a info | b gets | b ok f",
        Setup(),
        NOTHING,
        "n1 shows f",
    ),
    "I-06: still shown": (
        f"{PUT} | b denies | b ok | c gets | c ok x",
        Setup(),
        NOTHING,
        "n1 shows key K at 5 s, which it was told to deny",
    ),
    "I-06: still held": (f"{PUT} | b denies | b ok", Setup(), holding(K="x"), "n1 holds key K"),
    "I-06: taken again": (
        "b denies | b ok | a puts x | a ok",
        Setup(),
        NOTHING,
        "n1 took key K at 3 s",
    ),
    "I-06: still found": (
        "b denies | b ok",
        Setup(),
        looked(terms={"alice": frozenset()}, index={"alice": frozenset("K")}),
        "n1 finds key K",
    ),
    "I-06: denied once more": (
        "b denies | b ok | b allows | b ok | b denies | b ok | a puts x | a ok",
        Setup(),
        NOTHING,
        "n1 took key K",
    ),
    "I-15: done twice": (
        "b denies 1x | b ok | b denies 1x | b ok",
        Setup(),
        NOTHING,
        "n1 carried out the deny of key K again at 3 s: its nonce was spent",
    ),
    "I-15: done again by another": (
        "b denies 1x | b ok | c denies 1x | c ok",
        Setup(),
        NOTHING,
        "carried out the deny",
    ),
    "I-15: done again after a start": (
        "b denies 1x | b ok | n1 exit | n1 start | b denies 1x | b ok",
        Setup(),
        NOTHING,
        "carried out the deny",
    ),
    "I-15: lifted twice": (
        "b denies 1x | b ok | c allows 2x | c ok | b denies 3x | b ok | c allows 2x | c ok",
        Setup(),
        NOTHING,
        "carried out the allow of key K again",
    ),
    "I-15: among others": (
        "b denies 1x | b ok | c denies 2x | c ok | b denies 1x | b ok",
        Setup(),
        NOTHING,
        "carried out the deny",
    ),
    "I-13: denied and shown later": (
        f"{PUT} | b denies | b ok | b allows | b ok | c gets | c ok x",
        Setup(),
        NOTHING,
        "no order explains the get",
    ),
    "I-03: other octets": (
        f"{PUT} | b@n2 puts x | b ok",
        Setup(),
        View(
            99 * NANOSECONDS,
            tuple(
                NodeView(node=name, policy=name, keys={"K": frozenset("x")}, digests={"K": octets})
                for name, octets in (("n1", "aa"), ("n2", "bb"))
            ),
        ),
        "n1 and n2 hold the same packets of key K in other octets",
    ),
    "I-01: gone": (
        PUT,
        Setup(),
        holding(),
        "x of key K was acknowledged by n1 at 1 s and is not in its storage at 99 s",
    ),
    "I-01: one of two gone": ("a puts x y | a ok", Setup(), holding(K="x"), "y of key K"),
    "I-01: another key deleted": (f"{PUT} | b deletes/L | b ok", Setup(), holding(), "x of key K"),
    "I-01: a refused delete": (
        f"{PUT} | a puts y | a ok | b denies | b fail",
        Setup(),
        holding(),
        "",
    ),
    "I-01: deleted before": (f"b deletes | b ok | {PUT}", Setup(), holding(), "x of key K"),
    "I-01: not in the last read": (f"{PUT} | b gets | b ok", Setup(), NOTHING, "the last read"),
    "I-03: never put": ("", Setup(), holding(K="x"), "holds x of key K, which nobody put"),
    "I-13: deleted and read": (
        f"{PUT} | b deletes | b ok | c gets | c ok x",
        Setup(),
        NOTHING,
        "no order explains the get",
    ),
    "I-09: something left": (
        "n1 drain | n1 exit exit=0 left=3",
        Setup(),
        NOTHING,
        "n1 ended at 1 s and left 3 names",
    ),
    "I-28: an address in the log": (
        PUT,
        Setup(),
        looked(keys={"K": frozenset("x")}, log=("started", "who asks for a.b@x.example")),
        "the log of n1 tells of a.b@x.example",
    ),
    "I-30: no answer": (
        PUT,
        Setup(),
        looked(keys={"K": frozenset("x")}, probes={"a lookup": 200, "a submission": 503}),
        "n1 answered a submission with 503",
    ),
    "I-14: reads shrink": (
        "b puts x | a gets | a ok x | a gets | a ok",
        Setup(),
        NOTHING,
        "session a.0 knew of x of key K on n1, and a read that ended at 4 s does not show it",
    ),
    "I-14: own put not read": (f"{PUT} | a gets | a ok", Setup(), NOTHING, "session a.0"),
    "I-17: no answer": (
        "a puts x | n1 drain #0 | a info | n1 exit exit=0",
        Setup(),
        NOTHING,
        "on n1: the put of a at 0 s, accepted before the drain, got no clean answer",
    ),
    "I-17: never any answer": (
        "a puts x | n1 drain #0 | n1 exit exit=0",
        Setup(),
        NOTHING,
        "got no answer",
    ),
    "I-17: not told when to come": (
        "a puts x | n1 drain #0 | a fail 503 | n1 exit exit=0",
        Setup(),
        NOTHING,
        "no clean answer",
    ),
    "I-17: another was killed": (
        "a puts x | n1 drain #0 | n2 exit | a info | n1 exit exit=0",
        Setup(),
        NOTHING,
        "got no clean answer",
    ),
    "I-17: a bad end": ("n1 drain | n1 exit exit=1", Setup(), NOTHING, "exit code 1"),
    "I-17: no end": ("n1 drain | a gets", Setup(), NOTHING, "never ended"),
    "I-17: too late": (
        "n1 drain | " + "a gets | a fail 503 retry | " * 6 + "n1 exit exit=0",
        Setup(),
        NOTHING,
        "took too long",
    ),
    "I-17: a log left behind": ("n1 drain | n1 exit exit=0 wal=5", Setup(), NOTHING, "5 bytes"),
    "I-20: yes before durable": (
        "a puts x | a ok 200 | n1 durable/K x",
        DISK,
        NOTHING,
        "the put of a that ended on n1 at 1 s: acknowledged before it was durable",
    ),
    "I-20: half durable": ("a puts x y | n1 durable/K x | a ok 200", DISK, NOTHING, "before"),
    "I-20: durable elsewhere": ("a puts x | n2 durable/K x | a ok 200", DISK, NOTHING, "before"),
    "I-20: no Retry-After": ("a puts x | a fail 503", DISK, NOTHING, "without Retry-After"),
    "I-20: a bug": ("a gets | a fail 500", Setup(), NOTHING, "status 500"),
    "I-20: not full": ("a puts x | a fail 507", DISK, NOTHING, "the disk was not full"),
    "I-20: an error for a yes": ("a puts x | a ok 503 retry", Setup(), NOTHING, "taken for a yes"),
    "I-23: fails elsewhere": (
        "n2 fault | a gets | a ok | a gets | a info",
        Setup(),
        NOTHING,
        "1 of 2 reads failed on nodes without a fault, while others had one",
    ),
    "I-23: 503 elsewhere": ("n2 fault | a gets | a fail 503 retry", Setup(), NOTHING, "1 of 1"),
    "I-23: fails after its heal": (
        "n1 fault | n1 heal | n2 fault | a gets | a info",
        Setup(),
        NOTHING,
        "1 of 1",
    ),
}


@pytest.mark.parametrize(("story", "setup", "view"), GOOD.values(), ids=GOOD)
def test_all_hold_on(story: str, setup: Setup, view: View) -> None:
    assert judged(story, setup, view=view).findings == []


@pytest.mark.parametrize(("name", "case"), BAD.items(), ids=BAD)
def test_it_is_found_that(name: str, case: tuple[str, Setup, View, str]) -> None:
    story, setup, view, says = case
    found = [one for one in judged(story, setup, view=view).violations if one.invariant == name[:4]]
    assert len(found) == 1
    assert says in found[0].says


def indexed(stored: Mapping[str, str], index: Mapping[str, str]) -> View:
    node = NodeView(
        node="n1",
        policy="n1",
        terms={term: frozenset(keys.split()) for term, keys in stored.items()},
        index={term: frozenset(keys.split()) for term, keys in index.items()},
    )
    return View(0, (node,))


AGREEING: Sequence[Mapping[str, str]] = [
    {},
    {"alice": "K"},
    {"alice": "K L"},
    {"alice": "K", "bob": "K L"},
    {"": ""},
]
DISAGREEING: Sequence[tuple[Mapping[str, str], Mapping[str, str]]] = [
    ({"alice": "K"}, {}),
    ({}, {"alice": "K"}),
    ({"alice": "K L"}, {"alice": "K"}),
    ({"alice": "K"}, {"alice": "K L"}),
    ({"alice": "K"}, {"bob": "K"}),
]


@pytest.mark.parametrize("terms", AGREEING)
def test_i24_holds_where_index_and_storage_agree(terms: Mapping[str, str]) -> None:
    assert judged("", view=indexed(terms, terms)).findings == []


@pytest.mark.parametrize(("stored", "index"), DISAGREEING)
def test_i24_is_broken_where_they_do_not(
    stored: Mapping[str, str], index: Mapping[str, str]
) -> None:
    (found,) = judged("", view=indexed(stored, index)).violations
    assert found.invariant == "I-24"


def test_i24_says_what_is_missing_and_what_dangles() -> None:
    (found,) = judged("", view=indexed({"alice": "K"}, {"alice": "L"})).violations
    assert found.says == ("on n1, searching 'alice' misses K and finds L that is not stored so")
    assert found.keys == ("K", "L")


# ---- the monitor


def test_c085_what_is_disabled_is_in_the_verdict_line() -> None:
    watching = monitor(Setup(), {"I-24": "no index yet"})
    watching.final(NOTHING, [])
    assert watching.verdict_line() == (
        "18 of 18 invariants held; disabled: I-08 (no supervision tree was given), "
        "I-10 (no supervision tree was given), I-11 (no supervision tree was given), "
        "I-24 (no index yet)"
    )


def test_c085_only_what_exists_can_be_disabled() -> None:
    with pytest.raises(ChaosError, match="no invariant I-99"):
        monitor(Setup(), {"I-99": "for fun"})


def test_c083_what_is_unknown_is_told_so_and_not_counted_as_held() -> None:
    crowd = " | ".join(f"a{number} puts x{number} | a{number} info" for number in range(21))
    shown = " ".join(f"x{number}" for number in range(21))
    watching = judged(f"b deletes | b ok | {crowd} | c gets | c ok {shown}", WITH_TREE)
    assert watching.violations == []
    assert watching.verdict_line() == "21 of 22 invariants held; unknown: I-13"


def test_the_first_violation_of_each_invariant_is_kept() -> None:
    watching = judged(f"{PUT} | a gets | a ok | a gets | a fail 500 | a gets | a ok", WITH_TREE)
    assert [one.invariant for one in watching.violations] == ["I-14", "I-20", "I-01", "I-13"]
    assert watching.verdict_line() == ("18 of 22 invariants held; violated: I-01, I-13, I-14, I-20")


def test_every_invariant_is_described_and_watched() -> None:
    ids = [one.id for one in DESCRIPTIONS]
    assert ids == sorted(set(ids))
    assert all(one.statement.endswith(".") and one.title and one.seen_by for one in DESCRIPTIONS)
    assert monitor(WITH_TREE).verdict_line() == f"{len(ids)} of {len(ids)} invariants held"

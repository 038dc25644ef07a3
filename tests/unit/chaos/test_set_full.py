"""The checker of what was put: it tells good histories from bad ones."""

from collections.abc import Mapping

import pytest

from keygrove_chaos.set_full import Class, set_full
from tests.unit.chaos.stories import done

GOOD: Mapping[str, tuple[str, Mapping[str, Class]]] = {
    "nothing happened": ("", {}),
    "shown at once": ("a puts x | a ok | b gets | b ok x", {"x": Class.STABLE}),
    "shown before it was acknowledged": (
        "a puts x | b gets | b ok x | a ok",
        {"x": Class.STABLE},
    ),
    "missing in a read that began before the answer": (
        "a puts x | b gets | a ok | b ok | c gets | c ok x",
        {"x": Class.STABLE},
    ),
    "never read": ("a puts x | a ok", {"x": Class.NEVER_READ}),
    "unknown, and it appears late": (
        "a puts x | a info | b gets | b ok | b gets | b ok x",
        {"x": Class.STABLE},
    ),
    "unknown, and it never appears": (
        "a puts x | a info | b gets | b ok | b gets | b ok",
        {"x": Class.NEVER_READ},
    ),
    "unanswered, and it appears": ("a puts x | b gets | b ok x", {"x": Class.STABLE}),
    "refused": ("a puts x | a fail | b gets | b ok", {}),
    "refused once, then taken": (
        "a puts x | a fail | a puts x | a ok | b gets | b ok x",
        {"x": Class.STABLE},
    ),
    "missing on a node that nobody put it on": (
        "a puts x | a ok | b@n2 gets | b ok",
        {"x": Class.NEVER_READ},
    ),
    "deleted later": (
        "a puts x | a ok | b gets | b ok x | c deletes | c ok | b gets | b ok",
        {"x": Class.REMOVED},
    ),
    "perhaps denied": (
        "a puts x | a ok | c denies | c info | b gets | b ok",
        {"x": Class.REMOVED},
    ),
    "put again after a delete": (
        "c deletes | c ok | a puts x | a ok | b gets | b ok x",
        {"x": Class.STABLE},
    ),
    "a read that failed shows nothing": (
        "a puts x | a ok | b gets | b fail | b gets | b ok x",
        {"x": Class.STABLE},
    ),
}

BAD: Mapping[str, tuple[str, Mapping[str, Class], str]] = {
    "lost": (
        "a puts x | a ok | b gets | b ok",
        {"x": Class.LOST},
        "I-01: packet x of key K was acknowledged by n1 at 1 s and is missing in the last read, "
        "at 2 s",
    ),
    "lost after it was shown": (
        "a puts x | a info | b gets | b ok x | b gets | b ok",
        {"x": Class.LOST},
        "I-01: packet x of key K was shown by n1 at 3 s and is missing in the last read, at 4 s",
    ),
    "one of two lost": (
        "a puts x y | a ok | b gets | b ok x y | b gets | b ok y",
        {"x": Class.LOST, "y": Class.STABLE},
        "I-01: packet x of key K was acknowledged by n1 at 1 s and is missing in the last read, "
        "at 4 s",
    ),
    "lost on another node that had it": (
        "a puts x | a ok | b@n2 gets | b ok x | b@n2 gets | b ok",
        {"x": Class.LOST},
        "I-01: packet x of key K was shown by n2 at 3 s and is missing in the last read, at 4 s",
    ),
    "stale": (
        "a puts x | a ok | b gets | b ok | b gets | b ok x",
        {"x": Class.STALE},
        "I-14: packet x of key K was acknowledged by n1 at 1 s and is missing in a read, at 2 s",
    ),
    "gone in between": (
        "a puts x | b gets | b ok x | b gets | b ok | b gets | b ok x | a ok",
        {"x": Class.STALE},
        "I-14: packet x of key K was shown by n1 at 2 s and is missing in a read, at 3 s",
    ),
    "never put": (
        "b gets | b ok x",
        {"x": Class.UNEXPECTED},
        "I-02: a read on n1 at 0 s shows packet x of key K, which nobody ever put",
    ),
    "put only later": (
        "b gets | b ok x | a puts x | a ok",
        {"x": Class.UNEXPECTED},
        "I-02: a read on n1 at 0 s shows packet x of key K, which was first put at 2 s",
    ),
    "refused, and shown all the same": (
        "a puts x | a fail | b gets | b ok x",
        {"x": Class.UNEXPECTED},
        "I-02: a read on n1 at 2 s shows packet x of key K, which nobody ever put",
    ),
    "put after the delete, and lost": (
        "c deletes | c ok | a puts x | a ok | b gets | b ok",
        {"x": Class.LOST},
        "I-01: packet x of key K was acknowledged by n1 at 3 s and is missing in the last read, "
        "at 4 s",
    ),
    "lost while another key was deleted": (
        "a puts x | a ok | c deletes/L | c ok | b gets | b ok",
        {"x": Class.LOST},
        "I-01: packet x of key K was acknowledged by n1 at 1 s and is missing in the last read, "
        "at 4 s",
    ),
}

WORST = [Class.LOST, Class.STALE, Class.UNEXPECTED, Class.REMOVED, Class.STABLE, Class.NEVER_READ]


def classes(story: str) -> dict[str, Class]:
    """The class of each packet, the worst where nodes differ."""
    found = sorted(set_full(done(story)).elements, key=lambda one: -WORST.index(one.kind))
    return {element.packet: element.kind for element in found}


@pytest.mark.parametrize(("story", "expected"), GOOD.values(), ids=GOOD)
def test_nothing_is_wrong_if_a_packet_is(story: str, expected: Mapping[str, Class]) -> None:
    assert set_full(done(story)).violations == ()
    assert classes(story) == expected


@pytest.mark.parametrize(("story", "expected", "says"), BAD.values(), ids=BAD)
def test_it_is_told_if_a_packet_is(story: str, expected: Mapping[str, Class], says: str) -> None:
    (found,) = set_full(done(story)).violations
    assert f"{found.invariant}: {found.says}" == says
    assert classes(story) == expected


def test_evidence_is_the_answer_and_the_read_that_contradicts_it() -> None:
    ops = done("z gets | z ok | a puts x | a ok | b gets | b ok | b gets | b ok")
    (found,) = set_full(ops).violations
    assert found.ops == (ops[1], ops[3])
    assert (found.node, found.keys, found.at_ns) == ("n1", ("K",), 6_000_000_000)


def test_latency_is_the_time_to_the_last_read_without_the_element() -> None:
    story = "a puts x | a ok | b gets | b ok x | c puts y | c ok | b gets | b ok x"
    report = set_full(done(f"{story} | b gets | d gets | b ok x | d ok x y"))
    assert {one.packet: one.latency_ns for one in report.elements} == {"x": 0, "y": 3_000_000_000}
    assert report.latencies_ns() == {0.0: 0} | dict.fromkeys((0.5, 0.95, 0.99, 1.0), 3_000_000_000)


def test_counts_hold_every_class() -> None:
    assert list(set_full([]).counts()) == list(Class)
    assert set_full([]).latencies_ns() == {}

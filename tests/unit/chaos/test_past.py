"""I-31 and I-32: snapshots and rollbacks of whole nodes, on short stories."""

from collections.abc import Mapping
from typing import Any

import pytest

from keygrove_chaos.history import NANOSECONDS
from keygrove_chaos.observation import NodeView, View
from tests.unit.chaos.runs import NOTHING, judged

SNAP = "a puts x | a ok | a snaps/S | a ok"
OFFERED = "a puts x by=p | a ok"
TAKEN = f"{OFFERED} | o rolls/p K | o ok"
UNDONE = f"{TAKEN} | o undoes/p K | o ok"
MIXED = "b puts y | b ok | a puts x y by=p | a ok | o rolls/p K | o ok"


def shows(found: str, of: str = "K") -> str:
    return f" | r gets/{of} | r ok {found}"


def recalls(found: str) -> str:
    return f" | r recalls S | r ok {found}"


def looked(**found: Any) -> View:
    return View(99 * NANOSECONDS, (NodeView(node="n1", policy="n1", **found),))


def held(packets: str) -> View:
    return looked(keys={"K": frozenset(packets.split())} if packets else {})


GOOD: Mapping[str, tuple[str, View]] = {
    "I-31: the same twice": (SNAP + recalls("x") + recalls("x"), NOTHING),
    "I-31: put later": (f"{SNAP} | b puts y | b ok" + recalls("x"), NOTHING),
    "I-31: put meanwhile": (
        "a puts x | a ok | a snaps/S | b puts y | b ok | a ok" + recalls("x y") + recalls("x y"),
        NOTHING,
    ),
    "I-31: denied before": (
        f"a puts x | a ok | a denies z | a ok | a snaps/S | a ok{recalls('')}",
        NOTHING,
    ),
    "I-31: perhaps taken": ("a snaps/S | a info | r recalls S | r fail 409", NOTHING),
    "I-31: at the end": (SNAP, looked(past={"S": {"K": frozenset("x")}})),
    "I-32: taken back": (TAKEN + shows(""), held("")),
    "I-32: before it is asked for": (OFFERED + shows("x"), held("x")),
    "I-32: under way": (f"{OFFERED} | o rolls/p K{shows('x')} | o ok{shows('')}", held("")),
    "I-32: perhaps taken back": (f"{OFFERED} | o rolls/p K | o info{shows('x')}", held("")),
    "I-32: offered again": (f"{TAKEN} | a puts x by=p | a fail 422{shows('')}", held("")),
    "I-32: new since": (f"{TAKEN} | a puts z by=p | a ok{shows('z')}", held("z")),
    "I-32: others' stays": (MIXED + shows("y"), held("y")),
    "I-32: others' hangs on it": (
        f"{OFFERED} | b puts y | b ok | o rolls/p K | o ok{shows('x y')}",
        held("x y"),
    ),
    "I-32: undone": (UNDONE + shows("x"), held("x")),
    "I-32: perhaps undone": (f"{TAKEN} | o undoes/p K | o info{shows('x')}", held("")),
    "I-32: condemned": (f"{TAKEN} | b condemns r | b ok{shows('r')}", held("r")),
    "I-32: condemned for lack of room": (f"{TAKEN} | b condemns r | b info 507", held("")),
    "I-32: perhaps taken back once more": (
        f"{OFFERED} | b rolls/p K | b info | o undoes/p K | o ok{shows('')}",
        held(""),
    ),
    "I-32: another node": (f"{TAKEN} | c@n2 gets | c ok", held("")),
    "I-32: all is done": (TAKEN, looked(rollbacks={"r": "done", "s": "undone", "t": "prepared"})),
}
BAD: Mapping[str, tuple[str, View, str]] = {
    "I-31: it changed": (SNAP + recalls("x") + recalls(""), NOTHING, "and showed x before"),
    "I-31: it lacks": (SNAP + recalls(""), NOTHING, "shows nothing of x"),
    "I-31: it has more": (f"{SNAP} | b puts y | b ok{recalls('x y')}", NOTHING, "shows y"),
    "I-31: it is gone": (f"{SNAP} | r recalls S | r fail 409", NOTHING, "is not there any more"),
    "I-31: it is gone at the end": (SNAP, looked(past={}), "is not there at"),
    "I-31: it changed at the end": (
        SNAP + recalls("x"),
        looked(past={"S": {"K": frozenset("q")}}),
        "and showed x before",
    ),
    "I-32: it is shown": (TAKEN + shows("x"), held(""), "n1 shows x of key K"),
    "I-32: it is held": (TAKEN, held("x"), "n1 shows x of key K"),
    "I-32: it is back": (f"{TAKEN} | a puts x by=p | a ok", held("x"), "was taken back"),
    "I-32: part of a key is back": (MIXED + shows("x y"), held("y"), "was taken back"),
    "I-32: others' is gone": (MIXED + shows(""), held("y"), "which others brought"),
    "I-32: it is not restored": (UNDONE + shows(""), held("x"), "which an undo restored"),
    "I-32: it is not restored at the end": (UNDONE, held(""), "which an undo restored"),
    "I-32: restored when what was not heard of is over": (
        f"{OFFERED} | b rolls/p K | b info | n1 exit | n1 start | o undoes/p K | o ok{shows('')}",
        held("x"),
        "which an undo restored",
    ),
    "I-32: not condemned": (f"{TAKEN} | b condemns r | b fail 422", held(""), "refused"),
    "I-32: condemned in vain": (
        f"{TAKEN} | b condemns r | b ok{shows('')}",
        held("r"),
        "the key says against itself",
    ),
    "I-32: it is not done": (TAKEN, looked(rollbacks={"r": "running"}), "is running still"),
}


@pytest.mark.parametrize(("story", "view"), GOOD.values(), ids=GOOD)
def test_all_hold_on(story: str, view: View) -> None:
    assert judged(story, view=view).findings == []


@pytest.mark.parametrize(("name", "case"), BAD.items(), ids=BAD)
def test_it_is_found_that(name: str, case: tuple[str, View, str]) -> None:
    story, view, says = case
    (found,) = judged(story, view=view).violations
    assert found.invariant == name[:4]
    assert says in found.says

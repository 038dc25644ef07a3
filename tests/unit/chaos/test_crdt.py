"""Laws of merging, and states of nodes: good ones pass, bad ones are told."""

from collections.abc import Mapping, Sequence

import pytest

from keygrove_chaos.certificates import made
from keygrove_chaos.crdt import Merge, check_receipts, check_states, facts, merge_laws
from keygrove_chaos.observation import NodeView, Receipt, View
from keygrove_protocols.openpgp.certificate import Certificate, Component
from keygrove_protocols.openpgp.merge import merge
from keygrove_protocols.openpgp.packets import Packet, Tag
from tests.unit.chaos.stories import done

# ---- laws

BARE = Certificate(made(1).primary)
ALICE = made(1, "Alice", signatures=2)
BOB = made(1, "Bob", signatures=1, subkeys=[7])
MORE = made(1, "Alice", signatures=4)
DIRECT = Certificate(BARE.primary, (Packet(Tag.SIGNATURE, b"\x04\x1f" + bytes(20)),))
AGAIN = Certificate(
    BARE.primary, (), (Component(Packet(Tag.PUBLIC_SUBKEY, BARE.primary.body)), *BOB.components)
)
TWICE = Certificate(ALICE.primary, (), ALICE.components[::-1] * 2)

STATES: Mapping[str, list[Certificate]] = {
    "no states": [],
    "a bare key": [BARE],
    "different user IDs": [ALICE, BOB],
    "more signatures": [ALICE, BOB, MORE, BARE],
    "direct signatures": [DIRECT, ALICE, DIRECT],
    "not canonical": [TWICE, AGAIN, BOB],
}


@pytest.mark.parametrize("states", STATES.values(), ids=STATES)
def test_merge_keeps_its_laws_on(states: list[Certificate]) -> None:
    assert merge_laws(states, merge) == []


def newer_wins(a: Certificate, b: Certificate) -> Certificate:
    """M-07."""
    return merge(b, b) if b.components else merge(a, a)


def as_they_come(a: Certificate, b: Certificate) -> Certificate:
    """M-08."""
    united = merge(a, b)
    at = {component.packet: number for number, component in enumerate(a.components)}
    parts = sorted(united.components, key=lambda one: at.get(one.packet, 99))
    return Certificate(united.primary, united.direct, tuple(parts))


def first_three(a: Certificate, b: Certificate) -> Certificate:
    """M-09."""
    own = {component.packet: component.signatures for component in a.components}
    united = merge(a, b)
    kept: list[Component] = []
    for one in united.components:
        in_order = dict.fromkeys((*own.get(one.packet, ()), *one.signatures))
        kept.append(Component(one.packet, tuple(in_order)[:3]))
    return merge(Certificate(united.primary, united.direct, tuple(kept)), BARE)


def forgets_direct(a: Certificate, b: Certificate) -> Certificate:
    united = merge(a, b)
    return Certificate(united.primary, (), united.components)


def invents(a: Certificate, b: Certificate) -> Certificate:
    return merge(merge(a, b), made(1, "Mallory"))


def appends(a: Certificate, b: Certificate) -> Certificate:
    return Certificate(a.primary, a.direct + b.direct, a.components + b.components)


BROKEN: Mapping[str, tuple[Merge, str]] = {
    "the newer wins": (newer_wins, "not commutative"),
    "in the order of coming": (as_they_come, "the same facts, in other octets"),
    "the first three signatures": (first_three, "lacks"),
    "forgets direct signatures": (forgets_direct, "changes"),
    "invents": (invents, "was in neither"),
    "appends": (appends, "not idempotent"),
}


@pytest.mark.parametrize(("broken", "says"), BROKEN.values(), ids=BROKEN)
def test_a_merge_is_found_out_that(broken: Merge, says: str) -> None:
    states = [ALICE, BOB, MORE, DIRECT, BARE]
    found = [one.says for one in merge_laws(states, broken)]
    assert any(says in one for one in found), found


def test_facts_are_the_packets_and_what_they_are_attached_to() -> None:
    assert facts(BARE) < facts(ALICE) < facts(MORE)
    assert len(facts(MORE)) == 1 + 1 + 5
    assert facts(TWICE) == facts(ALICE)
    assert facts(AGAIN) == facts(BOB)
    assert facts(merge(ALICE, BOB)) == facts(ALICE) | facts(BOB)
    moved = Component(ALICE.components[0].packet, BOB.components[0].signatures)
    assert facts(Certificate(BARE.primary, (), (moved,))) != facts(BOB)


# ---- states


def node(
    name: str,
    held: Mapping[str, str],
    *,
    policy: str = "all",
    received: Sequence[str] | None = None,
) -> NodeView:
    """A node that holds for each key some packets, and received them as `K x y`."""
    receipts = None
    if received is not None:
        words = [one.split() for one in received]
        receipts = tuple(Receipt(key, frozenset(packets)) for key, *packets in words)
    keys = {key: frozenset(packets.split()) for key, packets in held.items()}
    return NodeView(node=name, policy=policy, keys=keys, receipts=receipts)


PUT = "a puts x | a ok | b@n2 puts y | b ok | c puts z | c info | d puts w | d fail"
GOOD: Mapping[str, tuple[str, list[NodeView]]] = {
    "nobody put anything": ("", [node("n1", {}), node("n2", {})]),
    "what was acknowledged": (PUT, [node("n1", {"K": "x y"}), node("n2", {"K": "x y"})]),
    "and what is unknown": (PUT, [node("n1", {"K": "x y z"}), node("n2", {"K": "x y z"})]),
    "each its own": (
        PUT,
        [node("n1", {"K": "x"}, policy="one"), node("n2", {"K": "y"}, policy="other")],
    ),
    "a node that nobody looked into": (PUT, [NodeView(node="n1", policy="all")]),
    "a key perhaps deleted": ("a puts x | a ok | b deletes | b info", [node("n1", {})]),
    "a node that is down": (PUT, [node("n1", {"K": "x"})]),
}

BAD: Mapping[str, tuple[str, list[NodeView], str]] = {
    "lacks what it acknowledged": (
        PUT,
        [node("n1", {"K": "z"})],
        "n1 lacks x of key K, which its policy acknowledged",
    ),
    "lacks what another acknowledged": (
        PUT,
        [node("n1", {"K": "x"}), node("n2", {"K": "x"})],
        "n1 lacks y of key K",
    ),
    "holds what was refused": (
        PUT,
        [node("n1", {"K": "x y w"})],
        "n1 holds w of key K, which nobody put",
    ),
    "holds a key that nobody put": (PUT, [node("n1", {"K": "x", "L": "v"})], "n1 holds v of key L"),
    "is different from its like": (
        PUT,
        [node("n1", {"K": "x y z"}), node("n2", {"K": "x y"})],
        "n1 and n2 have the same policy and hold different packets of key K: "
        "only the first z, only the second nothing",
    ),
    "lacks a key": ("a puts x | a ok", [node("n1", {})], "n1 lacks x of key K"),
}


@pytest.mark.parametrize(("story", "nodes"), GOOD.values(), ids=GOOD)
def test_states_are_right_with(story: str, nodes: list[NodeView]) -> None:
    assert check_states(done(story), View(9, tuple(nodes))) == []


@pytest.mark.parametrize(("story", "nodes", "says"), BAD.values(), ids=BAD)
def test_states_are_wrong_if_one(story: str, nodes: list[NodeView], says: str) -> None:
    found = check_states(done(story), View(9, tuple(nodes)))
    assert [one.says for one in found if says in one.says]
    assert {(one.invariant, one.at_ns) for one in found} == {("I-03", 9)}


def test_equal_packets_in_different_octets_are_wrong() -> None:
    views = [
        NodeView(node=name, policy="all", keys={"K": frozenset("x")}, digests={"K": digest})
        for name, digest in (("n1", "1"), ("n2", "2"))
    ]
    (found,) = check_states(done("a puts x | a ok"), View(9, tuple(views)))
    assert found.says == "n1 and n2 have the same policy and hold different octets of key K"


def test_a_state_is_the_union_of_what_was_received() -> None:
    log = ["K x", "L v", "K x y"]
    right = node("n1", {"K": "x y", "L": "v"}, received=log)
    assert check_receipts(View(9, (right, node("n2", {"K": "x"}))), removed=()) == []
    wrong = node("n1", {"K": "y", "L": "v", "M": "u"}, received=log)
    found = check_receipts(View(9, (wrong,)), removed=())
    assert [one.says for one in found] == [
        "n1 holds other packets of key K than it received: it lacks x and has nothing more",
        "n1 holds other packets of key M than it received: it lacks nothing and has u more",
    ]
    assert found[0].states == ("n1 holds y",)
    assert check_receipts(View(9, (wrong,)), removed=("K", "M")) == []

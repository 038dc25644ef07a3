"""Merging is a join: its laws on given certificates, and what nodes must hold because of it.

The model is of its own making: a certificate is a set of facts, a fact is named by a hash,
and to merge is to unite sets. It shares no code with the product's merge, so both would have
to be wrong in the same way.

Source: Shapiro et al., "Conflict-free Replicated Data Types" (2011); decision 0008.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from itertools import pairwise
from typing import Final, TypeAlias

from keygrove_chaos.history import SUBMISSIONS
from keygrove_chaos.observation import NodeView, Receipt, View, Violation, listed, short
from keygrove_chaos.operations import Operation, removed_until
from keygrove_protocols.openpgp.certificate import Certificate, to_bytes
from keygrove_protocols.openpgp.packets import Packet, Tag

Merge: TypeAlias = Callable[[Certificate, Certificate], Certificate]

NAME_BYTES: Final = 8
"""Of a fact's hash: a run has some millions at most."""


def facts(certificate: Certificate) -> frozenset[str]:
    """What a certificate says, by names: its packets, each with what it is attached to.

    A subkey that is the primary key again says nothing, nor does what is attached to it.
    """
    primary = certificate.primary
    names = {_name(primary), *(_name(primary, one) for one in certificate.direct)}
    for component in certificate.components:
        if component.packet == Packet(Tag.PUBLIC_SUBKEY, primary.body):
            continue
        names.add(_name(component.packet))
        names.update(_name(component.packet, one) for one in component.signatures)
    return frozenset(names)


def _name(*packets: Packet) -> str:
    hashed = hashlib.blake2b(digest_size=NAME_BYTES)
    for packet in packets:
        hashed.update(bytes([packet.tag]) + len(packet.body).to_bytes(8) + packet.body)
    return hashed.hexdigest()


# ---- laws


def merge_laws(states: Sequence[Certificate], merge: Merge, at_ns: int = 0) -> list[Violation]:
    """The laws that `merge` breaks on states of one certificate, in any form and order.

    Neighbours are paired, so it is linear in the states; give them in several orders for more.
    """
    broken: list[str] = []
    for state in states:
        broken += _laws_of_one(state, merge)
    for a, b in pairwise(states):
        broken += _laws_of_two(a, b, merge)
    for a, b, c in zip(states, states[1:], states[2:], strict=False):
        left, right = merge(merge(a, b), c), merge(a, merge(b, c))
        if to_bytes(left) != to_bytes(right):
            broken.append(f"it is not associative: {_differ(left, right)}")
    if states:
        broken += _laws_of_all(states, merge)
    return [
        Violation(invariant="I-03", at_ns=at_ns, says=f"merge breaks a law: {says}")
        for says in dict.fromkeys(broken)
    ]


def _laws_of_one(state: Certificate, merge: Merge) -> Iterator[str]:
    once = merge(state, state)
    if facts(once) != facts(state):
        yield f"with itself, a certificate changes: {_differ(state, once)}"
    if to_bytes(merge(once, once)) != to_bytes(once):
        yield "it is not idempotent: merged with itself once more, other octets come out"
    for nothing in (merge(state, Certificate(state.primary)), merge(once, state)):
        if to_bytes(nothing) != to_bytes(once):
            yield f"merging nothing new changes something: {_differ(once, nothing)}"


def _laws_of_two(a: Certificate, b: Certificate, merge: Merge) -> Iterator[str]:
    one, other = merge(a, b), merge(b, a)
    if to_bytes(one) != to_bytes(other):
        yield f"it is not commutative: {_differ(one, other)}"
    both = facts(a) | facts(b)
    if missing := both - facts(one):
        yield f"the result lacks {listed(missing)} of what was merged"
    if invented := facts(one) - both:
        yield f"the result has {listed(invented)}, which was in neither"


def _laws_of_all(states: Sequence[Certificate], merge: Merge) -> Iterator[str]:
    """The octets do not depend on the way that states were merged."""
    half = len(states) // 2
    orders = (states, states[::-1], (*states[half:], *states[:half]), (*states, *states))
    results = [reduce(merge, order, Certificate(states[0].primary)) for order in orders]
    for result in results[1:]:
        if to_bytes(result) != to_bytes(results[0]):
            yield f"the order of merging shows in the octets: {_differ(results[0], result)}"


def _differ(one: Certificate, other: Certificate) -> str:
    mine, yours = facts(one), facts(other)
    if mine == yours:
        return "the same facts, in other octets"
    return f"one has {listed(mine - yours)}, the other {listed(yours - mine)}"


# ---- states


class UnionModel:
    """What a node holds, if all it does is unite what it receives."""

    def __init__(self) -> None:
        self._held: dict[str, frozenset[str]] = {}

    def receive(self, receipt: Receipt) -> None:
        """The node accepted something."""
        self._held[receipt.key] = self.held(receipt.key) | receipt.packets

    def held(self, key: str) -> frozenset[str]:
        """What the node holds of a key; nothing, if it never received it."""
        return self._held.get(key, frozenset())

    @property
    def keys(self) -> Iterable[str]:
        """All keys it received, in the order of their first receipt."""
        return self._held.keys()


def check_receipts(view: View, removed: Iterable[str]) -> list[Violation]:
    """Nodes whose state is not the union of what they received; keys in `removed` are left out."""
    excused = frozenset(removed)
    found: list[Violation] = []
    for node in view.nodes:
        if node.receipts is None or node.keys is None:
            continue
        model = UnionModel()
        for receipt in node.receipts:
            model.receive(receipt)
        for key in dict.fromkeys((*model.keys, *sorted(node.keys))):
            held, due = node.keys.get(key, frozenset()), model.held(key)
            if held != due and key not in excused:
                says = f"{node.node} holds other packets of key {short(key)} than it received: "
                says += f"it lacks {listed(due - held)} and has {listed(held - due)} more"
                found.append(_wrong(view, node, key, says))
    return found


def check_states(ops: Sequence[Operation], view: View) -> list[Violation]:
    """What each node must and may hold once nodes of one policy have told each other all.

    It must hold what nodes of its policy acknowledged, unless the key was perhaps removed; it
    may hold what anyone may have put. Linear in what was put and is held.
    """
    removed = removed_until(ops)
    policies = {node.node: node.policy for node in view.nodes}
    must: dict[str, dict[str, set[str]]] = {policy: {} for policy in policies.values()}
    may: dict[str, set[str]] = {}
    for op in ops:
        if op.function not in SUBMISSIONS or not op.may_apply:
            continue
        may.setdefault(op.key, set()).update(op.put)
        if op.is_done and op.node in policies and op.key not in removed:
            must[policies[op.node]].setdefault(op.key, set()).update(op.put)
    found: list[Violation] = []
    for node in view.nodes:
        if node.keys is not None:
            found += _check_bounds(view, node, must[node.policy], may)
    for policy in must:
        group = [node for node in view.nodes if node.policy == policy]
        for one, other in pairwise(group):
            found += _check_equal(view, one, other)
    return found


def check_octets(view: View) -> list[Violation]:
    """Nodes that hold the same packets of a key in other octets, whatever their policies."""
    first: dict[tuple[str, frozenset[str]], tuple[NodeView, str]] = {}
    found: list[Violation] = []
    for node in view.nodes:
        for key, digest in sorted((node.digests or {}).items()):
            held = (node.keys or {}).get(key, frozenset())
            other, known = first.setdefault((key, held), (node, digest))
            if digest != known:
                says = f"{other.node} and {node.node} hold the same packets of key {short(key)} "
                found.append(_wrong(view, node, key, f"{says}in other octets"))
    return found


def _check_bounds(
    view: View, node: NodeView, must: dict[str, set[str]], may: dict[str, set[str]]
) -> Iterator[Violation]:
    assert node.keys is not None
    for key in dict.fromkeys((*must, *sorted(node.keys))):
        held = node.keys.get(key, frozenset())
        if missing := must.get(key, set()) - held:
            says = f"{node.node} lacks {listed(missing)} of key {short(key)}, which its policy "
            yield _wrong(view, node, key, f"{says}acknowledged")
        if extra := held - may.get(key, set()):
            says = f"{node.node} holds {listed(extra)} of key {short(key)}, which nobody put"
            yield _wrong(view, node, key, says)


def _check_equal(view: View, one: NodeView, other: NodeView) -> Iterator[Violation]:
    both = f"{one.node} and {other.node} have the same policy and hold different"
    if one.keys is not None and other.keys is not None:
        for key in sorted(one.keys.keys() | other.keys.keys()):
            mine, yours = one.keys.get(key, frozenset()), other.keys.get(key, frozenset())
            if mine != yours:
                says = f"{both} packets of key {short(key)}: only the first {listed(mine - yours)}"
                says += f", only the second {listed(yours - mine)}"
                yield _wrong(view, one, key, says)
    if one.digests is not None and other.digests is not None:
        for key in sorted(one.digests.keys() & other.digests.keys()):
            if one.digests[key] != other.digests[key]:
                yield _wrong(view, one, key, f"{both} octets of key {short(key)}")


def _wrong(view: View, node: NodeView, key: str, says: str) -> Violation:
    held = () if node.keys is None else node.keys.get(key, frozenset())
    return Violation(
        invariant="I-03",
        at_ns=view.time_ns,
        says=says,
        node=node.node,
        keys=(key,),
        states=(f"{node.node} holds {listed(held)}",),
    )

"""Certificates poisoned with signatures: what is left of one, and what it costs to find out.

What it costs is counted: calls of functions and octets of memory, for these depend on no machine.
"""

import sys
import tracemalloc
from collections.abc import Callable
from functools import partial

import msgspec
import pytest

from keygrove_chaos.certificates import FLOOD_A_SECOND, flooded, made
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.certificate import Certificate, canonical, group, packets, to_bytes
from keygrove_protocols.openpgp.packets import split
from keygrove_protocols.openpgp.policy import MINIMAL, VERIFIED, Bounds, Policy
from keygrove_protocols.openpgp.rules import Kept, keep
from keygrove_protocols.openpgp.verification import verify

pytestmark = pytest.mark.slow

FLOOD = 100_000
FEW, MANY = 500, 2_000
TIGHT = Policy(bounds=Bounds(third_party_signatures=100))
GROWTH = MANY / FEW * 1.1
"""What is linear takes this at most; what is quadratic four times that."""


def take_apart(octets: bytes, policy: Policy) -> Kept:
    (one,) = group(split(octets, BULK), BULK)
    assert isinstance(one, Certificate)
    return keep(verify(one), policy)


def calls(work: Callable[[], object]) -> int:
    """How many functions it calls, those of the interpreter among them."""
    count = 0

    def note(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def memory(work: Callable[[], object]) -> int:
    """The most octets that it holds at a time."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("policy", [VERIFIED, TIGHT, MINIMAL], ids=["all kept", "few", "none"])
@pytest.mark.parametrize("cost", [calls, memory])
def test_the_cost_of_a_flood_is_linear_in_its_signatures(
    cost: Callable[[Callable[[], object]], int], policy: Policy
) -> None:
    few, many = (to_bytes(flooded(1, number)) for number in (FEW, MANY))
    take_apart(few, policy)  # what is made once and kept is not counted
    assert cost(partial(take_apart, many, policy)) < GROWTH * cost(partial(take_apart, few, policy))


@pytest.mark.parametrize("policy", [VERIFIED, MINIMAL], ids=lambda one: one.preset)
def test_the_cost_of_signatures_in_the_keys_own_name_is_linear(policy: Policy) -> None:
    few, many = (to_bytes(in_its_own_name(number)) for number in (FEW // 10, MANY // 10))
    take_apart(few, policy)
    assert calls(partial(take_apart, many, policy)) < GROWTH * calls(
        partial(take_apart, few, policy)
    )


def in_its_own_name(number: int) -> Certificate:
    """Somebody else's signatures that bear the ID of the primary key."""
    certificate = flooded(1, number)
    (name,) = certificate.components
    real = name.signatures[0].body
    forged = tuple(
        msgspec.structs.replace(one, body=real[:-8] + at.to_bytes(8))
        for at, one in enumerate(name.signatures[1:])
    )
    flood = msgspec.structs.replace(name, signatures=(*name.signatures[:1], *forged))
    return Certificate(certificate.primary, (), (flood,))


def test_what_is_forged_in_the_keys_own_name_is_dropped() -> None:
    kept = take_apart(to_bytes(in_its_own_name(100)), VERIFIED)
    assert kept.findings.certificate() == made(1, "Flooded")
    assert kept.dropped == ("BadSelfSig",) * 100


@pytest.mark.slow
def test_of_a_flood_the_oldest_are_kept_and_the_owner_is_not_shed() -> None:
    findings = verify(flooded(1, FLOOD))
    kept = keep(findings, VERIFIED)
    limit = VERIFIED.bounds.third_party_signatures
    assert kept.error is None
    assert kept.pruned == {"places within bounds": FLOOD - limit}
    oldest = flooded(1, limit)
    assert limit % FLOOD_A_SECOND == 0, "or it would not be told which of a second are kept"
    assert kept.findings.certificate() == canonical(oldest)
    bare = keep(findings, MINIMAL)
    assert list(packets(bare.findings.certificate())) == list(packets(made(1, "Flooded")))

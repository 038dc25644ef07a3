"""What becomes of a certificate that meets what is held."""

from collections.abc import Callable

import pytest

from keygrove.storage.absorb import Absorbed, Held, Incoming, Outcome, absorb
from keygrove.storage.derive import derive, read
from keygrove.storage.store import Cause, TermKind
from keygrove_chaos.certificates import CREATED, digest_of, made, put_of
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.certificate import Certificate, Component, canonical, to_bytes
from keygrove_protocols.openpgp.merge import merge
from keygrove_protocols.openpgp.packets import Packet, Tag

ALICE, BOB = made(1, "Alice"), made(1, "Bob")
BOTH = merge(ALICE, BOB)


def meet(held: Held | None, certificate: Certificate) -> Absorbed:
    return absorb(held, [Incoming(certificate, digest_of(certificate), Cause.LOAD)], CREATED)


def leaves(held: Held, certificate: Certificate) -> Outcome:
    """What becomes of a certificate that leaves what is held as it was."""
    absorbed = meet(held, certificate)
    assert absorbed.put is None
    assert (absorbed.held.digest, absorbed.held.read()) == (held.digest, held.read())
    return absorbed.outcomes[0]


def stored(certificate: Certificate) -> Held:
    return Held(digest_of(certificate), packets=to_bytes(certificate))


@pytest.fixture(params=["as packets", "as a certificate"])
def hold(request: pytest.FixtureRequest) -> Callable[[Certificate], Held]:
    if request.param == "as packets":
        return stored
    return lambda certificate: Held(digest_of(certificate), certificate)


def test_the_first_version_is_added_with_all_that_finds_it() -> None:
    absorbed = meet(None, ALICE)
    assert absorbed.outcomes[0] is Outcome.ADDED
    assert absorbed.held.digest == digest_of(ALICE)
    put = absorbed.put
    assert put is not None
    assert (put.packets, put.cause, put.at) == (to_bytes(ALICE), Cause.LOAD, CREATED)
    assert (put.terms, put.words) == (derive(put.packets).terms, frozenset({"alice"}))


def test_the_same_again_changes_nothing(hold: Callable[[Certificate], Held]) -> None:
    assert leaves(hold(ALICE), ALICE) is Outcome.UNCHANGED


def test_a_part_of_what_is_held_changes_nothing(hold: Callable[[Certificate], Held]) -> None:
    assert leaves(hold(BOTH), ALICE) is Outcome.UNCHANGED


def test_what_is_new_is_joined_to_what_is_held(hold: Callable[[Certificate], Held]) -> None:
    absorbed = meet(hold(ALICE), BOB)
    assert absorbed.outcomes[0] is Outcome.CHANGED
    assert absorbed.held.read() == BOTH
    assert absorbed.held.digest == digest_of(BOTH)
    assert absorbed.put is not None
    assert absorbed.put.packets == to_bytes(BOTH)
    assert absorbed.put.words == {"alice", "bob"}


def test_what_was_joined_can_be_joined_further() -> None:
    first = meet(stored(ALICE), BOB)
    second = meet(first.held, made(1, "Carol"))
    assert second.held.read() == merge(BOTH, made(1, "Carol"))


def v3(modulus: bytes) -> Packet:
    head = b"\x03" + bytes(6) + b"\x01"
    return Packet(Tag.PUBLIC_KEY, head + b"\x00\x48\x01" + bytes(8) + modulus)


def test_another_key_of_the_same_name_does_not_replace_what_is_held() -> None:
    one = Certificate(v3(b"\x00\x08\xff"))
    other = Certificate(v3(b"\x00\x10\x00\xff"))
    assert leaves(stored(one), other) is Outcome.MISMATCHED


def test_what_would_grow_too_large_stays_as_it_is() -> None:
    size = BULK.user_attribute_bytes_max

    def with_attributes(marks: range) -> Certificate:
        attributes = (Packet(Tag.USER_ATTRIBUTE, bytes([n]) * size) for n in marks)
        return canonical(Certificate(ALICE.primary, (), tuple(map(Component, attributes))))

    half = with_attributes(range(3))
    absorbed = meet(stored(half), with_attributes(range(3, 5)))
    assert absorbed.outcomes[0] is Outcome.OVERGROWN
    assert absorbed.put is None
    assert absorbed.held.digest == digest_of(half)


def test_bytes_that_were_never_stored_are_a_bug() -> None:
    with pytest.raises(AssertionError):
        read(to_bytes(Certificate(Packet(Tag.PUBLIC_KEY, b"\x05" + bytes(20)))))


def test_a_made_up_put_carries_every_kind_of_term_but_the_digest() -> None:
    kinds = {term.kind for term in put_of(made(1, "Alice <a@x.example>", subkeys=[2])).terms}
    assert kinds == set(TermKind) - {TermKind.DIGEST}


def test_all_that_comes_at_once_is_merged_at_once() -> None:
    carol = made(1, "Carol")
    incoming = [Incoming(one, digest_of(one), Cause.UPLOAD) for one in (ALICE, BOB, ALICE, carol)]
    absorbed = absorb(stored(ALICE), incoming, CREATED)
    unchanged, changed = Outcome.UNCHANGED, Outcome.CHANGED
    assert absorbed.outcomes == (unchanged, changed, unchanged, changed)
    assert absorbed.held.read() == merge(BOTH, carol)
    assert absorbed.put is not None
    assert absorbed.put.digest == digest_of(merge(BOTH, carol))


def test_the_first_of_several_is_added() -> None:
    incoming = [Incoming(one, digest_of(one), Cause.UPLOAD) for one in (ALICE, ALICE, BOB)]
    absorbed = absorb(None, incoming, CREATED)
    assert absorbed.outcomes == (Outcome.ADDED, Outcome.UNCHANGED, Outcome.CHANGED)
    assert absorbed.held.read() == BOTH


def test_only_dumps_make_a_certificate_larger_than_a_submission_may_be() -> None:
    large = made(1, *(f"User {number} {'x' * 1_900}" for number in range(540)))
    more = made(1, *(f"User {number} {'y' * 1_900}" for number in range(20)))
    upload = [Incoming(more, digest_of(more), Cause.UPLOAD)]
    dump = [Incoming(more, digest_of(more), Cause.LOAD)]
    assert absorb(stored(large), upload, CREATED).outcomes == (Outcome.OVERGROWN,)
    both = absorb(stored(large), upload + dump, CREATED)
    assert both.outcomes == (Outcome.OVERGROWN, Outcome.CHANGED)
    assert both.put is not None
    assert both.put.cause is Cause.LOAD

"""What becomes of a certificate that meets what is held."""

from collections.abc import Callable

import msgspec
import pytest

from keygrove.storage.absorb import Absorbed, Held, Outcome, absorb
from keygrove.storage.candidate import Candidate, candidate
from keygrove.storage.derive import derive, read
from keygrove.storage.state import findings_of
from keygrove.storage.term import TermKind
from keygrove.storage.write import Cause, Put
from keygrove_chaos.certificates import CREATED, candidate_of, digest_of, made, put_of
from keygrove_chaos.signing import Signer, subpacket
from keygrove_protocols.openpgp.certificate import (
    Certificate,
    Component,
    canonical,
    fingerprint,
    to_bytes,
)
from keygrove_protocols.openpgp.crypto.public_key import SigningKey
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.merge import merge
from keygrove_protocols.openpgp.packets import Packet, Tag
from keygrove_protocols.openpgp.policy import (
    MINIMAL,
    SKS_COMPATIBLE,
    VERIFIED,
    Bounds,
    Policy,
    Preset,
)

ALICE, BOB, CAROL = made(1, "Alice"), made(1, "Bob"), made(1, "Carol")
BOTH = merge(ALICE, BOB)
WELL_KNOWN = made(1, "Alice", signatures=3)
ALICE_SIGNER, MALLORY = Signer(1), Signer(66)
SMALL = Policy(bounds=Bounds(user_ids=3))


def on_alice(*signatures: Packet) -> Certificate:
    """The certificate with more signatures on its user ID."""
    (name,) = ALICE.components
    component = Component(name.packet, (*name.signatures, *signatures))
    return canonical(Certificate(ALICE.primary, (), (component,)))


FORGED = MALLORY.sign(0x13, ALICE.primary, ALICE.components[0].packet, unhashed=ALICE_SIGNER.issuer)
FLOODED = on_alice(FORGED)
"""With a signature in the name of its key, which did not make it."""
UNBOUND = canonical(
    Certificate(ALICE.primary, (), (Component(Packet(Tag.USER_ID, b"Mallory"), ()),))
)


def meet(held: Held | None, certificate: Certificate, policy: Policy = VERIFIED) -> Absorbed:
    return absorb(held, [candidate(certificate, policy, Cause.LOAD)], policy, CREATED)


def leaves(held: Held, certificate: Certificate, policy: Policy = VERIFIED) -> Outcome:
    """What becomes of a certificate that leaves what is held as it was."""
    absorbed = meet(held, certificate, policy)
    assert absorbed.put is None
    assert absorbed.digest == held.digest
    (outcome,) = absorbed.outcomes
    return outcome


def written(absorbed: Absorbed) -> Put:
    assert absorbed.put is not None
    assert absorbed.put.digest == absorbed.digest
    return absorbed.put


def held_of(put: Put) -> Held:
    return Held(put.digest, put.packets, put.aside)


def stored(certificate: Certificate, policy: Policy = VERIFIED) -> Held:
    return held_of(written(meet(None, certificate, policy)))


def test_the_first_version_is_added_with_all_that_finds_it() -> None:
    absorbed = meet(None, ALICE)
    put = written(absorbed)
    assert absorbed.outcomes == (Outcome.ADDED,)
    assert put.digest == put.sks_digest == digest_of(ALICE)
    assert (put.packets, put.cause, put.at) == (to_bytes(ALICE), Cause.LOAD, CREATED)
    assert (put.terms, put.words) == (derive(put.packets).terms, frozenset({"alice"}))


def test_the_same_again_changes_nothing() -> None:
    assert leaves(stored(ALICE), ALICE) is Outcome.UNCHANGED


def test_a_part_of_what_is_held_changes_nothing() -> None:
    assert leaves(stored(BOTH), ALICE) is Outcome.UNCHANGED


def test_what_is_new_is_joined_to_what_is_held() -> None:
    absorbed = meet(stored(ALICE), BOB)
    put = written(absorbed)
    assert absorbed.outcomes == (Outcome.CHANGED,)
    assert put.packets == to_bytes(BOTH)
    assert put.digest == digest_of(BOTH)
    assert put.words == {"alice", "bob"}


def test_what_was_joined_can_be_joined_further() -> None:
    first = held_of(written(meet(stored(ALICE), BOB)))
    assert written(meet(first, CAROL)).packets == to_bytes(merge(BOTH, CAROL))


def v3(modulus: bytes, exponent: bytes) -> Certificate:
    """A key of version 3, named by the octets of its numbers without their lengths."""
    numbers = b"".join(
        int.from_bytes(number).bit_length().to_bytes(2) + number for number in (modulus, exponent)
    )
    return Certificate(Packet(Tag.PUBLIC_KEY, b"\x03" + bytes(6) + b"\x01" + numbers))


OCTETS = bytes(range(1, 11))
ONE_OF_TWO, OTHER_OF_TWO = v3(OCTETS[:9], OCTETS[9:]), v3(OCTETS[:8], OCTETS[8:])
"""Keys of version 3 with one fingerprint, which forged ones can have."""
FIRST_OF_TWO = Held(digest_of(ONE_OF_TWO), to_bytes(ONE_OF_TWO))


def test_another_key_of_the_same_name_does_not_replace_what_is_held() -> None:
    assert fingerprint(ONE_OF_TWO) == fingerprint(OTHER_OF_TWO)
    assert leaves(FIRST_OF_TWO, OTHER_OF_TWO) is Outcome.MISMATCHED


def test_nor_do_several() -> None:
    others = [candidate_of(OTHER_OF_TWO), candidate_of(ONE_OF_TWO), candidate_of(OTHER_OF_TWO)]
    absorbed = absorb(FIRST_OF_TWO, others, VERIFIED, CREATED)
    mismatched = Outcome.MISMATCHED
    assert absorbed.outcomes == (mismatched, Outcome.REFUSED, mismatched)
    assert absorbed.put is None


def test_what_would_grow_too_large_stays_as_it_is() -> None:
    held = stored(made(1, "Alice", "Bob"), SMALL)
    assert leaves(held, made(1, "Carol", "Dave"), SMALL) is Outcome.OVERGROWN


def revoked(certificate: Certificate) -> Certificate:
    """With a revocation after which the user IDs stay."""
    soft = ALICE_SIGNER.sign(0x20, certificate.primary, hashed=subpacket(29, b"\1"))
    return Certificate(certificate.primary, (soft,), certificate.components)


@pytest.mark.parametrize("preset", ["verified", "sks-compatible"])
def test_p099_what_is_too_much_revokes_nevertheless(preset: Preset) -> None:
    policy = msgspec.structs.replace(SMALL, preset=preset)
    small, crowd = made(1, "Alice", "Bob"), made(1, "Carol", "Dave")
    held = stored(small, policy)
    absorbed = meet(held, revoked(crowd), policy)
    assert absorbed.outcomes == (Outcome.REVOKED,)
    assert written(absorbed).packets == to_bytes(revoked(small))
    assert leaves(held_of(written(absorbed)), revoked(crowd), policy) is Outcome.OVERGROWN
    incoming = [candidate(one, policy, Cause.UPLOAD) for one in (revoked(crowd), CAROL)]
    at_once = absorb(held, incoming, policy, CREATED)
    assert at_once.outcomes == (Outcome.REVOKED, Outcome.CHANGED)
    assert written(at_once).packets == to_bytes(revoked(merge(small, CAROL)))


def test_another_key_of_the_same_name_revokes_nothing_however_large() -> None:
    absorbed = meet(FIRST_OF_TWO, revoked(OTHER_OF_TWO), SMALL)
    assert (absorbed.outcomes, absorbed.put) == ((Outcome.MISMATCHED,), None)


def test_of_several_those_are_taken_that_there_is_room_for() -> None:
    incoming = [
        candidate(one, SMALL, Cause.UPLOAD) for one in (made(1, "Carol", "Dave"), CAROL, BOB)
    ]
    absorbed = absorb(stored(made(1, "Alice", "Bob"), SMALL), incoming, SMALL, CREATED)
    assert absorbed.outcomes == (Outcome.OVERGROWN, Outcome.CHANGED, Outcome.UNCHANGED)
    assert written(absorbed).packets == to_bytes(made(1, "Alice", "Bob", "Carol"))


def test_nothing_comes_to_one_that_is_blocked_now() -> None:
    policy = Policy(blocked=frozenset({fingerprint(ALICE)}))
    assert candidate(BOB, policy, Cause.UPLOAD).error == "Blocked"
    assert leaves(stored(ALICE), BOB, policy) is Outcome.REFUSED
    assert meet(None, BOB, policy) == Absorbed((Outcome.REFUSED,), Digest(b""))


@pytest.mark.parametrize("policy", [VERIFIED, MINIMAL, SKS_COMPATIBLE], ids=lambda one: one.preset)
def test_what_its_key_did_not_sign_for_is_refused_alone_and_adds_nothing(policy: Policy) -> None:
    alone = candidate(UNBOUND, policy, Cause.UPLOAD)
    assert (alone.error, alone.put) == ("NoValidSelfSig", None)
    absorbed = absorb(None, [alone], policy, CREATED)
    assert (absorbed.outcomes, absorbed.put) == ((Outcome.REFUSED,), None)


def test_a_forged_signature_is_dropped_and_told() -> None:
    one = candidate_of(FLOODED)
    assert one.dropped == {"BadSelfSig": 1}
    put = written(absorb(None, [one], VERIFIED, CREATED))
    assert put.packets == to_bytes(ALICE)
    assert put.digest == digest_of(ALICE)
    assert put.sks_digest == digest_of(FLOODED)
    assert put.aside == b""
    assert leaves(held_of(put), FLOODED) is Outcome.UNCHANGED


def test_the_minimal_policy_keeps_nothing_of_others() -> None:
    put = written(meet(None, WELL_KNOWN, MINIMAL))
    assert put.packets == to_bytes(ALICE)
    assert put.sks_digest == digest_of(WELL_KNOWN)
    assert leaves(held_of(put), WELL_KNOWN, MINIMAL) is Outcome.UNCHANGED
    assert meet(held_of(put), WELL_KNOWN).outcomes == (Outcome.CHANGED,), "under another policy"


def test_what_sks_would_keep_is_set_aside_and_served_is_what_is_verified() -> None:
    put = written(meet(None, FLOODED, SKS_COMPATIBLE))
    assert put.packets == to_bytes(ALICE)
    assert put.digest == put.sks_digest == digest_of(FLOODED)
    assert put.aside
    assert FORGED.body in put.aside
    assert (put.terms, put.words) == (derive(put.packets).terms, frozenset({"alice"}))


def test_a_flood_does_not_grow_for_ever() -> None:
    """Whatever was sent before, the next merge has a bounded number of packets to look at."""
    policy = msgspec.structs.replace(SKS_COMPATIBLE, bounds=Bounds(aside_packets=20))
    held = stored(ALICE, policy)
    for first in range(0, 90, 15):
        junk = tuple(Packet(Tag.SIGNATURE, bytes((at,))) for at in range(first, first + 15))
        absorbed = meet(held, Certificate(ALICE.primary, junk, ALICE.components), policy)
        held = held_of(absorbed.put) if absorbed.put else held
    found = findings_of(held.packets, held.aside)
    assert found.number() == 20
    assert read(held.packets) == ALICE
    assert held.digest == digest_of(found.certificate())


def test_a_candidate_too_large_to_be_set_aside_brings_all_to_the_merge() -> None:
    """What others signed of a user ID that is bound here only is not lost on the way."""
    policy = msgspec.structs.replace(SKS_COMPATIBLE, bounds=Bounds(aside_packets=5))
    (name,) = made(1, "Bob", signatures=4).components
    unbound = Component(name.packet, name.signatures[1:])
    one = candidate(
        Certificate(ALICE.primary, (), (*ALICE.components, unbound)), policy, Cause.LOAD
    )
    put = written(absorb(stored(BOB, policy), [one], policy, CREATED))
    assert read(put.packets) == merge(ALICE, made(1, "Bob", signatures=4))


def test_where_nothing_is_pruned_nothing_is_set_aside() -> None:
    put = written(meet(None, ALICE, SKS_COMPATIBLE))
    assert (put.aside, put.digest, put.packets) == (b"", digest_of(ALICE), to_bytes(ALICE))


def test_what_is_set_aside_is_merged_too_and_comes_back_when_it_is_bound() -> None:
    held = stored(merge(ALICE, UNBOUND), SKS_COMPATIBLE)
    assert read(held.packets) == ALICE
    absorbed = meet(held, FLOODED, SKS_COMPATIBLE)
    put = written(absorbed)
    assert absorbed.outcomes == (Outcome.CHANGED,)
    assert put.packets == to_bytes(ALICE)
    assert put.digest == digest_of(merge(FLOODED, UNBOUND))
    bound = written(meet(held_of(put), made(1, "Mallory"), SKS_COMPATIBLE))
    assert read(bound.packets) == made(1, "Alice", "Mallory")
    assert bound.digest == digest_of(merge(FLOODED, made(1, "Mallory")))


def test_what_is_refused_alone_is_kept_aside_beside_what_is_held() -> None:
    held = stored(ALICE, SKS_COMPATIBLE)
    absorbed = meet(held, UNBOUND, SKS_COMPATIBLE)
    assert absorbed.outcomes == (Outcome.CHANGED,)
    assert written(absorbed).packets == held.packets
    assert leaves(stored(ALICE), UNBOUND) is Outcome.UNCHANGED, "where nothing is set aside"


@pytest.mark.parametrize("policy", [VERIFIED, MINIMAL, SKS_COMPATIBLE], ids=lambda one: one.preset)
def test_merging_verifies_nothing_again(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    held = stored(merge(FLOODED, WELL_KNOWN), policy)
    incoming = [candidate(one, policy, Cause.UPLOAD) for one in (BOB, FLOODED, UNBOUND)]
    expected = absorb(held, incoming, policy, CREATED)

    def verify(*_: object) -> None:
        raise AssertionError("a signature is verified")

    monkeypatch.setattr(SigningKey, "verify", verify)
    with pytest.raises(AssertionError):
        candidate(CAROL, policy, Cause.UPLOAD)
    assert absorb(held, incoming, policy, CREATED) == expected
    assert expected.put is not None


def test_a_candidate_brings_all_that_was_found_out_about_it() -> None:
    for policy in (VERIFIED, MINIMAL, SKS_COMPATIBLE):
        for one in (ALICE, FLOODED, WELL_KNOWN, UNBOUND):
            found = candidate(one, policy, Cause.UPLOAD).findings()
            assert found.certificate() == one
            assert (FORGED in found.certificate().components[0].signatures) == (one is FLOODED)


def test_bytes_that_were_never_stored_are_a_bug() -> None:
    with pytest.raises(AssertionError):
        read(to_bytes(Certificate(Packet(Tag.PUBLIC_KEY, b"\x05" + bytes(20)))))


def test_a_made_up_put_carries_every_kind_of_term_but_the_digest() -> None:
    kinds = {term.kind for term in put_of(made(1, "Alice <a@x.example>", subkeys=[2])).terms}
    assert kinds == set(TermKind) - {TermKind.DIGEST}


def test_all_that_comes_at_once_is_merged_at_once() -> None:
    incoming = [candidate_of(one) for one in (ALICE, BOB, ALICE, CAROL)]
    absorbed = absorb(stored(ALICE), incoming, VERIFIED, CREATED)
    unchanged, changed = Outcome.UNCHANGED, Outcome.CHANGED
    assert absorbed.outcomes == (unchanged, changed, unchanged, changed)
    assert written(absorbed).packets == to_bytes(merge(BOTH, CAROL))


def test_the_first_of_several_is_added() -> None:
    incoming = [candidate_of(one) for one in (ALICE, ALICE, BOB)]
    absorbed = absorb(None, incoming, VERIFIED, CREATED)
    assert absorbed.outcomes == (Outcome.ADDED, Outcome.UNCHANGED, Outcome.CHANGED)
    assert written(absorbed).packets == to_bytes(BOTH)


def test_the_first_that_can_stand_alone_is_added_and_carries_the_others() -> None:
    """A revocation that came before its certificate is not lost."""
    revocation = ALICE_SIGNER.sign(0x30, ALICE.primary, ALICE.components[0].packet)
    (name,) = ALICE.components
    stranger = MALLORY.sign(0x10, ALICE.primary, name.packet)
    part = Certificate(ALICE.primary, (), (Component(name.packet, (stranger,)),))
    incoming = [candidate_of(part), candidate_of(on_alice(revocation))]
    absorbed = absorb(None, incoming, VERIFIED, CREATED)
    assert absorbed.outcomes == (Outcome.CHANGED, Outcome.ADDED)
    assert read(written(absorbed).packets) == on_alice(revocation, stranger)


def test_the_source_is_that_of_the_one_that_came() -> None:
    def from_dump(certificate: Certificate, source: bytes) -> Candidate:
        return candidate(certificate, VERIFIED, Cause.LOAD, source=source)

    def source(held: Held | None, *incoming: Candidate) -> bytes:
        return written(absorb(held, incoming, VERIFIED, CREATED)).source

    bob, carol = from_dump(BOB, b"b" * 16), from_dump(CAROL, b"c" * 16)
    assert source(None, bob) == source(stored(ALICE), bob) == b"b" * 16
    assert source(stored(ALICE), bob, carol) == b"", "it is of neither alone"


def test_the_size_of_what_is_held_and_comes_in_is_that_of_all_octets() -> None:
    large = stored(FLOODED, SKS_COMPATIBLE)
    assert large.size > len(to_bytes(FLOODED)) > stored(FLOODED).size == len(to_bytes(ALICE))
    one = candidate_of(FLOODED)
    assert one.size > len(to_bytes(FLOODED))
    whole = candidate_of(ALICE)
    assert whole.put is not None
    assert whole.size == whole.put.size
    assert msgspec.structs.replace(whole, put=None).size == 0


def test_of_keys_of_all_versions_something_is_kept(vector: Callable[[str], bytes]) -> None:
    for name in ("v3-rsa.pgp", "v4-ed25519-native.pgp", "v6-ed448.pgp"):
        put = written(meet(None, read(vector(name))))
        assert leaves(held_of(put), read(vector(name))) is Outcome.UNCHANGED


def test_what_another_policy_takes_away_is_a_change() -> None:
    certificate = made(1, "Alice", signatures=3)
    put = put_of(certificate)
    held = Held(put.digest, put.packets, put.aside)
    absorbed = absorb(held, [candidate(certificate, MINIMAL, Cause.LOAD)], MINIMAL, CREATED)
    assert absorbed.outcomes == (Outcome.CHANGED,)
    assert absorbed.put is not None
    assert len(absorbed.put.packets) < len(put.packets)

"""Which copy of a signature is kept of those that differ where nobody signed."""

from itertools import permutations

import pytest

from keygrove_chaos.signing import CREATED, Signer, subpacket
from keygrove_protocols.openpgp.certificate import Certificate, Component
from keygrove_protocols.openpgp.findings import Mark, unite
from keygrove_protocols.openpgp.hashing import MD5, SHA1, Scope
from keygrove_protocols.openpgp.merge import merge
from keygrove_protocols.openpgp.packets import Packet, Tag
from keygrove_protocols.openpgp.policy import VERIFIED
from keygrove_protocols.openpgp.rules import keep
from keygrove_protocols.openpgp.signatures import read_signature
from keygrove_protocols.openpgp.variants import fold_variants, signature_id
from keygrove_protocols.openpgp.verification import verify
from tests.openpgp import (
    ALICE,
    BINDING,
    BINDS,
    BOB,
    CAROL,
    CONSENTS,
    GENERIC,
    NAME,
    POSITIVE,
    SELF,
    SIGNS,
    SUBKEY,
    alice,
    findings_on_name,
    marks,
    named_by,
    on_subkey,
    signed,
    with_hints,
    with_wrong_digest,
    with_wrong_value,
)

ISSUER = ALICE.issuer
NOTE = subpacket(20, bytes(8))
FALSE_ID = subpacket(16, bytes(8))
MODERN = signed(ALICE, POSITIVE, NAME, hashed=named_by(ALICE))
THEIRS = signed(BOB, GENERIC, NAME)


def kept(*packets: Packet) -> set[Packet]:
    """Of copies on Alice's user ID; the same in whatever order they come."""
    found = {
        tuple(
            sorted(
                (one.packet for one in fold_variants(order, Scope(ALICE.primary, NAME))),
                key=lambda packet: packet.body,
            )
        )
        for order in permutations(findings_on_name(*packets))
    }
    (same,) = found
    return set(same)


@pytest.mark.parametrize(
    ("best", "other"),
    [
        pytest.param(SELF, with_wrong_digest(SELF), id="p060-octets-of-the-digest"),
        pytest.param(SELF, with_hints(SELF, ISSUER + NOTE), id="only-hints"),
        pytest.param(SELF, with_hints(SELF, ISSUER + ISSUER), id="said-once"),
        pytest.param(SELF, with_hints(SELF, ISSUER + named_by(ALICE)), id="the-shortest"),
        pytest.param(SELF, with_hints(SELF, BOB.issuer), id="verified"),
        pytest.param(MODERN, with_hints(MODERN, FALSE_ID), id="true-key-id"),
        pytest.param(
            with_hints(MODERN, ISSUER + NOTE),
            with_hints(MODERN, FALSE_ID + NOTE),
            id="true-key-id-beside-a-note",
        ),
        pytest.param(
            with_hints(MODERN, ISSUER + NOTE),
            with_hints(MODERN, FALSE_ID + ISSUER),
            id="no-second-key-id",
        ),
        pytest.param(
            with_hints(MODERN, ISSUER + NOTE),
            with_wrong_digest(MODERN),
            id="digest-before-plainness",
        ),
        pytest.param(
            with_wrong_digest(MODERN),
            with_hints(MODERN, FALSE_ID),
            id="issuer-before-digest",
        ),
        pytest.param(THEIRS, with_hints(THEIRS, BOB.issuer + NOTE), id="of-somebody-else"),
    ],
)
def test_p085_one_copy_is_kept(best: Packet, other: Packet) -> None:
    assert kept(best, other) == {best}
    assert kept(best, other, with_hints(best, ISSUER + NOTE + NOTE)) >= {best}


def test_p085_of_equally_good_copies_the_smallest_is_kept() -> None:
    one, other = (with_hints(SELF, ISSUER + subpacket(100, octet)) for octet in (b"1", b"2"))
    assert kept(one, other) == {one}


def test_p085_a_copy_of_somebody_elses_signature_does_not_take_it_from_him() -> None:
    """Nobody knows whose it is: a copy in another's name, made up, must not replace it."""
    taken = with_hints(THEIRS, FALSE_ID)
    assert taken.body < THEIRS.body
    assert kept(THEIRS, taken) == {THEIRS, taken}
    assert kept(THEIRS, taken, with_hints(THEIRS, FALSE_ID + NOTE)) == {THEIRS, taken}


def test_p085_copies_in_many_names_give_way_to_the_one_that_verifies() -> None:
    copies = [with_hints(SELF, signer.issuer) for signer in (BOB, CAROL)]
    assert kept(*copies, SELF) == {SELF}
    assert kept(*copies) == set(copies)


def test_signatures_that_differ_in_what_is_signed_are_all_kept() -> None:
    some = [signed(ALICE, POSITIVE, NAME, created=created) for created in (1, 2, 3)]
    assert kept(*some) == set(some)
    v6 = Signer(1, version=6)
    (finding,) = verify(Certificate(v6.primary, (v6.sign(0x1F, v6.primary),))).direct
    salted = Packet(Tag.SIGNATURE, finding.packet.body.replace(bytes(16), bytes(15) + b"1"))
    (other,) = verify(Certificate(v6.primary, (salted,))).direct
    assert signature_id(finding) != signature_id(other)


def test_p085_zeros_in_front_of_a_number_make_no_other_signature() -> None:
    signature = read_signature(SELF.body)
    assert signature is not None
    at = signature.material_at
    octets = int.from_bytes(SELF.body[at : at + 2]) + 7 >> 3
    number = SELF.body[at + 2 : at + 2 + octets]
    padded = (8 * octets + 8).to_bytes(2) + b"\0" + number
    longer = Packet(Tag.SIGNATURE, SELF.body[:at] + padded + SELF.body[at + 2 + octets :])
    assert kept(SELF, longer) == {SELF}


def with_fewer_bits(packet: Packet) -> Packet:
    """Its numbers say the fewest bits that need as many octets: Sequoia reads no such signature."""
    signature = read_signature(packet.body)
    assert signature is not None
    body, at = bytearray(packet.body), signature.material_at
    while at < len(body):
        octets = int.from_bytes(body[at : at + 2]) + 7 >> 3
        body[at : at + 2] = (8 * octets - 7).to_bytes(2)
        at += 2 + octets
    return Packet(packet.tag, bytes(body))


def test_p085_a_number_of_fewer_bits_than_it_has_does_not_win() -> None:
    altered = with_fewer_bits(SELF)
    assert altered.body < SELF.body
    assert marks(verify(alice(altered))) == [Mark.VALID, Mark.VALID]
    assert kept(SELF, altered) == {SELF}
    assert kept(THEIRS, with_fewer_bits(THEIRS)) == {THEIRS}


def test_p085_nor_does_one_in_a_backsig() -> None:
    back = SUBKEY.sign(CONSENTS, ALICE.primary, SUBKEY.subkey)
    right, altered = (
        with_hints(BINDING, ISSUER + subpacket(32, one.body))
        for one in (back, with_fewer_bits(back))
    )
    assert altered.body < right.body
    for order in ((right, altered), (altered, right)):
        found = keep(verify(on_subkey(*order)), VERIFIED).findings
        assert [finding.packet for finding in found.bundles[-1].findings] == [right]


def test_p085_a_copy_without_its_backsig_never_wins() -> None:
    stripped = with_hints(BINDING, ISSUER)
    assert keep(verify(on_subkey(stripped)), VERIFIED).dropped == ("NoBacksig", "Unbound")
    for order in ((BINDING, stripped), (stripped, BINDING)):
        found = keep(verify(on_subkey(*order)), VERIFIED)
        assert found.findings.certificate() == on_subkey(BINDING)


def test_p085_a_copy_with_its_backsig_altered_gives_way() -> None:
    """Sequoia looks at the octets of the digest of a back-signature, and nobody signed those."""
    back = signed(SUBKEY, CONSENTS, SUBKEY.subkey)
    altered = with_wrong_digest(back)
    copy, original = (
        with_hints(BINDING, ISSUER + subpacket(32, one.body)) for one in (altered, back)
    )
    assert original == BINDING
    assert copy.body < original.body
    found = verify(on_subkey(copy))
    assert found.bundles[1].findings[0].mark is Mark.VALID
    for order in ((copy, original), (original, copy)):
        certificate = keep(verify(on_subkey(*order)), VERIFIED).findings.certificate()
        assert certificate == on_subkey(original)


OLD, NEW = CREATED, CREATED + 1_000_000
AUTHENTICATES = 0x20
BACK = signed(SUBKEY, CONSENTS, SUBKEY.subkey, created=NEW)
LONG = signed(SUBKEY, CONSENTS, SUBKEY.subkey, created=NEW, hashed=named_by(SUBKEY))
OLDER = signed(SUBKEY, CONSENTS, SUBKEY.subkey, created=OLD)
BY_SHA1 = signed(SUBKEY, CONSENTS, SUBKEY.subkey, created=NEW + 1, hash_algorithm=SHA1)
EXPIRING = signed(
    SUBKEY, CONSENTS, SUBKEY.subkey, created=NEW + 1, hashed=subpacket(3, (1).to_bytes(4))
)


def bound(*backs: Packet, flags: int = SIGNS, hints: bytes = ISSUER) -> Packet:
    """A binding that has these back-signatures where nobody signed it."""
    hashed = subpacket(27, bytes((flags,)))
    unhashed = hints + b"".join(subpacket(32, one.body) for one in backs)
    return signed(ALICE, BINDS, SUBKEY.subkey, created=NEW, hashed=hashed, unhashed=unhashed)


def kept_on_subkey(*packets: Packet) -> set[Packet]:
    """Of copies of a binding; the same in whatever order, and with whatever together, they come."""
    found = {
        tuple(one.packet for one in keep(findings, VERIFIED).findings.bundles[-1].findings)
        for order in permutations(packets)
        for first in (verify(on_subkey(*order[:1])),)
        for findings in (
            verify(on_subkey(*order)),
            unite([keep(first, VERIFIED).findings, verify(on_subkey(*order))]),
        )
    }
    (same,) = found
    return set(same)


@pytest.mark.parametrize(
    ("best", "other"),
    [
        pytest.param(
            bound(BACK, flags=AUTHENTICATES), bound(flags=AUTHENTICATES), id="where-none-is-needed"
        ),
        pytest.param(bound(LONG), bound(OLDER), id="the-latest"),
        pytest.param(bound(LONG), bound(BY_SHA1), id="the-strong-one"),
        pytest.param(bound(LONG), bound(EXPIRING), id="the-one-that-lasts"),
        pytest.param(bound(BACK), bound(LONG), id="the-shortest-of-equals"),
        pytest.param(
            bound(OLDER),
            bound(BACK, hints=FALSE_ID + ISSUER),
            id="the-issuer-said-once-before-that",
        ),
        pytest.param(
            bound(OLDER), bound(with_wrong_digest(BACK)), id="whose-octets-are-right-before-that"
        ),
    ],
)
def test_p085_the_copy_with_the_best_backsig_is_kept(best: Packet, other: Packet) -> None:
    assert marks(verify(on_subkey(best, other)))[1:] == [Mark.VALID, Mark.VALID]
    assert kept_on_subkey(best, other) == {best}


@pytest.mark.parametrize("flags", [SIGNS, AUTHENTICATES])
def test_p085_a_copy_with_a_forged_backsig_is_none(flags: int) -> None:
    """Else the best could not be found without arithmetic where certificates are merged."""
    right = bound(OLDER, flags=flags)
    forged = bound(with_wrong_value(BACK), flags=flags)
    both = bound(OLDER, with_wrong_value(BACK), flags=flags)
    for copy in (forged, both):
        assert marks(verify(on_subkey(copy)))[1:] == [Mark.NO_BACKSIG]
        assert kept_on_subkey(right, copy) == {right}


def test_p085_what_does_not_say_to_be_a_backsig_counts_as_none() -> None:
    """Of no use to anybody, whatever its date; and no reason to lose the binding."""
    plain, right = bound(flags=AUTHENTICATES), bound(OLDER, flags=AUTHENTICATES)
    unknown_hash = Packet(Tag.SIGNATURE, BACK.body[:3] + b"\x63" + BACK.body[4:])
    for junk in (
        signed(BOB, CONSENTS, SUBKEY.subkey, created=NEW),
        signed(SUBKEY, BINDS, SUBKEY.subkey, created=NEW),
        signed(SUBKEY, CONSENTS, SUBKEY.subkey, created=NEW, hash_algorithm=MD5),
        unknown_hash,
        Packet(Tag.SIGNATURE, b"\4"),
    ):
        copy = bound(junk, flags=AUTHENTICATES)
        assert marks(verify(on_subkey(copy)))[1:] == [Mark.VALID]
        assert kept_on_subkey(copy, plain) == {plain}
        assert kept_on_subkey(copy, right) == {right}


def test_p060_a_merge_keeps_the_copy_with_the_right_octets() -> None:
    wrong = Certificate(ALICE.primary, (), (Component(NAME, (with_wrong_digest(SELF),)),))
    assert keep(verify(wrong), VERIFIED).findings.certificate() == wrong
    for merged in (merge(wrong, alice()), merge(alice(), wrong)):
        assert keep(verify(merged), VERIFIED).findings.certificate() == alice()

"""What is kept of a certificate, rule by rule; P-098 and P-099 are in `test_shedding`."""

import pytest

from keygrove_chaos.signing import CREATED, Signer, subpacket
from keygrove_protocols.openpgp.certificate import Certificate, Component, packets
from keygrove_protocols.openpgp.findings import Bundle, Finding, Findings, Mark, marked
from keygrove_protocols.openpgp.hashing import SHA1
from keygrove_protocols.openpgp.merge import merge
from keygrove_protocols.openpgp.packets import Packet, Tag
from keygrove_protocols.openpgp.policy import MINIMAL, VERIFIED, Policy
from keygrove_protocols.openpgp.rules import RULES, is_hard_revoked, keep
from keygrove_protocols.openpgp.verification import verify
from tests.openpgp import (
    ALICE,
    ATTESTS,
    BINDING,
    BINDS,
    BOB,
    DIRECT,
    ENCRYPTS,
    GENERIC,
    LOCAL,
    NAME,
    OTHER_NAME,
    POSITIVE,
    REVOKES,
    REVOKES_NAME,
    REVOKES_SUBKEY,
    SELF,
    SUBKEY,
    alice,
    on_subkey,
    reason,
    signed,
    with_hints,
    with_wrong_digest,
    with_wrong_value,
)

THEIRS = signed(BOB, GENERIC, NAME)


def kept(certificate: Certificate, policy: Policy = VERIFIED) -> Certificate:
    return keep(verify(certificate), policy).findings.certificate()


def bound(*components: Component) -> Certificate:
    return Certificate(ALICE.primary, (), components)


def named(packet: Packet, *signatures: Packet) -> Certificate:
    """A certificate with one component, signed by its primary key unless otherwise said."""
    return bound(Component(packet, signatures or (signed(ALICE, POSITIVE, packet),)))


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        pytest.param(signed(ALICE, GENERIC, NAME, hashed=LOCAL), "Local", id="p069-local"),
        pytest.param(with_hints(THEIRS, b""), "MalformedSignature", id="p079-no-issuer"),
        pytest.param(signed(BOB, GENERIC, NAME, hash_algorithm=3), "WeakHash", id="p073-ripemd"),
        pytest.param(
            signed(ALICE, GENERIC, NAME, hashed=subpacket(99, b"", critical=True)),
            "UnknownCriticalSubpacket",
            id="p067-critical",
        ),
        pytest.param(signed(ALICE, DIRECT), "Misplaced", id="p047-misplaced"),
        pytest.param(with_wrong_value(SELF), "BadSelfSig", id="p061-bad"),
        pytest.param(signed(ALICE, GENERIC, NAME, hash_algorithm=1), "Unverifiable", id="p073-md5"),
        pytest.param(with_wrong_digest(THEIRS), "Implausible", id="p060-implausible"),
    ],
)
def test_a_signature_at_fault_is_dropped_by_its_code(packet: Packet, code: str) -> None:
    found = keep(verify(alice(packet)), VERIFIED)
    assert (found.dropped, found.findings.certificate()) == ((code,), alice())
    assert sum(found.pruned.values()) == 1


def test_p047_a_misplaced_signature_is_never_moved() -> None:
    misplaced = Certificate(ALICE.primary, (SELF, THEIRS), (Component(NAME),))
    found = keep(verify(misplaced), VERIFIED)
    assert (found.error, found.dropped) == (
        "NoValidSelfSig",
        ("Misplaced", "Misplaced", "Unbound"),
    )
    assert kept(merge(misplaced, alice(THEIRS))) == kept(alice(THEIRS))


def test_p050_p051_something_must_be_bound() -> None:
    revocation, direct = (signed(ALICE, kind) for kind in (REVOKES, DIRECT))
    for good in (bound(), Certificate(ALICE.primary, (direct,)), on_subkey(BINDING)):
        whole = Certificate(good.primary, good.direct, good.components[1:])
        error = None if whole.direct or whole.components else "NoValidSelfSig"
        assert keep(verify(whole), VERIFIED).error == error
    assert keep(verify(Certificate(ALICE.primary, (revocation,))), VERIFIED).error is None
    forged = Certificate(ALICE.primary, (with_wrong_value(direct), signed(BOB, DIRECT)))
    assert keep(verify(forged), VERIFIED).error == "NoValidSelfSig"


@pytest.mark.parametrize("preset", [VERIFIED, MINIMAL], ids=["verified", "minimal"])
def test_p062_a_user_id_that_nobody_bound_goes_with_what_is_on_it(preset: Policy) -> None:
    theirs = signed(BOB, GENERIC, OTHER_NAME)
    whole = bound(*alice().components, Component(OTHER_NAME, (SELF, theirs)))
    assert kept(whole, preset) == alice()


def test_p090_a_revocation_binds_a_name_and_no_subkey() -> None:
    name = named(NAME, signed(ALICE, REVOKES_NAME, NAME))
    assert kept(name) == name
    subkey = on_subkey(signed(ALICE, REVOKES_SUBKEY, SUBKEY.subkey))
    assert kept(subkey) == alice()


def test_p077_a_subkey_is_of_the_primary_keys_version() -> None:
    v6 = Signer(3, version=6)
    packet = ALICE.bind(ALICE.primary, v6, ENCRYPTS)
    mixed = bound(*alice().components, Component(v6.subkey, (packet,)))
    found = keep(verify(mixed), VERIFIED)
    assert (found.findings.certificate(), found.dropped) == (alice(), ("Unbound",))
    primary = Signer(1, version=6)
    binding = primary.bind(primary.primary, SUBKEY, ENCRYPTS)
    reverse = Certificate(primary.primary, (), (Component(SUBKEY.subkey, (binding,)),))
    assert keep(verify(reverse), VERIFIED).error == "NoValidSelfSig"


def test_p054_a_user_id_may_be_empty_and_must_not_hold_nul() -> None:
    empty, nul = Packet(Tag.USER_ID, b""), Packet(Tag.USER_ID, b"Alice\0")
    assert kept(named(empty)) == named(empty)
    assert keep(verify(named(nul)), VERIFIED).dropped == ("NulUserID",)


ATTRIBUTES = Policy(user_attributes=True)


@pytest.mark.parametrize(
    ("body", "is_readable"),
    [
        pytest.param(b"\x03\x64ab", True, id="one"),
        pytest.param(b"\x03\x64ab\x02\x65c", True, id="two"),
        pytest.param(b"\xc0\x00\x64" + bytes(191), True, id="long"),
        pytest.param(b"\x04\x64ab", False, id="too-short"),
        pytest.param(b"\x02\x64ab", False, id="too-long"),
        pytest.param(b"\x00", False, id="of-no-type"),
        pytest.param(b"", False, id="empty"),
    ],
)
def test_p053_a_user_attribute_is_a_row_of_subpackets(body: bytes, *, is_readable: bool) -> None:
    whole = named(Packet(Tag.USER_ATTRIBUTE, body))
    found = keep(verify(whole), ATTRIBUTES)
    assert found.dropped == (() if is_readable else ("MalformedPacket",))
    assert (found.error is None) is is_readable


def test_p052_user_attributes_are_kept_where_the_policy_wants_them() -> None:
    whole = bound(*alice().components, *named(Packet(Tag.USER_ATTRIBUTE, b"\x02\x01a")).components)
    assert kept(whole, ATTRIBUTES) == whole
    found = keep(verify(whole), VERIFIED)
    assert (found.findings.certificate(), found.dropped) == (alice(), ())
    assert found.pruned == {"user attributes": 2}


@pytest.mark.parametrize(
    ("code", "is_hard"),
    [(None, True), (0, True), (2, True), (100, True), (1, False), (3, False), (32, False)],
)
def test_p088_p089_the_reason_says_whether_a_revocation_is_hard(
    code: int | None, *, is_hard: bool
) -> None:
    hashed = b"" if code is None else reason(code)
    revocation = signed(ALICE, REVOKES, hashed=hashed)
    whole = alice(THEIRS, direct=(revocation,))
    found = keep(verify(whole), VERIFIED)
    assert is_hard_revoked(found.findings) is is_hard
    assert found.findings.certificate() == (
        Certificate(ALICE.primary, (revocation,)) if is_hard else whole
    )


def test_p088_after_a_hard_revocation_keys_and_what_binds_them_stay() -> None:
    direct = tuple(signed(ALICE, kind) for kind in (REVOKES, DIRECT))
    others = (signed(BOB, DIRECT), signed(BOB, REVOKES))
    own = (signed(ALICE, REVOKES_SUBKEY, SUBKEY.subkey), BINDING)
    subkey = Component(SUBKEY.subkey, (*own, signed(BOB, REVOKES_SUBKEY, SUBKEY.subkey)))
    whole = Certificate(ALICE.primary, direct + others, (*alice(THEIRS).components, subkey))
    found = keep(verify(whole), VERIFIED)
    assert found.findings.certificate() == Certificate(
        ALICE.primary, direct, (Component(SUBKEY.subkey, own),)
    )
    assert found.dropped == ()


def test_p091_a_forged_revocation_has_no_effect() -> None:
    forged = signed(BOB, REVOKES, unhashed=ALICE.issuer)
    found = keep(verify(alice(direct=(forged, signed(BOB, REVOKES)))), VERIFIED)
    assert not is_hard_revoked(found.findings)
    assert found.dropped == ("BadSelfSig",)
    assert NAME in [one.packet for one in found.findings.bundles]


def test_p092_an_expired_certificate_is_kept_as_any_other() -> None:
    expired = named(NAME, signed(ALICE, POSITIVE, NAME, hashed=subpacket(9, (1).to_bytes(4))))
    assert kept(expired) == expired


def test_others_weak_signatures_go_by_their_date() -> None:
    dates = (CREATED, CREATED + 1)
    early, late = (signed(BOB, GENERIC, NAME, created=date, hash_algorithm=SHA1) for date in dates)
    own = signed(ALICE, GENERIC, NAME, created=CREATED + 9, hash_algorithm=SHA1)
    assert kept(alice(early, late, own)) == verify(alice(early, late, own)).certificate()
    found = kept(alice(early, late, own), Policy(weak_third_party_until=CREATED))
    assert found == verify(alice(early, own)).certificate()


def test_t1_the_policy_minimal_keeps_the_primary_keys_own() -> None:
    whole = alice(THEIRS, direct=(signed(BOB, DIRECT), signed(ALICE, DIRECT)))
    assert kept(whole, MINIMAL) == alice(direct=(signed(ALICE, DIRECT),))


LARGE = 32
"""SLH-DSA-SHAKE-128s."""


def large(packet: Packet, mark: Mark = Mark.VALID) -> Finding:
    """The finding on a signature, as if its algorithm were SLH-DSA, which nothing here makes."""
    body = packet.body[:2] + bytes((LARGE,)) + packet.body[3:]
    (finding,) = marked(Certificate(ALICE.primary, (Packet(Tag.SIGNATURE, body),))).direct
    return Finding(finding.packet, finding.signature, mark, finding.names_primary)


def latest(*on_name: Finding) -> set[Finding]:
    """What is kept of findings on Alice's user ID."""
    findings = Findings(ALICE.primary, (), (Bundle(NAME, on_name),))
    (bundle,) = keep(findings, VERIFIED).findings.bundles
    return set(bundle.findings)


def test_f8_the_latest_slh_dsa_signature_is_kept() -> None:
    old, new, newest = (
        large(signed(ALICE, POSITIVE, NAME, created=CREATED + at)) for at in range(3)
    )
    assert latest(old, newest, new) == {newest}


def test_f8_revocations_small_ones_and_others_stay_beside_it() -> None:
    old, new = (large(signed(ALICE, POSITIVE, NAME, created=CREATED + at)) for at in range(2))
    revocation = large(signed(ALICE, REVOKES_NAME, NAME))
    (small,) = verify(alice()).bundles[0].findings
    theirs = large(THEIRS, Mark.PLAUSIBLE)
    assert latest(old, new, revocation, small, theirs) == {new, revocation, small, theirs}


def test_f8_an_attestation_does_not_take_the_place_of_what_binds() -> None:
    certification = large(signed(ALICE, POSITIVE, NAME))
    attestations = [large(signed(ALICE, ATTESTS, NAME, created=CREATED + at)) for at in range(1, 3)]
    assert latest(certification, *attestations) == {certification, attestations[1]}


def test_f8_of_several_of_one_second_the_same_one_stays_whichever_copy_comes() -> None:
    """What nobody signed must not decide: the order is that of the signatures, not of copies."""
    one, other = (
        large(Packet(Tag.SIGNATURE, SELF.body[:-1] + bytes((octet,)))) for octet in (1, 2)
    )
    (stays,) = latest(one, other)
    goes = other if stays == one else one
    for hints in (bytes(8), b"\xff" * 8):
        copy = large(with_hints(goes.packet, ALICE.issuer + subpacket(100, hints)))
        assert latest(copy, stays) == {stays}


def test_f8_each_place_has_its_own_latest() -> None:
    direct = tuple(large(signed(ALICE, DIRECT, created=CREATED + at)) for at in range(2))
    name = large(signed(ALICE, POSITIVE, NAME))
    subkey = large(signed(ALICE, BINDS, SUBKEY.subkey))
    findings = Findings(
        ALICE.primary, direct, (Bundle(NAME, (name,)), Bundle(SUBKEY.subkey, (subkey,)))
    )
    left = keep(findings, VERIFIED).findings
    assert [found for _, found in left.places()] == [(direct[1],), (name,), (subkey,)]


def test_every_packet_that_goes_is_counted_by_its_rule() -> None:
    junk = with_wrong_value(SELF)
    stranger = bound(
        *alice(THEIRS, junk).components,
        Component(OTHER_NAME, (signed(BOB, GENERIC, OTHER_NAME),)),
    )
    found = keep(verify(stranger), MINIMAL)
    gone = len(list(packets(stranger))) - len(list(packets(found.findings.certificate())))
    assert sum(found.pruned.values()) == gone == 4
    assert found.pruned == {
        "own signatures that verify": 1,
        "bound components": 2,
        "others' signatures": 1,
    }
    assert found.pruned.keys() <= {rule.name for rule in RULES}

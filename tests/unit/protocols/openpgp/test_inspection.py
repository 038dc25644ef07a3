"""What is said about an input; the vectors of `tests/interop` have the most of it."""

import pytest

from keygrove_chaos.signing import subpacket
from keygrove_protocols.limits import BULK, SUBMISSION
from keygrove_protocols.openpgp.armor import armor
from keygrove_protocols.openpgp.certificate import Certificate, Component, to_bytes
from keygrove_protocols.openpgp.inspection import InspectedCertificate, inspect
from keygrove_protocols.openpgp.packets import Packet, Tag, join
from keygrove_protocols.openpgp.policy import MINIMAL, VERIFIED, Policy
from tests.openpgp import (
    ALICE,
    BINDING,
    BOB,
    DIRECT,
    GENERIC,
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
    revoker,
    signed,
    with_wrong_value,
)

THEIRS = signed(BOB, GENERIC, NAME)


def one(certificate: Certificate, policy: Policy = VERIFIED) -> InspectedCertificate:
    found = inspect(to_bytes(certificate), BULK, policy)
    assert (found.outcome, found.error) == ("ok", None)
    return found.certificates[0]


def test_a_certificate_is_told_with_what_would_be_kept() -> None:
    found = one(alice(THEIRS, with_wrong_value(SELF)))
    assert (found.version, found.fingerprint, found.keyid) == (
        4,
        ALICE.key.fingerprint.hex(),
        ALICE.key.key_id.hex(),
    )
    assert (found.valid_uids, found.self_sigs_kept, found.third_party_kept) == (("Alice",), 1, 1)
    assert found.dropped == ("BadSelfSig",)
    assert found.sks_digest != found.filtered_digest == one(alice(THEIRS)).sks_digest


def test_the_policy_says_what_would_be_kept() -> None:
    found = one(alice(THEIRS), MINIMAL)
    assert (found.third_party_kept, found.pruned) == (0, {"others' signatures": 1})
    assert found.filtered_digest == one(alice()).sks_digest


@pytest.mark.parametrize(
    ("hashed", "wanted"),
    [(b"", "hard"), (reason(2), "hard"), (reason(1), "soft:1"), (reason(3), "soft:3")],
)
def test_p088_p089_a_revocation_is_told_as_hard_or_soft(hashed: bytes, wanted: str) -> None:
    found = one(alice(direct=(signed(ALICE, REVOKES, hashed=hashed),)))
    assert found.revoked == wanted
    assert found.valid_uids == (() if wanted == "hard" else ("Alice",))


def test_p090_what_is_revoked_is_still_told() -> None:
    revoked = signed(ALICE, REVOKES_NAME, NAME)
    subkey = Component(SUBKEY.subkey, (BINDING, signed(ALICE, REVOKES_SUBKEY, SUBKEY.subkey)))
    found = one(Certificate(ALICE.primary, (), (*alice(revoked).components, subkey)))
    assert found.valid_uids == found.revoked_uids == ("Alice",)
    assert found.valid_subkeys == found.revoked_subkeys == (SUBKEY.key.fingerprint.hex(),)


def test_p091_others_revoke_nothing() -> None:
    revoked = signed(BOB, REVOKES_NAME, NAME)
    found = one(alice(revoked, direct=(signed(BOB, REVOKES),)))
    assert (found.revoked, found.revoked_uids) == (None, ())


def test_p093_a_designated_revokers_revocation_is_told_where_his_certificate_is_at_hand() -> None:
    lets_bob = signed(ALICE, DIRECT, hashed=revoker(BOB.key.fingerprint))
    name = BOB.key.fingerprint.hex()
    for hashed, weight in ((b"", "hard"), (reason(3), "soft:3")):
        whole = alice(direct=(lets_bob, signed(BOB, REVOKES, hashed=hashed)))
        assert (one(whole).revoked, one(whole).revoked_by) == (None, {})
        found = inspect(to_bytes(whole), BULK, VERIFIED, [Certificate(BOB.primary)])
        assert found.certificates[0].revoked_by == {name: weight}
        found = inspect(to_bytes(whole) + join([BOB.primary]), BULK, VERIFIED)
        assert found.certificates[0].revoked_by == {name: weight}


def test_p052_a_user_attribute_is_told_kept_or_not() -> None:
    image = b"\x10\x00\x01\x01" + bytes(12) + bytes(1_000)
    body = subpacket(1, image) + subpacket(1, image[:3] + b"\x64" + image[4:]) + b"\x02\x65a"
    attribute = Packet(Tag.USER_ATTRIBUTE, body)
    own = Component(attribute, (signed(ALICE, POSITIVE, attribute),))
    forged = Component(Packet(Tag.USER_ATTRIBUTE, b"\x02\x65b"), (SELF,))
    whole = Certificate(ALICE.primary, (), (*alice().components, own, forged))
    told = (
        "1 octets of type 101",
        "JPEG image of 1,000 octets",
        "image of encoding 100 of 1,000 octets",
    )
    for policy, dropped in ((VERIFIED, 1), (Policy(user_attributes=True), 0)):
        found = one(whole, policy)
        assert (found.user_attributes, found.uats_valid_but_dropped_by_F6) == (told, dropped)


def test_p054_a_user_id_is_told_as_text() -> None:
    body = b"Ren\xe9\xff"
    name = Packet(Tag.USER_ID, body)
    whole = Certificate(ALICE.primary, (), (Component(name, (signed(ALICE, POSITIVE, name),)),))
    assert one(whole).valid_uids == ("Ren\ufffd\ufffd",)


def test_p051_of_a_certificate_without_own_signatures_nothing_is_kept() -> None:
    found = one(Certificate(ALICE.primary, (), (Component(NAME, (THEIRS,)),)))
    assert (found.error, found.filtered_digest, found.dropped) == (
        "NoValidSelfSig",
        None,
        ("Unbound",),
    )


def test_p044_a_refused_certificate_is_told_beside_its_neighbour() -> None:
    refused = to_bytes(alice()) + join([Packet(23, b"")])
    found = inspect(refused + to_bytes(on_subkey(BINDING)), BULK, VERIFIED)
    assert [each.error for each in found.certificates] == ["UnknownCriticalPacket", None]
    assert found.certificates[0].fingerprint == ALICE.key.fingerprint.hex()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "EmptyInput"),
        (b"hello", "NotOpenPGP"),
        (join([NAME]), "NotACertificate"),
        (to_bytes(alice())[:-1], "Truncated"),
    ],
)
def test_what_is_no_certificate_is_an_error(data: bytes, error: str) -> None:
    found = inspect(data, SUBMISSION, VERIFIED)
    assert (found.outcome, found.error, found.certificates) == ("error", error, ())
    assert found.text


def test_p048_a_lone_revocation_is_told_with_what_it_would_do() -> None:
    data = armor(join([signed(ALICE, REVOKES, hashed=reason(3))]))
    unknown = inspect(data, SUBMISSION, VERIFIED, [Certificate(BOB.primary)])
    assert unknown.outcome == "bare_revocation"
    assert unknown.bare_revocation is not None
    assert unknown.bare_revocation.verifies is None
    found = inspect(data, SUBMISSION, VERIFIED, [Certificate(BOB.primary), alice()])
    assert found.bare_revocation is not None
    assert (found.bare_revocation.verifies, found.bare_revocation.effect) == (
        True,
        "soft revocation",
    )
    assert found.bare_revocation.target_fingerprint == ALICE.key.fingerprint.hex()


def test_p048_a_forged_lone_revocation_is_told_as_such() -> None:
    data = join([signed(BOB, REVOKES, unhashed=ALICE.issuer)])
    found = inspect(data, SUBMISSION, VERIFIED, [alice()]).bare_revocation
    assert found is not None
    assert (found.verifies, found.effect) == (False, "refused, 422")


def test_user_ids_come_sorted() -> None:
    both = [Component(packet, (signed(ALICE, POSITIVE, packet),)) for packet in (OTHER_NAME, NAME)]
    assert one(Certificate(ALICE.primary, (), tuple(both))).valid_uids == (
        "Alice",
        "Alice at work",
    )

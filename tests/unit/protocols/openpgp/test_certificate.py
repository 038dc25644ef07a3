"""Grouping of packets, what is left out or refused, and the canonical form."""

from itertools import permutations

import pytest

from keygrove_protocols.errors import (
    EmptyInputError,
    NotACertificateError,
    ProtocolError,
    SecretKeyMaterialError,
    TooLargeError,
)
from keygrove_protocols.limits import SUBMISSION, Limits
from keygrove_protocols.openpgp.certificate import (
    Certificate,
    Component,
    Refused,
    canonical,
    fingerprint,
    group,
    key,
    packets,
    subkeys,
    to_bytes,
    user_ids,
)
from keygrove_protocols.openpgp.keys import parse_key
from keygrove_protocols.openpgp.packets import Packet, Tag, split


def key_body(number: int, version: int = 4) -> bytes:
    length = b"" if version == 4 else (32).to_bytes(4)
    return bytes([version]) + number.to_bytes(4) + b"\x1b" + length + bytes(32)


PRIMARY = Packet(Tag.PUBLIC_KEY, key_body(1))
OTHER = Packet(Tag.PUBLIC_KEY, key_body(2))
V3_PRIMARY = Packet(Tag.PUBLIC_KEY, b"\x03" + bytes(6) + b"\x01\x00\x08\xff\x00\x02\x03")
SUBKEY = Packet(Tag.PUBLIC_SUBKEY, key_body(3))
ALICE, BOB = Packet(Tag.USER_ID, b"Alice"), Packet(Tag.USER_ID, b"Bob")
PHOTO = Packet(Tag.USER_ATTRIBUTE, b"\x02\x65\x00")
MARKER, TRUST, PADDING = Packet(10, b"PGP"), Packet(12, b"\x00"), Packet(21, bytes(9))
PRIVATE_USE, UNKNOWN = Packet(60, b"?"), Packet(23, b"?")
OWN = parse_key(PRIMARY.body).key_id
STRANGER = bytes(8)


def signature(
    kind: int, created: int = 0, issuer: bytes = OWN, extra: bytes = b"", unhashed: bytes = b""
) -> Packet:
    """What a signature packet looks like; nothing is signed."""
    hashed = b"\x05\x02" + created.to_bytes(4) + b"\x09\x10" + issuer + extra
    areas = len(hashed).to_bytes(2) + hashed + len(unhashed).to_bytes(2) + unhashed
    return Packet(Tag.SIGNATURE, bytes([4, kind, 27, 8]) + areas + bytes(66))


S1, S2, S3 = signature(0x13, 1), signature(0x13, 2), signature(0x13, 3)


def only(sequence: list[Packet], limits: Limits = SUBMISSION) -> Certificate:
    (found,) = group(sequence, limits)
    assert isinstance(found, Certificate)
    return found


def codes(sequence: list[Packet], limits: Limits = SUBMISSION) -> list[str]:
    return [one.error if isinstance(one, Refused) else "" for one in group(sequence, limits)]


def test_signatures_hang_on_what_they_follow() -> None:
    assert only([PRIMARY, S1, ALICE, S2, S3, SUBKEY, PHOTO, S1]) == Certificate(
        PRIMARY,
        (S1,),
        (Component(ALICE, (S2, S3)), Component(SUBKEY), Component(PHOTO, (S1,))),
    )


def test_packets_come_back_in_their_order() -> None:
    sequence = [PRIMARY, S1, ALICE, S2, SUBKEY, S3]
    assert list(packets(only(sequence))) == sequence
    assert split(to_bytes(only(sequence)), SUBMISSION) == sequence


def test_every_primary_key_begins_a_certificate() -> None:
    assert group([PRIMARY, ALICE, OTHER, BOB], SUBMISSION) == [
        Certificate(PRIMARY, (), (Component(ALICE),)),
        Certificate(OTHER, (), (Component(BOB),)),
    ]


def test_a_certificate_tells_its_parts() -> None:
    certificate = only([PRIMARY, ALICE, SUBKEY, BOB, PHOTO])
    assert [one.packet for one in user_ids(certificate)] == [ALICE, BOB]
    assert [one.packet for one in subkeys(certificate)] == [SUBKEY]
    assert key(certificate).fingerprint == fingerprint(certificate)


@pytest.mark.parametrize("extra", [MARKER, TRUST, PADDING], ids=["p041", "p042", "p041-padding"])
@pytest.mark.parametrize("at", range(5))
def test_some_packets_are_passed_over_anywhere(extra: Packet, at: int) -> None:
    sequence = [PRIMARY, ALICE, S1, S2]
    assert only([*sequence[:at], extra, *sequence[at:]]) == only(sequence)


@pytest.mark.parametrize("tag", [40, 59, 60, 63])
def test_p043_an_unknown_packet_that_may_be_is_left_out_with_its_signatures(tag: int) -> None:
    assert only([PRIMARY, ALICE, S1, Packet(tag, b"?"), S2, BOB, S3]) == only(
        [PRIMARY, ALICE, S1, BOB, S3]
    )


@pytest.mark.parametrize("tag", [1, 3, 4, 8, 9, 11, 15, 16, 18, 19, 20, 22, 23, 39])
def test_p044_an_unknown_critical_packet_refuses_its_certificate_only(tag: int) -> None:
    found = group([PRIMARY, ALICE, Packet(tag, b"?"), OTHER, BOB], SUBMISSION)
    assert isinstance(found[0], Refused)
    assert found[0].error == "UnknownCriticalPacket"
    assert found[0].fingerprint == parse_key(PRIMARY.body).fingerprint
    assert found[1] == only([OTHER, BOB])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(key_body(1, version=5), "UnsupportedKeyVersion", id="p030-v5"),
        pytest.param(b"\x07" + key_body(1)[1:], "UnsupportedKeyVersion", id="p031-v7"),
        pytest.param(key_body(1) + b"\x00", "MalformedPrimary", id="trailing"),
        pytest.param(b"", "MalformedPrimary", id="empty"),
    ],
)
def test_a_bad_primary_key_refuses_its_certificate_only(body: bytes, code: str) -> None:
    bad = Packet(Tag.PUBLIC_KEY, body)
    assert codes([PRIMARY, ALICE, bad, BOB, S1, OTHER]) == ["", code, ""]


def test_p030_the_fingerprint_of_a_refused_v5_key_is_told() -> None:
    body = key_body(1, version=5)
    (found,) = group([Packet(Tag.PUBLIC_KEY, body)], SUBMISSION)
    assert isinstance(found, Refused)
    assert found.fingerprint == parse_key(body).fingerprint


@pytest.mark.parametrize("tag", [5, 7])
@pytest.mark.parametrize("at", range(5))
def test_p038_a_secret_key_anywhere_refuses_everything(tag: int, at: int) -> None:
    sequence = [PRIMARY, ALICE, UNKNOWN, OTHER]
    with pytest.raises(SecretKeyMaterialError):
        group([*sequence[:at], Packet(tag, b""), *sequence[at:]], SUBMISSION)


@pytest.mark.parametrize(
    ("sequence", "error"),
    [
        pytest.param([], EmptyInputError, id="nothing"),
        pytest.param([ALICE, PRIMARY], NotACertificateError, id="p049-user-id-first"),
        pytest.param([S1], NotACertificateError, id="a-signature"),
        pytest.param([MARKER], NotACertificateError, id="a-marker"),
        pytest.param([PRIVATE_USE, PRIMARY], NotACertificateError, id="an-unknown-packet-first"),
        pytest.param([PRIMARY] * 101, TooLargeError, id="too-many"),
    ],
)
def test_what_is_no_certificate_is_refused(
    sequence: list[Packet], error: type[ProtocolError]
) -> None:
    with pytest.raises(error):
        group(sequence, SUBMISSION)


def test_as_many_certificates_as_may_be_are_taken() -> None:
    assert len(group([PRIMARY] * 100, SUBMISSION)) == 100
    assert len(group([PRIMARY] * 101, Limits(certificates_max=None))) == 101


def test_p055_a_v3_certificate_has_no_subkeys() -> None:
    assert only([V3_PRIMARY, ALICE, S1, SUBKEY, S2]) == only([V3_PRIMARY, ALICE, S1])


@pytest.mark.parametrize("body", [b"", b"\x04", b"\x07" + bytes(40), key_body(3) + b"\x00"])
def test_a_subkey_that_is_none_is_left_out_with_its_signatures(body: bytes) -> None:
    bad = Packet(Tag.PUBLIC_SUBKEY, body)
    assert only([PRIMARY, ALICE, S1, bad, S2]) == only([PRIMARY, ALICE, S1])


def test_p046_equal_components_and_signatures_are_folded() -> None:
    sequence = [PRIMARY, S1, S1, ALICE, S2, S2, BOB, S2, ALICE, S3, S2, SUBKEY, SUBKEY]
    assert canonical(only(sequence)) == canonical(
        only([PRIMARY, S1, ALICE, S2, S3, BOB, S2, SUBKEY])
    )


def test_a_user_id_and_an_attribute_of_the_same_octets_are_two() -> None:
    twin = Packet(Tag.USER_ATTRIBUTE, ALICE.body)
    assert len(canonical(only([PRIMARY, ALICE, twin])).components) == 2


def test_a_subkey_that_is_the_primary_key_again_is_left_out() -> None:
    twin = Packet(Tag.PUBLIC_SUBKEY, PRIMARY.body)
    assert canonical(only([PRIMARY, ALICE, twin, S1])) == only([PRIMARY, ALICE])


MAIN = signature(0x13, 1, extra=b"\x02\x19\x01")
DIRECT = [
    signature(0x20, 5),
    signature(0x20, 6),
    signature(0x1F, 3),
    signature(0x30, 2),
    signature(0x13, 1),
    signature(0x1F, 1, STRANGER),
    signature(0x20, 2, STRANGER),
    signature(0x1F, 0, extra=b"\x02\xe5\x00", issuer=b"\xff" * 8),
    Packet(Tag.SIGNATURE, b""),
]
ON_ALICE = [
    signature(0x30, 1),
    signature(0x30, 9),
    signature(0x13, 8),
    signature(0x10, 7),
    signature(0x16, 1),
    signature(0x1F, 1),
    signature(0x13, 1, STRANGER),
    signature(0x13, 1, b"\xff" * 8),
    signature(0x10, 2, STRANGER),
    Packet(Tag.SIGNATURE, b"\x00"),
]


def test_p087_direct_signatures_stand_in_their_order() -> None:
    expected = [*DIRECT[:5], DIRECT[7], *DIRECT[5:7], DIRECT[8]]
    assert list(canonical(only([PRIMARY, *reversed(DIRECT)])).direct) == expected


def test_p087_signatures_on_a_component_stand_in_their_order() -> None:
    (alice,) = canonical(only([PRIMARY, ALICE, *reversed(ON_ALICE)])).components
    assert list(alice.signatures) == ON_ALICE


def test_p045_components_stand_in_their_order() -> None:
    """The main user ID, others by age, without a signature, revoked; photo; subkeys by age."""
    names = [Packet(Tag.USER_ID, name.encode()) for name in "edcba"]
    ordered = [
        [names[0], MAIN],
        [names[1], S3],
        [names[2], S2],
        [names[3], signature(0x13, 9, STRANGER)],
        [names[4], signature(0x30, 9), signature(0x13, 9)],
        [PHOTO, S3],
        [SUBKEY],
        [Packet(Tag.PUBLIC_SUBKEY, key_body(4))],
    ]
    sequence = [packet for parts in ordered for packet in parts]
    backwards = [packet for parts in reversed(ordered) for packet in parts]
    assert list(packets(canonical(only([PRIMARY, *backwards])))) == [PRIMARY, *sequence]


def test_a_certification_after_a_revocation_makes_a_user_id_valid_again() -> None:
    revived = [ALICE, signature(0x30, 5), signature(0x13, 6)]
    revoked = [BOB, signature(0x30, 7), signature(0x13, 6)]
    certificate = canonical(only([PRIMARY, *revoked, *revived]))
    assert [one.packet for one in certificate.components] == [ALICE, BOB]


def test_p087_the_canonical_form_does_not_depend_on_the_order() -> None:
    parts = [[ALICE, S1], [BOB, S2], [SUBKEY, S3], [PHOTO], [ALICE, S2]]
    forms = {
        to_bytes(canonical(only([PRIMARY, *(packet for part in order for packet in part)])))
        for order in permutations(parts)
    }
    assert len(forms) == 1


def test_p047_a_signature_in_the_wrong_place_stays_there() -> None:
    certificate = only([PRIMARY, S1, ALICE])
    assert canonical(certificate) == certificate

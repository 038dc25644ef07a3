"""Each step of ingest, by name."""

from collections.abc import Callable

import pytest

from keygrove.ingest.steps import (
    STEPS,
    draft,
    group_packets,
    make_canonical,
    prepare,
    refuse_old_versions,
    split_packets,
    take_off_armor,
)
from keygrove.storage.store import Cause
from keygrove_chaos.certificates import armored, binary, digest_of, large, made
from keygrove_protocols.errors import (
    FramingError,
    NotACertificateError,
    ProtocolError,
    SecretKeyMaterialError,
    TooLargeError,
)
from keygrove_protocols.limits import BULK, SUBMISSION
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint, packets
from keygrove_protocols.openpgp.packets import Packet, Tag, join

ALICE, BOB = made(1, "Alice", "Amy", signatures=2), made(2, "Bob")


def test_the_steps_are_these_in_this_order() -> None:
    assert list(STEPS) == [
        ("take off armor", take_off_armor),
        ("split packets", split_packets),
        ("group packets", group_packets),
        ("make canonical", make_canonical),
        ("refuse old versions", refuse_old_versions),
    ]


@pytest.mark.parametrize("form", [armored(ALICE, BOB), binary([ALICE, BOB])], ids=["armor", "raw"])
def test_armor_is_taken_off_and_packets_are_left_alone(form: bytes) -> None:
    assert take_off_armor(draft(form, Cause.UPLOAD)).data == binary([ALICE, BOB])


def test_packets_are_split_and_the_octets_let_go() -> None:
    on = split_packets(draft(binary([ALICE, BOB]), Cause.UPLOAD))
    assert on.packets == (*packets(ALICE), *packets(BOB))
    assert on.data == b""


def test_packets_are_grouped_and_bad_certificates_set_aside() -> None:
    on = draft(binary([ALICE, made(9, version=5), BOB]), Cause.UPLOAD)
    on = group_packets(split_packets(on))
    assert on.certificates == (ALICE, BOB)
    assert [one.error for one in on.refused] == ["UnsupportedKeyVersion"]
    assert on.packets == ()


def test_certificates_become_canonical_candidates() -> None:
    shuffled = Certificate(ALICE.primary, (), ALICE.components[::-1] * 2)
    on = draft(binary([shuffled]), Cause.UPLOAD)
    on = make_canonical(group_packets(split_packets(on)))
    (one,) = on.candidates
    assert (one.certificate, one.digest) == (ALICE, digest_of(ALICE))
    assert (one.fingerprint, one.version) == (fingerprint(ALICE), 4)
    assert on.certificates == ()


def test_version_3_is_refused_from_clients_and_taken_from_dumps(
    vector: Callable[[str], bytes],
) -> None:
    old = vector("v3-rsa.pgp") + binary([BOB])
    uploaded, loaded = prepare(old, Cause.UPLOAD), prepare(old, Cause.LOAD)
    assert [one.version for one in uploaded.candidates] == [4]
    (refused,) = uploaded.refused
    assert refused.error == "UnsupportedKeyVersion"
    assert refused.fingerprint == loaded.candidates[0].fingerprint
    assert [one.version for one in loaded.candidates] == [3, 4]
    assert loaded.refused == ()


def test_dumps_may_be_larger_than_submissions() -> None:
    assert draft(b"", Cause.UPLOAD).limits == SUBMISSION
    assert draft(b"", Cause.LOAD).limits == BULK
    data = binary([large(3, 1 << 20)])
    assert prepare(data, Cause.UPLOAD).refused[0].error == "TooLarge"
    assert len(prepare(data, Cause.LOAD).candidates) == 1


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", FramingError),
        (b"hello", FramingError),
        (b"\xc6\x05abc", FramingError),
        (armored(ALICE)[:-40], FramingError),
        (join([Packet(Tag.USER_ID, b"Alice")]), NotACertificateError),
        (binary([ALICE]) + join([Packet(Tag.SECRET_KEY, b"\x04")]), SecretKeyMaterialError),
        (bytes(SUBMISSION.body_bytes_max + 1), TooLargeError),
        (binary([made(n) for n in range(101)]), TooLargeError),
    ],
    ids=["empty", "text", "truncated", "cut armor", "user id", "secret", "large", "many"],
)
def test_what_cannot_be_taken_is_refused_as_a_whole(
    data: bytes, error: type[ProtocolError]
) -> None:
    with pytest.raises(error):
        prepare(data, Cause.UPLOAD)


def test_preparing_is_all_steps_in_a_row() -> None:
    on = draft(armored(ALICE), Cause.UPLOAD)
    for _, step in STEPS:
        on = step(on)
    assert on == prepare(armored(ALICE), Cause.UPLOAD)

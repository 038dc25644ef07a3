"""Each step of ingest, by name."""

from collections.abc import Callable

import msgspec
import pytest

from keygrove.ingest.steps import (
    COST_US_MAX,
    INLINE_US,
    SOURCE_OCTETS,
    SUBMISSION_US_MAX,
    TOO_COSTLY,
    Reading,
    look_into,
    look_into_dump,
    name_of,
    read,
    source_of,
    source_salt,
)
from keygrove.storage.candidate import Candidate, candidate
from keygrove.storage.write import Cause
from keygrove_chaos.certificates import (
    armored,
    binary,
    candidate_of,
    costly,
    laborious,
    large,
    made,
)
from keygrove_chaos.signing import Signer, subpacket
from keygrove_protocols.errors import (
    FramingError,
    NotACertificateError,
    ProtocolError,
    SecretKeyMaterialError,
    TooLargeError,
)
from keygrove_protocols.limits import BULK, EMBEDDED_MAX, SUBMISSION
from keygrove_protocols.openpgp.certificate import Certificate, Refused, fingerprint
from keygrove_protocols.openpgp.crypto.eddsa import ED25519_US
from keygrove_protocols.openpgp.packets import Packet, Tag, join
from keygrove_protocols.openpgp.policy import MINIMAL, SKS_COMPATIBLE, VERIFIED, Policy

ALICE, BOB = made(1, "Alice", "Amy", signatures=2), made(2, "Bob")
REVOCATION = Signer(1).sign(0x20, ALICE.primary)
SECRET = join([Packet(Tag.SECRET_KEY, b"\x04")])


@pytest.mark.parametrize("form", [armored(ALICE, BOB), binary([ALICE, BOB])], ids=["armor", "raw"])
def test_a_submission_is_read_armored_or_not(form: bytes) -> None:
    assert read(form).certificates == (ALICE, BOB)
    assert read(form).revocation is None


def test_bad_certificates_are_set_aside_when_it_is_read() -> None:
    first, bad, last = read(binary([ALICE, made(9, version=5), BOB])).certificates
    assert (first, last) == (ALICE, BOB)
    assert isinstance(bad, Refused)
    assert (bad.error, bad.at) == ("UnsupportedKeyVersion", 1)


def test_a_revocation_that_comes_alone_is_read_as_one() -> None:
    assert read(join([REVOCATION])) == Reading(revocation=REVOCATION)
    assert read(join([Packet(Tag.MARKER, b"PGP"), REVOCATION])).revocation == REVOCATION
    other = ALICE.components[0].signatures[0]
    for packets in ([other], [REVOCATION, REVOCATION]):
        with pytest.raises(NotACertificateError):
            read(join(packets))


@pytest.mark.parametrize("policy", [VERIFIED, MINIMAL, SKS_COMPATIBLE], ids=lambda one: one.preset)
def test_certificates_become_candidates_of_the_policy_in_their_order(policy: Policy) -> None:
    shuffled = Certificate(ALICE.primary, (), ALICE.components[::-1] * 2)
    prepared = look_into(read(binary([shuffled, BOB])), policy)
    assert prepared.ones == (
        candidate(ALICE, policy, Cause.UPLOAD),
        candidate(BOB, policy, Cause.UPLOAD, at=1),
    )


def test_what_was_set_aside_when_it_was_read_is_passed_on() -> None:
    reading = read(binary([made(9, version=5), ALICE]))
    refused, alice = look_into(reading, VERIFIED).ones
    assert refused == reading.certificates[0]
    assert isinstance(alice, Candidate)
    assert alice.at == 1


def test_version_3_is_refused_from_clients_and_taken_from_dumps(
    vector: Callable[[str], bytes],
) -> None:
    old = vector("v3-rsa.pgp")
    bob, refused = look_into(read(binary([BOB]) + old), VERIFIED).ones
    assert isinstance(refused, Refused)
    assert isinstance(bob, Candidate)
    assert (refused.error, refused.version, refused.at) == ("UnsupportedKeyVersion", 3, 1)
    (taken,) = look_into_dump([old], VERIFIED).ones
    assert isinstance(taken, Candidate)
    assert taken.put is not None
    assert (taken.version, taken.fingerprint) == (3, refused.fingerprint)


def test_p033_leading_zeros_are_refused_from_clients_and_taken_from_dumps(
    vector: Callable[[str], bytes],
) -> None:
    padded = vector("mpi-leading-zero.pgp")
    bob, refused = look_into(read(binary([BOB]) + padded), VERIFIED).ones
    assert isinstance(bob, Candidate)
    assert isinstance(refused, Refused)
    assert (refused.error, refused.version, refused.at) == ("MalformedPrimary", 4, 1)
    assert "leading zero bits" in refused.text
    assert "make a new one" in refused.text
    (taken,) = look_into_dump([padded], VERIFIED).ones
    assert isinstance(taken, Candidate)
    assert taken.put is not None
    assert taken.fingerprint == refused.fingerprint


def test_each_certificate_of_a_dump_stands_for_itself() -> None:
    two = binary([ALICE, BOB])
    some = [binary([ALICE]), b"\x00junk", SECRET, binary([made(9, version=5)]), binary([BOB])]
    ones = look_into_dump(some, VERIFIED).ones
    assert [one.at for one in ones] == [0, 1, 2, 3, 4]
    assert [one.error for one in ones] == [
        "",
        "BadPacketHeader",
        "SecretKeyMaterial",
        "UnsupportedKeyVersion",
        "",
    ]
    assert [one.fingerprint for one in ones][::4] == [fingerprint(ALICE), fingerprint(BOB)]
    with pytest.raises(ValueError, match="unpack"):
        look_into_dump([two], VERIFIED)


def test_candidates_of_a_dump_say_so_and_where_they_come_from() -> None:
    octets = binary([ALICE])
    (one,) = look_into_dump([octets], VERIFIED).ones
    source = source_of(octets, source_salt(VERIFIED))
    assert one == candidate(ALICE, VERIFIED, Cause.LOAD, source=source)
    assert len(source) == SOURCE_OCTETS
    assert isinstance(one, Candidate)
    assert one.put is not None
    assert one.put.source == source


def test_a_source_is_of_octets_and_of_a_policy() -> None:
    blocking = msgspec.structs.replace(VERIFIED, blocked=frozenset({fingerprint(ALICE)}))
    octets = (binary([ALICE]), binary([BOB]))
    salts = [source_salt(one) for one in (VERIFIED, MINIMAL, SKS_COMPATIBLE, blocking)]
    assert len({source_of(one, salt) for one in octets for salt in salts}) == 8
    assert source_salt(Policy()) == source_salt(VERIFIED)


def test_the_order_of_what_is_blocked_makes_no_other_source() -> None:
    names = [fingerprint(made(number)) for number in range(40)]
    salts = {source_salt(Policy(blocked=frozenset(order))) for order in (names, names[::-1])}
    assert len(salts) == 1


def test_whose_a_certificate_is_stands_at_its_beginning() -> None:
    octets = binary([ALICE])
    assert name_of(octets) == fingerprint(ALICE)
    assert name_of(octets[:60]) == fingerprint(ALICE)
    for junk in (b"", b"\x00", SECRET, octets[:20], binary([made(9, version=5)])[:20]):
        assert name_of(junk) is None


def test_dumps_may_be_larger_than_submissions() -> None:
    data = binary([large(3, SUBMISSION.body_bytes_max)])
    assert BULK.body_bytes_max > len(data) > SUBMISSION.body_bytes_max
    with pytest.raises(TooLargeError):
        read(data)
    (one,) = look_into_dump([data], VERIFIED).ones
    assert isinstance(one, Candidate)
    assert one.put is not None
    assert len(one.put.packets) < len(data), "what is kept of it is for the policy to say"


def test_what_costs_too_much_is_refused_before_anything_is_verified() -> None:
    octets = binary([costly(1)])
    one_us = read(binary([costly(2)])).cost_us - read(octets).cost_us
    number = COST_US_MAX // one_us + 1
    assert number < SUBMISSION.input_packets_max, "or nobody could have us do so much"
    reading = read(binary([costly(number), BOB]))
    assert reading.cost_us < COST_US_MAX, "or others would wait for what is not done"
    refused, bob = look_into(reading, VERIFIED).ones
    assert isinstance(refused, Refused)
    assert (refused.error, refused.at) == (TOO_COSTLY, 0)
    assert refused.fingerprint == fingerprint(costly(1))
    assert isinstance(bob, Candidate)
    (dumped,) = look_into_dump([binary([costly(number)])], VERIFIED).ones
    assert dumped.error == TOO_COSTLY
    (taken,) = look_into(read(octets), VERIFIED).ones
    assert taken.error == "NoValidSelfSig"


def test_several_that_cost_too_much_together_are_refused_together() -> None:
    one = laborious(1, SUBMISSION_US_MAX // 2)
    assert read(binary([one])).cost_us < SUBMISSION_US_MAX
    with pytest.raises(TooLargeError):
        read(binary([one, laborious(2, SUBMISSION_US_MAX // 2)]))


def test_the_cost_counts_every_consent_in_a_binding() -> None:
    primary, subkey = Signer(1), Signer(2)

    def cost_us(consents: int) -> int:
        back = subkey.sign(0x19, primary.primary, subkey.subkey)
        hashed = subpacket(27, b"\2") + subpacket(32, back.body) * consents
        binding = primary.sign(0x18, primary.primary, subkey.subkey, hashed=hashed)
        return read(join([primary.primary, subkey.subkey, binding])).cost_us

    assert cost_us(EMBEDDED_MAX) - cost_us(1) >= (EMBEDDED_MAX - 1) * ED25519_US


def test_the_cost_counts_the_subpackets_that_may_be_there() -> None:
    """Reading them takes longer than anything else that is done with a signature."""
    signer = Signer(1)
    name = Packet(Tag.USER_ID, b"Alice")

    def cost_us(subpackets: int) -> int:
        many = subpacket(100, b"") * subpackets
        certification = Signer(2).sign(0x10, signer.primary, name, hashed=many)
        return read(join([signer.primary, name, *[certification] * 100])).cost_us

    assert cost_us(500) >= 5 * cost_us(1)
    assert cost_us(5) < 2 * cost_us(1)


def test_the_cost_counts_the_subpackets_of_what_is_embedded() -> None:
    signer, subkey = Signer(1), Signer(2)

    def cost_us(subpackets: int) -> int:
        back = signer.sign(0x19, signer.primary, hashed=subpacket(100, b"") * subpackets)
        embedded = subpacket(32, back.body) * EMBEDDED_MAX
        binding = signer.sign(0x18, signer.primary, subkey.subkey, hashed=embedded)
        return read(join([signer.primary, subkey.subkey, *[binding] * 10])).cost_us

    assert cost_us(500) >= 5 * cost_us(1)


@pytest.mark.parametrize("version", [3, 6])
def test_the_cost_counts_what_is_hashed_again_for_each_signature(version: int) -> None:
    salt = b"" if version == 3 else b"\x20" + bytes(32)
    areas = bytes(13) if version == 3 else b"\x0e" + bytes(8)
    head = b"\3\5\x10" if version == 3 else b"\6\x10\x1b"
    signature = Packet(Tag.SIGNATURE, head + areas + bytes(2) + salt + bytes(64))
    large_id = Packet(Tag.USER_ID, bytes(300_000))
    reading = read(join([Signer(1).primary, large_id, *[signature] * 50]))
    assert reading.cost_us >= 50_000, "a millisecond for each"


def test_the_cost_counts_components_without_signatures() -> None:
    names = [Packet(Tag.USER_ID, number.to_bytes(2)) for number in range(1_000)]
    assert read(join([Signer(1).primary, *names])).cost_us > INLINE_US


def test_the_cost_is_that_of_all_certificates() -> None:
    each = [read(binary([one])).cost_us for one in (ALICE, BOB)]
    assert read(binary([ALICE, made(9, version=5), BOB])).cost_us == sum(each)
    assert read(join([REVOCATION])).cost_us == 0


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", FramingError),
        (b"hello", FramingError),
        (b"\xc6\x05abc", FramingError),
        (armored(ALICE)[:-40], FramingError),
        (join([Packet(Tag.USER_ID, b"Alice")]), NotACertificateError),
        (binary([ALICE]) + SECRET, SecretKeyMaterialError),
        (bytes(SUBMISSION.body_bytes_max + 1), TooLargeError),
        (binary([made(n) for n in range(101)]), TooLargeError),
    ],
    ids=["empty", "text", "truncated", "cut armor", "user id", "secret", "large", "many"],
)
def test_what_cannot_be_taken_is_refused_as_a_whole(
    data: bytes, error: type[ProtocolError]
) -> None:
    with pytest.raises(error):
        read(data)


def test_a_candidate_of_a_submission_is_what_a_shard_is_asked_to_merge() -> None:
    (one,) = look_into(read(armored(ALICE)), VERIFIED).ones
    assert one == candidate_of(ALICE)

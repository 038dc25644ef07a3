"""Whose signatures the owner of a certificate asked for, and whom he lets revoke it."""

import hashlib

import pytest

from keygrove_chaos.signing import CREATED, Signer, subpacket
from keygrove_protocols.openpgp.certificate import Certificate
from keygrove_protocols.openpgp.hashing import SHA1, attested_digest
from keygrove_protocols.openpgp.packets import Packet
from keygrove_protocols.openpgp.policy import MINIMAL, VERIFIED, Policy
from keygrove_protocols.openpgp.revokers import named_revokers
from keygrove_protocols.openpgp.rules import keep
from keygrove_protocols.openpgp.signatures import read_signature
from keygrove_protocols.openpgp.thirdparty import approved
from keygrove_protocols.openpgp.verification import verify
from tests.openpgp import (
    ALICE,
    ATTESTS,
    BINDING,
    BOB,
    CAROL,
    DIRECT,
    GENERIC,
    NAME,
    OTHER_NAME,
    REVOKES,
    REVOKES_NAME,
    REVOKES_SUBKEY,
    SUBKEY,
    alice,
    named_by,
    on_subkey,
    revoker,
    signed,
    with_hints,
    with_wrong_value,
)

SHA256, SHA224, SHA512 = 8, 11, 10
ATTESTED = Policy(third_party="attested")
BOBS, CAROLS = signed(BOB, GENERIC, NAME), signed(CAROL, GENERIC, NAME)


def listed(*certifications: Packet, algorithm: int = SHA256) -> bytes:
    """The subpacket that approves these."""
    digests: list[bytes] = []
    for packet in certifications:
        signature = read_signature(packet.body)
        assert signature is not None
        digests.append(attested_digest(algorithm, signature, packet.body) or b"")
    return subpacket(37, b"".join(digests), critical=True)


def attestation(*certifications: Packet, created: int = CREATED, algorithm: int = SHA256) -> Packet:
    hashed = listed(*certifications, algorithm=algorithm)
    return signed(ALICE, ATTESTS, NAME, created=created, hashed=hashed, hash_algorithm=algorithm)


def wanted(*on_name: Packet) -> set[Packet]:
    """What is approved of signatures on Alice's user ID."""
    findings = verify(alice(*on_name))
    ids = approved(findings)
    return {one.packet for _, found in findings.places() for one in found if id(one) in ids}


def served(certificate: Certificate, policy: Policy) -> set[Packet]:
    found = keep(verify(certificate), policy).findings
    return {one.packet for _, some in found.places() for one in some}


@pytest.mark.parametrize("algorithm", [SHA256, SHA512])
def test_p059_what_an_attestation_lists_is_approved(algorithm: int) -> None:
    assert wanted(BOBS, CAROLS, attestation(BOBS, algorithm=algorithm)) == {BOBS}


def test_h151_without_attestation_nothing_is_approved() -> None:
    assert wanted(BOBS, CAROLS) == set()


def test_h151_the_latest_attestation_counts_alone() -> None:
    older = attestation(BOBS)
    assert wanted(BOBS, CAROLS, older, attestation(CAROLS, created=CREATED + 1)) == {CAROLS}
    assert wanted(BOBS, older, attestation(created=CREATED + 1)) == set()


def test_h151_attestations_of_the_same_second_are_united() -> None:
    both = [attestation(BOBS), attestation(CAROLS, algorithm=SHA512)]
    assert wanted(BOBS, CAROLS, *both) == {BOBS, CAROLS}


@pytest.mark.parametrize("algorithm", [SHA1, SHA224])
def test_p059_an_attestation_with_a_weak_hash_does_not_count(algorithm: int) -> None:
    weak = attestation(CAROLS, created=CREATED + 1, algorithm=algorithm)
    assert wanted(BOBS, CAROLS, attestation(BOBS), weak) == {BOBS}


def test_p059_only_the_owner_attests_and_only_on_the_same_user_id() -> None:
    forged = signed(BOB, ATTESTS, NAME, hashed=listed(BOBS))
    elsewhere = signed(ALICE, ATTESTS, OTHER_NAME, hashed=listed(BOBS))
    assert wanted(BOBS, forged) == wanted(BOBS, elsewhere) == set()


@pytest.mark.parametrize("octets", [31, 33])
def test_a_list_that_is_no_row_of_digests_approves_nothing(octets: int) -> None:
    broken = signed(ALICE, ATTESTS, NAME, hashed=subpacket(37, listed(BOBS)[2:] + bytes(octets)))
    assert wanted(BOBS, broken) == set()


def test_a_signature_is_approved_whatever_its_hints() -> None:
    hints = with_hints(BOBS, BOB.issuer + named_by(BOB))
    assert wanted(hints, attestation(BOBS)) == {hints}


def test_a_v6_certification_is_approved_with_its_salt() -> None:
    v6 = Signer(6, version=6).sign(GENERIC, ALICE.primary, NAME)
    assert wanted(v6, attestation(v6)) == {v6}


def test_a_v3_certification_has_no_area_to_empty() -> None:
    """It is hashed whole: RFC 9580, section 5.2.4, takes only the unhashed area away."""
    v3 = b"\x03\x05\x10" + CREATED.to_bytes(4) + BOB.key.key_id + b"\x01\x08\xab\xcd\0\x01\x01"
    signature = read_signature(v3)
    assert signature is not None
    framed = b"\x88" + len(v3).to_bytes(4) + v3
    assert attested_digest(SHA256, signature, v3) == hashlib.sha256(framed).digest()


def test_h151_a_revocation_of_an_approved_certification_is_approved() -> None:
    theirs = [signed(one, REVOKES_NAME, NAME, created=CREATED + 1) for one in (BOB, CAROL)]
    assert wanted(BOBS, CAROLS, *theirs, attestation(BOBS)) == {BOBS, theirs[0]}


def test_h150_the_policy_attested_keeps_what_is_approved_and_the_attestation() -> None:
    approving = attestation(BOBS)
    whole = alice(BOBS, CAROLS, approving)
    assert served(whole, ATTESTED) == served(alice(BOBS, approving), VERIFIED)
    assert served(whole, MINIMAL) == served(alice(approving), VERIFIED)


LETS_BOB = signed(ALICE, DIRECT, hashed=revoker(BOB.key.fingerprint))
BY_BOB = signed(BOB, REVOKES)


@pytest.mark.parametrize("policy", [VERIFIED, ATTESTED, MINIMAL], ids=["all", "attested", "none"])
@pytest.mark.parametrize(
    "revocation",
    [
        pytest.param(BY_BOB, id="by-key-id"),
        pytest.param(signed(BOB, REVOKES, hashed=named_by(BOB)), id="by-fingerprint"),
    ],
)
def test_p093_the_revocation_of_a_named_revoker_is_always_kept(
    policy: Policy, revocation: Packet
) -> None:
    assert revocation in served(alice(direct=(LETS_BOB, revocation)), policy)
    theirs = signed(BOB, REVOKES_SUBKEY, SUBKEY.subkey)
    whole = on_subkey(BINDING, theirs)
    with_revoker = Certificate(whole.primary, (LETS_BOB,), whole.components)
    assert theirs in served(with_revoker, policy)


@pytest.mark.parametrize("policy", [ATTESTED, MINIMAL], ids=["attested", "none"])
def test_p093_a_strangers_revocation_is_one_of_others_signatures(policy: Policy) -> None:
    stranger = signed(CAROL, REVOKES)
    in_his_name = signed(CAROL, REVOKES, hashed=named_by(CAROL), unhashed=BOB.issuer)
    whole = alice(direct=(LETS_BOB, stranger, in_his_name))
    assert served(whole, policy) == served(alice(direct=(LETS_BOB,)), VERIFIED)
    assert stranger in served(whole, VERIFIED)
    assert keep(verify(whole), VERIFIED).error is None


@pytest.mark.parametrize(
    "naming",
    [
        pytest.param(with_wrong_value(LETS_BOB), id="forged"),
        pytest.param(
            signed(BOB, DIRECT, hashed=revoker(BOB.key.fingerprint)), id="by-the-revoker-himself"
        ),
        pytest.param(
            signed(ALICE, DIRECT, unhashed=ALICE.issuer + revoker(BOB.key.fingerprint)),
            id="not-signed",
        ),
    ],
)
def test_p093_only_the_owner_names_revokers(naming: Packet) -> None:
    assert named_revokers(verify(alice(direct=(naming,)))) == frozenset()
    assert BY_BOB not in served(alice(direct=(naming, BY_BOB)), MINIMAL)


def test_p093_a_revoker_is_named_in_any_own_signature() -> None:
    named = signed(ALICE, 0x13, NAME, hashed=revoker(BOB.key.fingerprint))
    assert named_revokers(verify(alice(named))) == {BOB.key.fingerprint, BOB.key.key_id}

"""What is found out about each signature of a certificate."""

import sys
from collections.abc import Callable, Iterator, Mapping

import pytest

from keygrove_chaos.signing import CREATED, Signer, subpacket
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.certificate import Certificate, Component, canonical, group
from keygrove_protocols.openpgp.findings import Fact, Mark, marked, marks_of
from keygrove_protocols.openpgp.hashing import MD5, RIPEMD160, SHA1
from keygrove_protocols.openpgp.keys import parse_key
from keygrove_protocols.openpgp.packets import Packet, Tag, split
from keygrove_protocols.openpgp.policy import VERIFIED
from keygrove_protocols.openpgp.rules import keep
from keygrove_protocols.openpgp.verification import verify
from tests.openpgp import (
    ALICE,
    ATTESTS,
    BINDING,
    BINDS,
    BOB,
    CONSENTS,
    DIRECT,
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
    findings_on_name,
    mark,
    marks,
    named_by,
    on_subkey,
    signed,
    stuffing,
    with_hints,
    with_wrong_digest,
    with_wrong_value,
)

THEIRS = signed(BOB, GENERIC, NAME)
KINDS = [
    0x00,
    GENERIC,
    0x11,
    0x12,
    POSITIVE,
    ATTESTS,
    BINDS,
    CONSENTS,
    DIRECT,
    REVOKES,
    REVOKES_SUBKEY,
    REVOKES_NAME,
    0x40,
    0x50,
]
IMAGE = Packet(Tag.USER_ATTRIBUTE, b"\x02\x64a")


def placed(signer: Signer, component: Packet | None, good: Mark) -> set[int]:
    """The kinds that have their place there, made by this key."""
    found = {kind: mark(signed(signer, kind, component), component) for kind in KINDS}
    assert set(found.values()) == {good, Mark.MISPLACED}
    return {kind for kind, one in found.items() if one is good}


CERTIFY = {GENERIC, 0x11, 0x12, POSITIVE}


@pytest.mark.parametrize(
    ("component", "own", "others"),
    [
        pytest.param(None, {DIRECT, REVOKES, REVOKES_NAME}, {DIRECT, REVOKES}, id="primary"),
        pytest.param(
            NAME, CERTIFY | {ATTESTS, REVOKES_NAME}, CERTIFY | {REVOKES_NAME}, id="user-id"
        ),
        pytest.param(
            IMAGE, CERTIFY | {ATTESTS, REVOKES_NAME}, CERTIFY | {REVOKES_NAME}, id="attribute"
        ),
        pytest.param(SUBKEY.subkey, {BINDS, REVOKES_SUBKEY}, {REVOKES_SUBKEY}, id="subkey"),
    ],
)
def test_p047_p056_every_kind_has_its_places(
    component: Packet | None, own: set[int], others: set[int]
) -> None:
    assert placed(ALICE, component, Mark.VALID) == own
    assert placed(BOB, component, Mark.PLAUSIBLE) == others


@pytest.mark.parametrize("kind", [DIRECT, REVOKES])
def test_p058_a_v6_signature_verifies_with_its_salt(kind: int) -> None:
    v6 = Signer(1, version=6)
    packet = v6.sign(kind, v6.primary)
    assert marks(verify(Certificate(v6.primary, (packet,)))) == [Mark.VALID]
    salted = Packet(Tag.SIGNATURE, packet.body.replace(bytes(16), bytes(15) + b"\1"))
    assert salted != packet
    assert marks(verify(Certificate(v6.primary, (salted,)))) == [Mark.BAD]


def test_p077_a_key_makes_signatures_of_its_own_version() -> None:
    v6 = Signer(1, version=6)
    claims = subpacket(33, b"\x06" + v6.key.fingerprint)
    by_v4 = BOB.sign(DIRECT, v6.primary, unhashed=claims)
    assert marks(verify(Certificate(v6.primary, (by_v4,)))) == [Mark.BAD]
    by_v6 = v6.sign(POSITIVE, ALICE.primary, NAME, unhashed=named_by(ALICE))
    assert mark(by_v6) is Mark.BAD
    assert mark(v6.sign(GENERIC, ALICE.primary, NAME)) is Mark.PLAUSIBLE


def test_p060_others_signatures_need_the_right_octets_of_the_digest() -> None:
    assert mark(with_wrong_digest(THEIRS)) is Mark.IMPLAUSIBLE
    assert mark(with_wrong_value(THEIRS)) is Mark.PLAUSIBLE


def test_p060_an_own_v4_signature_does_not_and_a_v6_one_does() -> None:
    assert mark(with_wrong_digest(SELF)) is Mark.VALID
    v6 = Signer(1, version=6)
    wrong = with_wrong_digest(v6.sign(DIRECT, v6.primary))
    assert marks(verify(Certificate(v6.primary, (wrong,)))) == [Mark.BAD]


def test_p061_an_altered_signature_of_its_own_is_bad() -> None:
    assert mark(with_wrong_value(SELF)) is Mark.BAD


def test_p062_a_signature_of_another_user_id_is_bad() -> None:
    assert mark(SELF, OTHER_NAME) is Mark.BAD
    assert mark(THEIRS, OTHER_NAME) is Mark.IMPLAUSIBLE


def test_p063_a_stranger_in_the_primary_keys_name_is_nobody() -> None:
    assert mark(signed(BOB, POSITIVE, NAME, unhashed=ALICE.issuer)) is Mark.BAD


@pytest.mark.parametrize("kind", [REVOKES, REVOKES_NAME])
def test_p091_a_forged_revocation_is_bad(kind: int) -> None:
    assert mark(signed(BOB, kind, unhashed=ALICE.issuer), None) is Mark.BAD


@pytest.mark.parametrize("kind", [POSITIVE, REVOKES_NAME])
@pytest.mark.parametrize("signer", [ALICE, BOB], ids=["own", "somebody-elses"])
def test_p069_a_local_signature_is_for_nobody_else(signer: Signer, kind: int) -> None:
    assert mark(signed(signer, kind, NAME, hashed=LOCAL)) is Mark.LOCAL
    assert mark(signed(signer, kind, NAME, unhashed=signer.issuer + LOCAL)) is not Mark.LOCAL


@pytest.mark.parametrize("signer", [ALICE, BOB], ids=["own", "somebody-elses"])
def test_p067_an_unknown_critical_part_makes_a_signature_useless(signer: Signer) -> None:
    critical, plain = (subpacket(99, b"", critical=is_so) for is_so in (True, False))
    assert mark(signed(signer, GENERIC, NAME, hashed=critical)) is Mark.UNKNOWN_CRITICAL
    assert mark(signed(signer, GENERIC, NAME, hashed=plain)) is not Mark.UNKNOWN_CRITICAL


def test_p073_weak_hashes_prove_less_and_less() -> None:
    own = {
        algorithm: mark(signed(ALICE, POSITIVE, NAME, hash_algorithm=algorithm))
        for algorithm in (MD5, SHA1, RIPEMD160)
    }
    assert own == {MD5: Mark.UNVERIFIABLE, SHA1: Mark.VALID, RIPEMD160: Mark.VALID}
    others = {
        algorithm: mark(signed(BOB, GENERIC, NAME, hash_algorithm=algorithm)) for algorithm in own
    }
    assert others == {MD5: Mark.WEAK, SHA1: Mark.PLAUSIBLE, RIPEMD160: Mark.WEAK}


@pytest.mark.parametrize(
    ("kind", "component"),
    [(REVOKES, None), (REVOKES_NAME, NAME), (REVOKES_SUBKEY, SUBKEY.subkey)],
)
def test_p073_a_revocation_of_its_own_counts_with_any_hash(
    kind: int, component: Packet | None
) -> None:
    revocation = signed(ALICE, kind, component, hash_algorithm=MD5)
    assert mark(revocation, component) is Mark.VALID
    assert mark(with_wrong_value(revocation), component) is Mark.BAD


def test_a_hash_that_nobody_knows_is_unverifiable_or_implausible() -> None:
    """The hash algorithm stands in the fourth octet."""
    own, theirs = (
        Packet(Tag.SIGNATURE, one.body[:3] + b"\x63" + one.body[4:]) for one in (SELF, THEIRS)
    )
    assert mark(own) is Mark.UNVERIFIABLE
    assert mark(theirs) is Mark.IMPLAUSIBLE


def test_p078_a_fingerprint_counts_more_than_a_key_id() -> None:
    false = subpacket(33, b"\x04" + bytes(12) + ALICE.key.key_id)
    assert mark(signed(ALICE, POSITIVE, NAME, hashed=false)) is Mark.PLAUSIBLE
    kept = keep(
        verify(
            Certificate(
                ALICE.primary,
                (),
                (Component(NAME, (signed(ALICE, POSITIVE, NAME, hashed=false),)),),
            )
        ),
        VERIFIED,
    )
    assert kept.error == "NoValidSelfSig"


@pytest.mark.parametrize("packet", [SELF, THEIRS], ids=["own", "somebody-elses"])
def test_p079_a_signature_in_nobodys_name_is_malformed(packet: Packet) -> None:
    assert mark(with_hints(packet, b"")) is Mark.MALFORMED
    assert mark(Packet(Tag.SIGNATURE, packet.body[:9])) is Mark.MALFORMED
    assert mark(Packet(Tag.SIGNATURE, b"")) is Mark.MALFORMED


@pytest.mark.parametrize("packet", [SELF, THEIRS], ids=["own", "somebody-elses"])
def test_an_unhashed_area_holds_1024_octets(packet: Packet) -> None:
    issuer = ALICE.issuer if packet == SELF else BOB.issuer
    room = 1024 - 2 - len(issuer)  # the length of the area counts
    assert mark(with_hints(packet, issuer + stuffing(room))) is not Mark.MALFORMED
    assert mark(with_hints(packet, issuer + stuffing(room + 1))) is Mark.MALFORMED
    embedded = subpacket(32, bytes(2000))
    assert mark(with_hints(packet, issuer + embedded)) is Mark.MALFORMED


def test_p035_what_a_key_of_an_unknown_algorithm_signed_is_unverifiable() -> None:
    key = Signer(1).primary.body
    primary = Packet(Tag.PUBLIC_KEY, key[:5] + b"\x63" + key[6:])
    alone = Certificate(primary, (BOB.sign(DIRECT, primary),))
    assert marks(verify(alone)) == [Mark.PLAUSIBLE]
    claimed = BOB.sign(DIRECT, primary, unhashed=subpacket(16, parse_key(primary.body).key_id))
    assert marks(verify(Certificate(primary, (claimed,)))) == [Mark.BAD]
    same = Packet(Tag.SIGNATURE, claimed.body[:2] + b"\x63" + claimed.body[3:])
    assert marks(verify(Certificate(primary, (same,)))) == [Mark.UNVERIFIABLE]


def test_p046_repetitions_are_looked_into_once() -> None:
    whole = Certificate(ALICE.primary, (), (*alice(SELF, THEIRS).components,) * 2)
    assert verify(whole) == verify(canonical(whole))
    assert len(verify(whole).bundles[0].findings) == 2


class Known(dict[Fact, Mark]):
    """Counts what is asked of it, and what it does not know."""

    def __init__(self, marks: Mapping[Fact, Mark]) -> None:
        super().__init__(marks)
        self.missed = 0

    def get(self, key: Fact, default: object = None) -> Mark | None:  # type: ignore[override]
        found = super().get(key)
        self.missed += found is None
        return found


def lies(certificate: Certificate) -> Iterator[tuple[Fact, Mark]]:
    """Every signature known as valid, true or not."""
    for direct in certificate.direct:
        yield (None, direct), Mark.VALID
    for component in certificate.components:
        for packet in component.signatures:
            yield (component.packet, packet), Mark.VALID


def test_p094_what_is_known_is_not_verified_again() -> None:
    """A mark that arithmetic would never give comes back: so it was not asked."""
    whole = on_subkey(with_wrong_value(BINDING))
    assert set(marks(verify(whole))) == {Mark.VALID, Mark.BAD}
    assert set(marks(verify(whole, dict(lies(whole))))) == {Mark.VALID}


def test_p094_only_what_is_new_is_verified() -> None:
    held = verify(on_subkey(BINDING))
    new = signed(ALICE, REVOKES_NAME, NAME)
    whole = Certificate(
        ALICE.primary,
        (),
        tuple(
            Component(one.packet, (*one.signatures, new)) if one.packet == NAME else one
            for one in on_subkey(BINDING).components
        ),
    )
    known = Known(marks_of(held))
    assert verify(whole, known) == verify(whole)
    assert known.missed == 1


def test_a_mark_holds_for_its_place_only() -> None:
    known: dict[Fact, Mark] = {(NAME, SELF): Mark.VALID}
    assert marks(
        verify(Certificate(ALICE.primary, (), (Component(OTHER_NAME, (SELF,)),)), known)
    ) == [Mark.BAD]


def test_what_was_kept_is_trusted_without_arithmetic() -> None:
    whole = on_subkey(BINDING)
    kept = keep(verify(whole), VERIFIED).findings
    assert marked(kept.certificate()) == verify(kept.certificate())
    forged = on_subkey(with_wrong_value(BINDING))
    assert set(marks(marked(forged))) == {Mark.VALID}


def work(certificate: Certificate) -> int:
    """How many functions are called to look into a certificate and to say what is kept."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        keep(verify(certificate), VERIFIED)
    finally:
        sys.setprofile(None)
    return calls


FLOOD = [signed(BOB, GENERIC, NAME, created=CREATED + at) for at in range(400)]


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(FLOOD, id="signatures"),
        pytest.param(
            [with_hints(THEIRS, BOB.issuer + subpacket(100, bytes((at,)))) for at in range(200)],
            id="copies-of-one",
        ),
        pytest.param(
            [with_hints(THEIRS, subpacket(16, at.to_bytes(8))) for at in range(400)],
            id="copies-in-many-names",
        ),
    ],
)
def test_p081_the_work_for_a_flood_is_linear(flood: list[Packet]) -> None:
    few, many = (work(alice(*some)) for some in (flood[: len(flood) // 10], flood))
    assert few < many < 11 * few


def test_findings_on_one_place_come_in_their_order() -> None:
    assert [one.packet for one in findings_on_name(SELF, THEIRS)] == [SELF, THEIRS]


@pytest.mark.parametrize(
    "file", ["v4-ed25519-native.pgp", "v4-ed448-native.pgp", "v6-ed448.pgp", "v3-rsa.pgp"]
)
def test_p057_p076_keys_of_every_version_sign_in_their_way(
    vector: Callable[[str], bytes], file: str
) -> None:
    (certificate,) = group(split(vector(file), BULK), BULK)
    assert isinstance(certificate, Certificate)
    assert set(marks(verify(certificate))) == {Mark.VALID}

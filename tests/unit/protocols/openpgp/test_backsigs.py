"""Whether a subkey that may sign or certify wants to be bound."""

import pytest

from keygrove_chaos.signing import Signer, subpacket
from keygrove_protocols.openpgp.certificate import Certificate, Component
from keygrove_protocols.openpgp.findings import Mark
from keygrove_protocols.openpgp.hashing import MD5
from keygrove_protocols.openpgp.packets import Packet
from keygrove_protocols.openpgp.policy import VERIFIED
from keygrove_protocols.openpgp.rules import keep
from keygrove_protocols.openpgp.signatures import read_signature
from keygrove_protocols.openpgp.verification import verify
from tests.openpgp import (
    ALICE,
    BINDING,
    BINDS,
    BOB,
    CERTIFIES,
    CONSENTS,
    ENCRYPTS,
    OTHER_SUBKEY,
    SIGNS,
    SUBKEY,
    alice,
    mark,
    marks,
    on_subkey,
    signed,
    stuffing,
    with_hints,
    with_wrong_digest,
    with_wrong_value,
)


def consent(by: Signer = SUBKEY, to: Signer = SUBKEY, kind: int = CONSENTS) -> bytes:
    """A subkey's own signature, as the subpacket that takes it along."""
    return subpacket(32, signed(by, kind, to.subkey).body)


def binding(
    flags: int = SIGNS, hashed: bytes = b"", unhashed: bytes = b"", subkey: Signer = SUBKEY
) -> Packet:
    hashed = subpacket(27, bytes((flags,))) + hashed
    return signed(ALICE, BINDS, subkey.subkey, hashed=hashed, unhashed=ALICE.issuer + unhashed)


GOOD = consent()
BACK = signed(SUBKEY, CONSENTS, SUBKEY.subkey)


@pytest.mark.parametrize(
    ("packet", "wanted"),
    [
        pytest.param(binding(unhashed=GOOD), Mark.VALID, id="unhashed"),
        pytest.param(binding(hashed=GOOD), Mark.VALID, id="hashed"),
        pytest.param(binding(CERTIFIES, unhashed=GOOD), Mark.VALID, id="certifies"),
        pytest.param(binding(), Mark.NO_BACKSIG, id="none"),
        pytest.param(binding(CERTIFIES), Mark.NO_BACKSIG, id="certifies-without"),
        pytest.param(binding(ENCRYPTS), Mark.VALID, id="encrypts"),
        pytest.param(binding(0x20), Mark.VALID, id="authenticates"),
        pytest.param(signed(ALICE, BINDS, SUBKEY.subkey), Mark.VALID, id="flags-not-said"),
        pytest.param(binding(unhashed=consent(to=OTHER_SUBKEY)), Mark.NO_BACKSIG, id="to-another"),
        pytest.param(
            binding(unhashed=consent(OTHER_SUBKEY)), Mark.NO_BACKSIG, id="by-another-subkey"
        ),
        pytest.param(binding(unhashed=consent(ALICE)), Mark.NO_BACKSIG, id="by-the-primary"),
        pytest.param(binding(unhashed=consent(kind=BINDS)), Mark.NO_BACKSIG, id="of-another-kind"),
        pytest.param(
            binding(unhashed=subpacket(32, with_wrong_value(BACK).body)),
            Mark.NO_BACKSIG,
            id="altered",
        ),
        pytest.param(
            binding(unhashed=subpacket(32, with_wrong_digest(BACK).body)),
            Mark.VALID,
            id="p060-other-octets-of-the-digest",
        ),
        pytest.param(
            binding(unhashed=subpacket(32, with_hints(BACK, b"").body)),
            Mark.NO_BACKSIG,
            id="in-nobodys-name",
        ),
        pytest.param(
            binding(unhashed=subpacket(32, BACK.body[:9])), Mark.NO_BACKSIG, id="malformed"
        ),
        pytest.param(
            binding(hashed=consent(ALICE), unhashed=consent(BOB) + GOOD),
            Mark.VALID,
            id="the-third-of-three",
        ),
        pytest.param(
            binding(
                unhashed=subpacket(
                    32,
                    signed(
                        SUBKEY, CONSENTS, SUBKEY.subkey, hashed=subpacket(99, b"", critical=True)
                    ).body,
                )
            ),
            Mark.NO_BACKSIG,
            id="p067-with-an-unknown-critical-part",
        ),
        pytest.param(
            binding(
                unhashed=subpacket(
                    32, signed(SUBKEY, CONSENTS, SUBKEY.subkey, hash_algorithm=MD5).body
                )
            ),
            Mark.NO_BACKSIG,
            id="p073-with-md5",
        ),
    ],
)
def test_p064_a_signing_subkey_consents(packet: Packet, wanted: Mark) -> None:
    assert mark(packet, SUBKEY.subkey) is wanted


def test_p064_the_consent_of_a_v6_subkey_is_of_version_6() -> None:
    primary, subkey = Signer(1, version=6), Signer(2, version=6)
    whole = Certificate(
        primary.primary,
        (),
        (Component(subkey.subkey, (primary.bind(primary.primary, subkey, SIGNS),)),),
    )
    assert marks(verify(whole)) == [Mark.VALID]


def test_p065_an_adopted_subkey_is_not_kept() -> None:
    """Its own consent is to another primary key."""
    bobs = BOB.bind(BOB.primary, SUBKEY, SIGNS)
    signature = read_signature(bobs.body)
    assert signature is not None
    adopted = binding(unhashed=subpacket(32, signature.embedded[0]))
    kept = keep(verify(on_subkey(adopted)), VERIFIED)
    assert kept.findings.certificate() == alice()
    assert kept.dropped == ("NoBacksig", "Unbound")


def test_p080_what_is_embedded_in_an_embedded_signature_is_not_entered() -> None:
    nested = BACK.body
    for _ in range(60):
        nested = signed(SUBKEY, CONSENTS, SUBKEY.subkey, hashed=subpacket(32, nested)).body
    assert mark(binding(unhashed=subpacket(32, nested)), SUBKEY.subkey) is Mark.VALID
    inside = with_hints(signed(ALICE, CONSENTS, SUBKEY.subkey), ALICE.issuer + GOOD).body
    assert mark(binding(unhashed=subpacket(32, inside)), SUBKEY.subkey) is Mark.NO_BACKSIG


def test_an_unhashed_area_holds_a_consent_beside_that() -> None:
    beside = ALICE.issuer + GOOD
    room = 1024 + len(BACK.body) - 2 - len(beside)
    assert mark(with_hints(BINDING, beside + stuffing(room)), SUBKEY.subkey) is Mark.VALID
    stuffed = with_hints(BINDING, beside + stuffing(room + 1))
    assert mark(stuffed, SUBKEY.subkey) is Mark.MALFORMED

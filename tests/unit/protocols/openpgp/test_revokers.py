"""Who revoked a certificate in its owner's stead, as far as that can be known."""

import pytest

from keygrove_chaos.signing import CREATED, Signer, subpacket
from keygrove_protocols.openpgp.hashing import MD5
from keygrove_protocols.openpgp.packets import Packet
from keygrove_protocols.openpgp.policy import MINIMAL, VERIFIED, Policy
from keygrove_protocols.openpgp.revokers import find_revocations
from keygrove_protocols.openpgp.rules import is_hard_revoked, keep
from keygrove_protocols.openpgp.verification import verify
from tests.openpgp import (
    ALICE,
    BOB,
    CAROL,
    DIRECT,
    REVOKES,
    alice,
    named_by,
    reason,
    revoker,
    signed,
    with_wrong_digest,
    with_wrong_value,
)

LETS_BOB = signed(ALICE, DIRECT, hashed=revoker(BOB.key.fingerprint))
AT_HAND = (CAROL.primary, BOB.primary, ALICE.primary)
BY_BOB = signed(BOB, REVOKES, hashed=reason(1))


def revoked_by(*direct: Packet, policy: Policy = VERIFIED) -> list[bytes]:
    kept = keep(verify(alice(direct=direct)), policy).findings
    return [one.revoker for one in find_revocations(kept, AT_HAND)]


@pytest.mark.parametrize("policy", [VERIFIED, MINIMAL], ids=lambda one: one.preset)
@pytest.mark.parametrize(
    "revocation",
    [
        pytest.param(BY_BOB, id="by-key-id"),
        pytest.param(signed(BOB, REVOKES, hashed=named_by(BOB)), id="by-fingerprint"),
    ],
)
def test_p093_the_named_key_revokes(revocation: Packet, policy: Policy) -> None:
    assert revoked_by(LETS_BOB, revocation, policy=policy) == [BOB.key.fingerprint]


def test_p093_what_it_says_of_the_reason_is_told() -> None:
    (one,) = find_revocations(verify(alice(direct=(LETS_BOB, BY_BOB))), AT_HAND)
    assert (one.signature.reason_code, one.signature.created) == (1, CREATED)


@pytest.mark.parametrize(
    "direct",
    [
        pytest.param((BY_BOB,), id="not-named"),
        pytest.param((LETS_BOB, signed(CAROL, REVOKES)), id="a-stranger"),
        pytest.param(
            (LETS_BOB, signed(CAROL, REVOKES, unhashed=BOB.issuer)), id="in-the-revokers-name"
        ),
        pytest.param((LETS_BOB, with_wrong_value(BY_BOB)), id="altered"),
        pytest.param((LETS_BOB, with_wrong_digest(BY_BOB)), id="implausible"),
        pytest.param((LETS_BOB, signed(BOB, REVOKES, hash_algorithm=MD5)), id="p073-md5"),
        pytest.param((LETS_BOB, signed(BOB, DIRECT)), id="no-revocation"),
        pytest.param(
            (LETS_BOB, signed(BOB, REVOKES, hashed=subpacket(99, b"", critical=True))),
            id="p067-with-an-unknown-critical-part",
        ),
        pytest.param(
            (signed(BOB, DIRECT, hashed=revoker(BOB.key.fingerprint)), BY_BOB),
            id="who-named-himself",
        ),
    ],
)
def test_p093_nobody_else_does(direct: tuple[Packet, ...]) -> None:
    assert revoked_by(*direct) == []


def test_p093_without_the_revokers_key_nothing_is_known() -> None:
    findings = verify(alice(direct=(LETS_BOB, BY_BOB)))
    assert find_revocations(findings, [CAROL.primary]) == []


def test_p093_a_v6_key_is_nobody_that_a_revoker_of_20_octets_names() -> None:
    v6 = Signer(6, version=6)
    named = signed(ALICE, DIRECT, hashed=revoker(v6.key.fingerprint))
    whole = alice(direct=(named, v6.sign(REVOKES, ALICE.primary)))
    assert find_revocations(verify(whole), [v6.primary]) == []


def test_p093_a_strangers_revocation_is_kept_and_revokes_nothing() -> None:
    """Nor does the revoker's own, as long as his key is not at hand: who could tell them apart?"""
    for theirs in (signed(CAROL, REVOKES), BY_BOB):
        whole = alice(direct=(LETS_BOB, theirs))
        kept = keep(verify(whole), VERIFIED).findings
        assert theirs in kept.certificate().direct
        assert kept.certificate().components == whole.components
        assert not is_hard_revoked(kept)

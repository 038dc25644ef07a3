"""Expiry and revocation as a certificate claims them."""

import pytest

from keygrove_protocols.openpgp.certificate import Certificate, Component
from keygrove_protocols.openpgp.keys import parse_key
from keygrove_protocols.openpgp.packets import Packet, Tag
from keygrove_protocols.openpgp.summary import SubkeySummary, UserIdSummary, is_expired, summary

V4 = b"\x04" + (1000).to_bytes(4) + b"\x1b" + bytes(32)
V6 = b"\x06" + (1000).to_bytes(4) + b"\x1b" + (32).to_bytes(4) + bytes(32)
V3 = b"\x03" + (1000).to_bytes(4) + b"\x00\x02\x01\x00\x08\xff\x00\x02\x03"
SUBKEY = b"\x04" + (2000).to_bytes(4) + b"\x19" + bytes(32)
STRANGER = bytes(20)


def signature(  # noqa: PLR0913 (one for each thing that a signature can say here)
    kind: int,
    created: int,
    *,
    key_expires_s: int | None = None,
    expires_s: int | None = None,
    reason: int | None = None,
    is_main: bool = False,
    issuer: bytes | None = None,
    primary: bytes = V4,
) -> Packet:
    named = parse_key(primary).fingerprint if issuer is None else issuer
    hashed = b"\x05\x02" + created.to_bytes(4)
    hashed += bytes([len(named) + 2, 33, 4 if len(named) == 20 else 6]) + named
    hashed += b"" if key_expires_s is None else b"\x05\x09" + key_expires_s.to_bytes(4)
    hashed += b"" if expires_s is None else b"\x05\x03" + expires_s.to_bytes(4)
    hashed += b"" if reason is None else bytes([2, 29, reason])
    hashed += b"\x02\x19\x01" if is_main else b""
    return Packet(
        2, bytes([4, kind, 27, 8]) + len(hashed).to_bytes(2) + hashed + bytes(4) + bytes(64)
    )


def user_id(name: bytes, *signatures: Packet) -> Component:
    return Component(Packet(Tag.USER_ID, name), signatures)


def certificate(
    *components: Component, direct: tuple[Packet, ...] = (), primary: bytes = V4
) -> Certificate:
    return Certificate(Packet(Tag.PUBLIC_KEY, primary), direct, components)


OLD = signature(0x13, 1500, key_expires_s=10)
NEW = signature(0x13, 1600, key_expires_s=20)
FOREVER = signature(0x13, 1700, key_expires_s=0)
MAIN = signature(0x13, 1400, key_expires_s=30, is_main=True)
DIRECT = signature(0x1F, 1300, key_expires_s=40)


@pytest.mark.parametrize(
    ("components", "direct", "expires"),
    [
        pytest.param([], (), None, id="nothing-said"),
        pytest.param([user_id(b"a", OLD, NEW)], (), 1020, id="p092-newest-certification"),
        pytest.param([user_id(b"a", NEW, FOREVER)], (), None, id="zero-is-never"),
        pytest.param([user_id(b"a", NEW), user_id(b"b", MAIN)], (), 1030, id="main-user-id"),
        pytest.param([user_id(b"a", NEW), user_id(b"b", OLD)], (), 1020, id="newest-user-id"),
        pytest.param([user_id(b"a", NEW)], (DIRECT,), 1040, id="direct-key-first"),
        pytest.param([user_id(b"a", NEW)], (signature(0x1F, 9),), 1020, id="direct-silent"),
        pytest.param([], (DIRECT, signature(0x1F, 1301)), 1040, id="newer-direct-silent"),
        pytest.param(
            [user_id(b"a", signature(0x13, 1, key_expires_s=9, issuer=STRANGER))],
            (),
            None,
            id="others-have-no-say",
        ),
    ],
)
def test_a_key_expires_as_its_newest_word_has_it(
    components: list[Component], direct: tuple[Packet, ...], expires: int | None
) -> None:
    for order in (components, components[::-1]):
        assert summary(certificate(*order, direct=direct)).expires == expires


def test_a_v6_key_expires_by_direct_key_signatures_only() -> None:
    named = user_id(b"a", signature(0x13, 1500, key_expires_s=10, primary=V6))
    direct = signature(0x1F, 1500, key_expires_s=20, primary=V6)
    assert summary(certificate(named, primary=V6)).expires is None
    assert summary(certificate(named, primary=V6, direct=(direct,))).expires == 1020


def test_a_v3_key_expires_after_its_days() -> None:
    assert summary(certificate(primary=V3)).expires == 1000 + 2 * 86_400


@pytest.mark.parametrize(
    ("direct", "is_revoked"),
    [
        pytest.param((), False, id="no"),
        pytest.param((signature(0x20, 1100, reason=2),), True, id="p088-hard"),
        pytest.param((signature(0x20, 1100),), True, id="p088-no-reason"),
        pytest.param((signature(0x20, 1100, reason=1),), True, id="p089-soft"),
        pytest.param((signature(0x20, 1100, issuer=STRANGER),), False, id="p093-by-a-stranger"),
    ],
)
def test_a_key_is_revoked_by_itself(direct: tuple[Packet, ...], *, is_revoked: bool) -> None:
    assert summary(certificate(direct=direct)).is_revoked is is_revoked


@pytest.mark.parametrize(
    "name", [b"<script>alert(1)</script>", b"\x1b[31m", b"&amp;%41'\"", b"\xff\xfe"]
)
def test_p107_markup_in_a_user_id_is_left_as_it_is(name: bytes) -> None:
    (found,) = summary(certificate(user_id(name, signature(0x13, 1100)))).user_ids
    assert found.text == name


def test_a_user_id_is_summed_up() -> None:
    names = summary(
        certificate(
            user_id(b"plain\xff", signature(0x13, 1500)),
            user_id(b"expiring", signature(0x10, 1500, expires_s=5)),
            user_id(b"revoked", signature(0x13, 1500), signature(0x30, 1600)),
            user_id(b"revived", signature(0x13, 1700), signature(0x30, 1600)),
            user_id(b"unsigned", signature(0x13, 1500, issuer=STRANGER)),
        )
    ).user_ids
    assert names == (
        UserIdSummary(b"plain\xff", created=1500, expires=None, is_revoked=False),
        UserIdSummary(b"expiring", created=1500, expires=1505, is_revoked=False),
        UserIdSummary(b"revoked", created=1500, expires=None, is_revoked=True),
        UserIdSummary(b"revived", created=1700, expires=None, is_revoked=False),
        UserIdSummary(b"unsigned", created=None, expires=None, is_revoked=False),
    )


@pytest.mark.parametrize(
    ("reason", "revoked_at", "is_revoked"),
    [(None, 1, True), (2, 1, True), (1, 1, False), (1, 1600, True), (3, 1500, True)],
    ids=["p090-no-reason", "hard", "soft-and-overridden", "soft", "soft-at-once"],
)
def test_p090_a_subkey_is_summed_up(
    reason: int | None, revoked_at: int, *, is_revoked: bool
) -> None:
    binding = signature(0x18, 1500, key_expires_s=7)
    revocation = signature(0x28, revoked_at, reason=reason)
    subkey = Component(Packet(Tag.PUBLIC_SUBKEY, SUBKEY), (binding, revocation))
    key = parse_key(SUBKEY)
    assert summary(certificate(subkey)).subkeys == (
        SubkeySummary(
            version=4,
            fingerprint=key.fingerprint,
            key_id=key.key_id,
            created=2000,
            expires=2007,
            is_revoked=is_revoked,
            algorithm=25,
            bits=255,
            curve="x25519",
        ),
    )


@pytest.mark.parametrize(
    ("expires", "now", "expected"),
    [(None, 2**40, False), (5, 4, False), (5, 5, True), (5, 6, True)],
)
def test_a_key_is_expired_from_its_expiry_on(
    expires: int | None, now: int, *, expected: bool
) -> None:
    assert is_expired(expires, now) is expected

"""What administrators sign: read strictly, and what is written is read."""

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keygrove_protocols.errors import (
    BadQueryError,
    OtherCertificateError,
    OtherServerError,
    StaleRequestError,
)
from keygrove_protocols.hkp.admin import (
    AGE_S_MAX,
    FINGERPRINTS_MAX,
    USER_IDS_MAX,
    AdminAction,
    AdminRequest,
    check_certificate,
    check_request,
    parse_hockeypuck,
    parse_request,
    write_request,
)
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.redaction import user_id_hash

NAME, OTHER = Fingerprint(bytes(range(20))), Fingerprint(bytes(32))
DATE = 1_795_260_010
REQUEST = AdminRequest(
    AdminAction.DELETE, "keys.example.org", DATE, bytes(range(16)), (NAME, OTHER), "asked for"
)
TEXT = b"""\
keygrove-admin-1
action: delete
server: keys.example.org
date: 2026-11-21T11:20:10Z
nonce: 000102030405060708090a0b0c0d0e0f
reason: asked for
fingerprint: 000102030405060708090A0B0C0D0E0F10111213
fingerprint: 0000000000000000000000000000000000000000000000000000000000000000
"""


def changed(old: bytes, new: bytes) -> bytes:
    assert old in TEXT
    return TEXT.replace(old, new, 1)


def test_a_request_is_written_line_by_line_and_read_again() -> None:
    assert write_request(REQUEST) == TEXT
    assert parse_request(TEXT) == REQUEST


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace(b"\n", b"\r\n"),
        TEXT.removesuffix(b"\n"),
        changed(b"20:10Z", b"20:10.5Z"),
        changed(b"11:20:10Z", b"13:20:10+02:00"),
        changed(b"090A0B0C0D0E0F1011", b"09 0a0b 0C0D0E0F 1011"),
    ],
    ids=["CR LF", "no last line end", "parts of seconds", "a time zone", "a fingerprint in groups"],
)
def test_a_request_may_be_written_otherwise(text: bytes) -> None:
    assert parse_request(text) == REQUEST


BAD = {
    "nothing": b"",
    "another version": changed(b"admin-1", b"admin-2"),
    "an empty line": changed(b"action", b"\naction"),
    "an unknown line": changed(b"reason", b"because"),
    "no blank": changed(b"action: ", b"action:"),
    "an unknown action": changed(b": delete", b": purge"),
    "two actions": changed(b"action: delete", b"action: delete\naction: unblock"),
    "no action": changed(b"action: delete\n", b""),
    "no server": changed(b"server: keys.example.org\n", b""),
    "an empty server": changed(b"keys.example.org", b""),
    "no date": changed(b"date: 2026-11-21T11:20:10Z\n", b""),
    "a day": changed(b"T11:20:10Z", b""),
    "no time zone": changed(b"10Z", b"10"),
    "no such day": changed(b"11-21", b"11-31"),
    "year 0": changed(b"2026", b"0000"),
    "a short nonce": changed(b"0d0e0f\n", b"0d0e\n"),
    "no hex digits": changed(b"0d0e0f\n", b"0d0e0g\n"),
    "no nonce": changed(b"nonce: 000102030405060708090a0b0c0d0e0f\n", b""),
    "a key ID": changed(b"0E0F10111213\n", b"\n"),
    "a fingerprint twice": TEXT + TEXT.splitlines(keepends=True)[-1],
    "no fingerprint": TEXT[: TEXT.index(b"fingerprint")],
    "a certificate to delete": TEXT + b"certificate: " + b"00" * 32 + b"\n",
    "two to be replaced": changed(b"delete", b"replace") + b"certificate: " + b"00" * 32 + b"\n",
    "a control character": changed(b"asked for", b"asked\tfor"),
    "a long reason": changed(b"asked for", b"for " * 200),
    "no UTF-8": changed(b"asked for", b"\xff"),
    "endless": TEXT + b" " * 20_000,
    "too many": TEXT[: TEXT.index(b"fingerprint")]
    + b"".join(b"fingerprint: %040x\n" % at for at in range(FINGERPRINTS_MAX + 1)),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_request_is_refused(case: str) -> None:
    with pytest.raises(BadQueryError):
        parse_request(BAD[case])


def test_a_replacement_names_its_certificate() -> None:
    packets = b"packets"
    request = AdminRequest(
        AdminAction.REPLACE,
        "h",
        DATE,
        bytes(16),
        (NAME,),
        certificate=hashlib.sha256(packets).digest(),
    )
    assert parse_request(write_request(request)) == request
    check_certificate(request, packets)
    with pytest.raises(OtherCertificateError):
        check_certificate(request, b"other packets")
    bare = write_request(request).replace(
        b"certificate: " + request.certificate.hex().encode(), b""
    )
    with pytest.raises(BadQueryError):
        parse_request(bare.replace(b"\n\n", b"\n"))


ALICE, BOB = user_id_hash(b"Alice"), user_id_hash(b"Bob")
REDACTION = AdminRequest(
    AdminAction.REDACT, "h", DATE, bytes(16), (NAME,), user_ids=(ALICE, BOB), reason="asked for"
)


@pytest.mark.parametrize("action", [AdminAction.REDACT, AdminAction.UNREDACT])
def test_a_redaction_names_user_ids_by_their_hashes(action: AdminAction) -> None:
    request = msgspec.structs.replace(REDACTION, action=action)
    text = write_request(request)
    assert f"action: {action.value}\n".encode() in text
    assert f"user-id: {ALICE.hex()}\nuser-id: {BOB.hex()}\n".encode() in text
    assert b"Alice" not in text
    assert parse_request(text) == request


@pytest.mark.parametrize(
    "change",
    [
        (f"user-id: {ALICE.hex()}\nuser-id: {BOB.hex()}\n", ""),
        ("action: redact-uid", "action: block"),
        (ALICE.hex(), ALICE.hex()[:-2]),
        (ALICE.hex(), "Alice"),
        ("fingerprint", f"fingerprint: {OTHER.hex()}\nfingerprint"),
        ("user-id", "".join(f"user-id: {at:064x}\nuser-id" for at in range(USER_IDS_MAX))),
        ("reason", f"certificate: {ALICE.hex()}\nreason"),
    ],
    ids=["none", "to block", "short", "in clear", "of two", "too many", "a certificate"],
)
def test_what_is_no_redaction_is_refused(change: tuple[str, str]) -> None:
    text = write_request(REDACTION).decode()
    assert change[0] in text
    with pytest.raises(BadQueryError):
        parse_request(text.replace(*change, 1).encode())


def test_p101_a_stale_date_is_refused() -> None:
    for now in (DATE - AGE_S_MAX, DATE, DATE + AGE_S_MAX):
        check_request(REQUEST, "Keys.Example.org", now)
    for now in (DATE - AGE_S_MAX - 1, DATE + AGE_S_MAX + 1, 0, 1 << 40):
        with pytest.raises(StaleRequestError, match=r"at most 1 h is taken"):
            check_request(REQUEST, "keys.example.org", now)


def test_p101_a_request_for_another_server_is_refused() -> None:
    with pytest.raises(OtherServerError, match=r"'keys\.example\.org', this is 'example\.org'"):
        check_request(REQUEST, "example.org", DATE)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_hockeypucks_form_names_its_path_in_the_first_line(end: bytes) -> None:
    for word, action in ((b"delete", AdminAction.DELETE), (b"replace", AdminAction.REPLACE)):
        found = parse_hockeypuck(b"/pks/" + word + end + b"-----BEGIN")
        assert (found.action, found.keytext.strip()) == (action, b"-----BEGIN")
    for text in (b"", b"-----BEGIN", b"/pks/add" + end, b"/pks/delete "):
        with pytest.raises(BadQueryError):
            parse_hockeypuck(text)


@given(st.binary())
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    for text in (data, b"keygrove-admin-1\n" + data):
        with pytest.raises(BadQueryError):
            parse_request(text)

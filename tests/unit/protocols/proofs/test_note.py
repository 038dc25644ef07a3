"""Signed notes, with the example of their specification."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keygrove_protocols.proofs.note import (
    NOTE_OCTETS_MAX,
    SIGNATURES_MAX,
    BadNoteError,
    BadVerifierKeyError,
    NotSignedError,
    VerifierKey,
    lines_of,
    parse_verifier_key,
    signed,
    to_sign,
)

# Of Go's golang.org/x/mod/sumdb/note, which C2SP signed-note describes.
KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
LINES = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
SIGNATURE = (
    "\u2014 PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
NOTE = f"{LINES}\n{SIGNATURE}"
SECRET = Ed25519PrivateKey.from_private_bytes(bytes(32))
OURS = VerifierKey("ours", SECRET.public_key().public_bytes_raw())


def test_the_example_of_the_specification_is_signed() -> None:
    key = parse_verifier_key(KEY)
    assert (key.name, str(key)) == ("PeterNeumann", KEY)
    assert lines_of(NOTE.encode(), key) == LINES


def test_what_we_sign_is_signed_beside_others() -> None:
    ours = signed(LINES, "ours", OURS, SECRET.sign(to_sign(LINES)))
    assert lines_of(ours.encode(), parse_verifier_key(str(OURS))) == LINES
    both = ours + SIGNATURE
    assert lines_of(both.encode(), OURS) == LINES
    assert lines_of(both.encode(), parse_verifier_key(KEY)) == LINES


def test_lines_may_be_empty_themselves() -> None:
    lines = "one\n\ntwo\n"
    note = signed(lines, "ours", OURS, SECRET.sign(to_sign(lines)))
    assert lines_of(note.encode(), OURS) == lines


def test_nobody_signs_for_another() -> None:
    with pytest.raises(NotSignedError, match="ours has not signed it"):
        lines_of(NOTE.encode(), OURS)


@pytest.mark.parametrize("at", range(0, len(LINES), 7))
def test_a_changed_line_is_not_signed(at: int) -> None:
    changed = f"{LINES[:at]}{'x' if LINES[at] != 'x' else 'y'}{LINES[at + 1 :]}\n{SIGNATURE}"
    with pytest.raises((NotSignedError, BadNoteError)):
        lines_of(changed.encode(), parse_verifier_key(KEY))


@pytest.mark.parametrize(
    "note",
    [
        b"",
        LINES.encode(),
        NOTE.encode()[:-1],
        f"{LINES}\n".encode(),
        f"{LINES}\nsigned, me\n".encode(),
        f"{LINES}\n\u2014 PeterNeumann\n".encode(),
        f"{LINES}\n\u2014 PeterNeumann ====\n".encode(),
        f"{LINES}\n{SIGNATURE * (SIGNATURES_MAX + 1)}".encode(),
        b"x" * NOTE_OCTETS_MAX + NOTE.encode(),
        b"\xff" + NOTE.encode(),
    ],
)
def test_what_is_no_note_is_refused(note: bytes) -> None:
    with pytest.raises(BadNoteError):
        lines_of(note, parse_verifier_key(KEY))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PeterNeumann",
        KEY[:-4],
        KEY.replace("c74f20a3", "c74f20a4"),
        KEY.replace("PeterNeumann", "Peter Neumann"),
        KEY.replace("PeterNeumann", ""),
        KEY.replace("+ARpc", "+AhpC"),
        "a+b+c",
    ],
)
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(BadVerifierKeyError):
        parse_verifier_key(text)

"""Signed notes, with the example of their specification."""

import pytest

from keygrove_protocols.proofs.note import (
    NOTE_OCTETS_MAX,
    SIGNATURES_MAX,
    BadNoteError,
    BadSignerKeyError,
    BadVerifierKeyError,
    NotSignedError,
    SignerKey,
    lines_of,
    parse_signer_key,
    parse_verifier_key,
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
SIGNER = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
SECRET = SignerKey("ours", bytes(32))
OURS = SECRET.verifier


def test_the_example_of_the_specification_is_signed() -> None:
    key = parse_verifier_key(KEY)
    assert (key.name, str(key)) == ("PeterNeumann", KEY)
    assert lines_of(NOTE.encode(), key) == LINES


def test_what_we_sign_is_signed_beside_others() -> None:
    ours = SECRET.sign(LINES)
    assert lines_of(ours.encode(), parse_verifier_key(str(OURS))) == LINES
    both = ours + SIGNATURE
    assert lines_of(both.encode(), OURS) == LINES
    assert lines_of(both.encode(), parse_verifier_key(KEY)) == LINES


def test_the_example_is_signed_again_by_its_key() -> None:
    """Ed25519 signs the same always, so the note is the same octet by octet."""
    key = parse_signer_key(SIGNER)
    assert (str(key), str(key.verifier)) == (SIGNER, KEY)
    assert key.sign(LINES) == NOTE


def test_lines_may_be_empty_themselves() -> None:
    lines = "one\n\ntwo\n"
    note = SECRET.sign(lines)
    assert lines_of(note.encode(), OURS) == lines


def test_nobody_signs_for_another() -> None:
    with pytest.raises(NotSignedError, match="ours has not signed it"):
        lines_of(NOTE.encode(), OURS)


def test_no_octet_of_a_note_can_be_changed() -> None:
    """Nor one bit of its base64 that no octet needs."""
    key, note = parse_verifier_key(KEY), NOTE.encode()
    for at in range(len(note)):
        for bit in range(8):
            changed = bytearray(note)
            changed[at] ^= 1 << bit
            with pytest.raises((NotSignedError, BadNoteError)):
                lines_of(bytes(changed), key)


def test_a_key_of_that_name_or_of_that_id_is_another() -> None:
    """Only both together name it, says the specification."""
    namesake = SignerKey("PeterNeumann", bytes(32))
    note = namesake.sign(LINES) + SIGNATURE
    assert lines_of(note.encode(), parse_verifier_key(KEY)) == LINES
    with pytest.raises(NotSignedError):
        lines_of(namesake.sign(LINES).encode(), parse_verifier_key(KEY))


def test_one_wrong_signature_by_the_key_spoils_the_note() -> None:
    wrong = SECRET.sign("other\n").partition("\n\n")[2]
    with pytest.raises(NotSignedError, match="wrong"):
        lines_of((SECRET.sign(LINES) + wrong).encode(), OURS)


def test_a_note_has_room_for_sixteen_signatures() -> None:
    others = [SignerKey(f"witness-{n}", bytes([n]) * 32) for n in range(1, 16)]
    note = SECRET.sign(LINES) + "".join(one.sign(LINES).partition("\n\n")[2] for one in others)
    assert lines_of(note.encode(), OURS) == LINES


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
        SECRET.sign("a\tb\n").encode(),
        SECRET.sign("a\r\n").encode(),
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
        KEY + "\n",
        SIGNER,
    ],
)
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(BadVerifierKeyError):
        parse_verifier_key(text)


@pytest.mark.parametrize(
    "text",
    ["", KEY, SIGNER[:-4], SIGNER.replace("c74f", "c74e"), SIGNER.replace("AYEK", "AYEL")],
)
def test_what_is_no_signer_key_is_refused_without_a_word_of_it(text: str) -> None:
    with pytest.raises(BadSignerKeyError) as refused:
        parse_signer_key(text)
    assert "AYE" not in str(refused.value)

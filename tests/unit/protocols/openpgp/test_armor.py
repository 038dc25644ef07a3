"""Armor in all the forms it is met in, and what is refused."""

import base64
import tracemalloc
from contextlib import suppress

import pytest

from keygrove_chaos.signing import Signer
from keygrove_protocols.errors import (
    BadArmorError,
    EmptyInputError,
    NotACertificateError,
    NotOpenPGPError,
    ProtocolError,
    SecretKeyMaterialError,
    TooLargeError,
)
from keygrove_protocols.limits import SUBMISSION, Limits
from keygrove_protocols.openpgp.armor import (
    Dearmored,
    armor,
    crc24,
    dearmor,
    dearmored,
    is_binary,
)
from keygrove_protocols.openpgp.certificate import Certificate, group, to_bytes
from keygrove_protocols.openpgp.packets import split

DATA = bytes(range(0x80, 0x100)) * 2
TEXT = armor(DATA)
BEGIN, END = b"-----BEGIN PGP PUBLIC KEY BLOCK-----", b"-----END PGP PUBLIC KEY BLOCK-----"
BASE64 = base64.b64encode(DATA)
CHECKSUM = b"=" + base64.b64encode(crc24(DATA).to_bytes(3))


def streamed(text: bytes, size: int) -> bytes:
    """What is read of armor that comes in pieces."""
    return b"".join(dearmored(text[at : at + size] for at in range(0, len(text), size)))


def labelled(label: bytes) -> bytes:
    return TEXT.replace(b"PUBLIC KEY BLOCK", label)


@pytest.mark.parametrize(("data", "crc"), [(b"", 0xB704CE), (b"123456789", 0x21CF02)])
def test_p024_the_checksum_is_the_published_one(data: bytes, crc: int) -> None:
    assert crc24(data) == crc


@pytest.mark.parametrize("size", [*range(40), 8191, 8192, 8193, 100_000])
def test_the_checksum_is_that_of_the_octet_loop(size: int) -> None:
    data = bytes(at * at * 31 % 251 for at in range(size))
    crc = 0xB704CE
    for octet in data:
        crc ^= octet << 16
        for _ in range(8):
            crc = crc << 1 ^ (0x1864CFB if crc & 0x800000 else 0)
    assert crc24(data) == crc & 0xFFFFFF


def test_p025_the_writer_makes_64_columns_and_a_checksum() -> None:
    lines = TEXT.split(b"\n")
    assert lines[:2] == [BEGIN, b""]
    assert {len(line) for line in lines[2:-4]} == {64}
    assert lines[-3:] == [CHECKSUM, END, b""]


def test_p025_the_writer_leaves_the_checksum_out_if_told_so() -> None:
    text = armor(DATA, checksum=False)
    assert b"\n=" not in text
    assert dearmor(text, SUBMISSION) == Dearmored(DATA, None)


@pytest.mark.parametrize(
    ("text", "crc_ok"),
    [
        pytest.param(TEXT, True, id="p014-right"),
        pytest.param(TEXT.replace(CHECKSUM + b"\n", b""), None, id="p014-none"),
        pytest.param(TEXT.replace(CHECKSUM, b"=AAAA"), False, id="p014-wrong"),
        pytest.param(TEXT.replace(CHECKSUM, b"=AAAA") + TEXT, False, id="p014-one-wrong"),
        pytest.param(armor(DATA, checksum=False) + TEXT, None, id="p014-one-missing"),
    ],
)
def test_a_wrong_checksum_is_told_and_no_reason_to_refuse(text: bytes, crc_ok: bool | None) -> None:
    found = dearmor(text, SUBMISSION)
    assert found.crc_ok is crc_ok
    assert found.data in (DATA, DATA * 2)


MAILED = [
    pytest.param(TEXT.replace(b"\n", b"\r\n"), id="p015-crlf"),
    pytest.param(TEXT.replace(b"\n", b"\r"), id="p015-cr"),
    pytest.param(TEXT.replace(b"\n", b" \t\n"), id="p015-trailing-blanks"),
    pytest.param(TEXT.strip(), id="p015-no-final-newline"),
    pytest.param(TEXT.replace(b"\n\n", b"\nVersion: 1\nFoo: bar: baz\nEmpty:\n\n"), id="p016"),
    pytest.param(TEXT.replace(b"\n\n", b"\n \t \n"), id="p016-blank-line-with-blanks"),
    pytest.param(TEXT.replace(b"\n\n", b"\n"), id="p017-no-blank-line"),
    pytest.param(TEXT.replace(b"\n\n", b"\nVersion: 1\n"), id="p017-headers-no-blank-line"),
    pytest.param(b"Hello,\n\n" + TEXT + b"\n-- \nBob", id="p018-text-around"),
    pytest.param(TEXT.replace(b"-----B", b"- -----B").replace(b"-----E", b"- -----E"), id="p018"),
    pytest.param(b"x" + BEGIN + b"\n\n????\n" + TEXT, id="p018-not-at-column-0"),
    pytest.param(labelled(b"MESSAGE") + TEXT, id="p018-a-message-before"),
    pytest.param(labelled(b"SIGNATURE") + TEXT, id="p018-a-signature-before"),
    pytest.param(b"\xef\xbb\xbf" + TEXT, id="p023-byte-order-mark"),
]


@pytest.mark.parametrize(
    "text", [*MAILED, pytest.param(labelled(b"SIGNATURE"), id="a-signature-alone")]
)
def test_what_mailers_make_of_armor_is_read(text: bytes) -> None:
    assert dearmor(text, SUBMISSION).data == DATA


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("text", MAILED)
def test_armor_that_comes_in_pieces_is_read_the_same(text: bytes, size: int) -> None:
    assert streamed(text, size) == DATA


def test_p019_two_blocks_are_read_in_their_order() -> None:
    assert dearmor(armor(b"\x99one") + b"and\n" + armor(b"\x99two"), SUBMISSION) == Dearmored(
        b"\x99one\x99two", crc_ok=True
    )


def test_p020_one_block_of_two_certificates_is_read() -> None:
    two = [Certificate(Signer(number).primary) for number in (1, 2)]
    text = armor(b"".join(map(to_bytes, two)))
    assert text.count(b"-----BEGIN") == 1
    assert group(split(dearmor(text, SUBMISSION).data, SUBMISSION), SUBMISSION) == two


@pytest.mark.parametrize("label", [b"PRIVATE KEY BLOCK", b"SECRET KEY BLOCK"])
@pytest.mark.parametrize("before", [b"", TEXT, labelled(b"MESSAGE")], ids=["1st", "2nd", "other"])
def test_p021_a_private_block_anywhere_is_refused(label: bytes, before: bytes) -> None:
    with pytest.raises(SecretKeyMaterialError):
        dearmor(before + labelled(label), SUBMISSION)


def test_p021_a_private_block_is_refused_without_its_end_too() -> None:
    with pytest.raises(SecretKeyMaterialError):
        dearmor(labelled(b"PRIVATE KEY BLOCK").partition(b"\n-----END")[0], SUBMISSION)


DAMAGED = [
    pytest.param(TEXT.replace(BASE64[:4], BASE64[:3] + b"?"), id="foreign"),
    pytest.param(TEXT.replace(BASE64[:4], BASE64[:3] + b"-"), id="url-alphabet"),
    pytest.param(TEXT.replace(BASE64[:4], BASE64[:3] + b"="), id="padding-inside"),
    pytest.param(TEXT.replace(BASE64[:4], BASE64[:3]), id="a-character-missing"),
    pytest.param(TEXT.replace(BASE64[:4], BASE64[:3] + b"\xff"), id="not-ascii"),
    pytest.param(TEXT.replace(END, b""), id="no-end"),
    pytest.param(TEXT.replace(END, b" " + END), id="end-not-at-column-0"),
    pytest.param(TEXT.replace(END, b"- " + END), id="end-escaped-alone"),
    pytest.param(TEXT.replace(END, END.replace(b"PUBLIC", b"PRIVATE")), id="end-mismatch"),
    pytest.param(BEGIN + b"\n\n" + TEXT, id="begin-within"),
    pytest.param(TEXT + BEGIN, id="second-without-end"),
    pytest.param(TEXT.replace(CHECKSUM, b"=AA?A"), id="foreign-in-checksum"),
    pytest.param(TEXT.replace(CHECKSUM, CHECKSUM + b"\n" + BASE64[:4]), id="after-checksum"),
]


@pytest.mark.parametrize("text", DAMAGED)
def test_p022_damaged_armor_is_refused(text: bytes) -> None:
    with pytest.raises(BadArmorError):
        dearmor(text, SUBMISSION)


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("text", DAMAGED)
def test_p022_damaged_armor_that_comes_in_pieces_is_refused(text: bytes, size: int) -> None:
    with pytest.raises(BadArmorError):
        streamed(text, size)


@pytest.mark.parametrize("tail", [labelled(b"PRIVATE KEY BLOCK"), BEGIN + b"\n\n????\n"])
def test_what_stands_before_a_bad_block_is_given_out_first(tail: bytes) -> None:
    found = dearmored([TEXT + tail])
    assert next(found) + next(found) == DATA
    with pytest.raises(ProtocolError):
        b"".join(found)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param(b"", NotOpenPGPError, id="nothing"),
        pytest.param(b"hello\n" * 9, NotOpenPGPError, id="text"),
        pytest.param(b"x" + TEXT.partition(b"\n")[0], NotOpenPGPError, id="not-at-column-0"),
        pytest.param(labelled(b"MESSAGE"), NotACertificateError, id="a-message"),
        pytest.param(labelled(b"SIGNATURE"), NotACertificateError, id="a-signature"),
        pytest.param(labelled(b"SECRET KEY BLOCK"), SecretKeyMaterialError, id="p021-private"),
    ],
)
def test_pieces_that_hold_no_certificate_are_told_apart(
    text: bytes, error: type[ProtocolError]
) -> None:
    with pytest.raises(error):
        streamed(text, 7)


def test_a_revocation_that_gnupg_has_guarded_with_a_colon_is_told_as_one() -> None:
    guarded = b"To avoid an accidental use of this file, ...\n\n:" + TEXT
    with pytest.raises(NotOpenPGPError, match="remove that colon and send it again"):
        dearmor(guarded, SUBMISSION)
    for size in (1, 7, len(guarded)):
        with pytest.raises(NotOpenPGPError, match="remove that colon and send it again"):
            streamed(guarded, size)
    assert dearmor(guarded + TEXT, SUBMISSION).data == DATA


@pytest.mark.parametrize(
    "filler",
    [
        pytest.param(b"text without an end", id="one line of text"),
        pytest.param(b"text\n", id="lines of text"),
        pytest.param(BEGIN + b"\n" + b"Comment: again\n", id="headers"),
        pytest.param(armor(b"\x99" * 30_000), id="blocks"),
    ],
)
def test_armor_without_an_end_is_never_held(filler: bytes) -> None:
    piece = (filler * (1 + (1 << 16) // len(filler)))[: 1 << 16]
    tracemalloc.start()
    with suppress(ProtocolError):
        for _ in dearmored(piece for _ in range(200)):
            pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * len(piece)


def test_one_block_of_any_length_is_never_held() -> None:
    body = base64.b64encode(bytes(48 << 10))
    pieces = [BEGIN + b"\n\n", *[body] * 200, b"\n" + END]
    tracemalloc.start()
    size = sum(map(len, dearmored(pieces)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 200 * (48 << 10)
    assert peak < 10 * len(body)


@pytest.mark.parametrize("filler", [b"Comment", b"=", b"-", b"\n"], ids=repr)
def test_a_block_that_never_goes_on_is_refused_or_over(filler: bytes) -> None:
    start = BEGIN + b"\n" + (b"\nmQAA" if filler != b"Comment" else b"")
    tracemalloc.start()
    with pytest.raises(BadArmorError):
        for _ in dearmored([start, *[filler * 4096] * 500]):
            pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


PLUSES = b"\x99\x00\x00" + b"\xfb\xef\xbe" * 90 + b"\xfb"  # mQAA++++…++++w==
BLANKS = armor(PLUSES).replace(b"+", b" ")


def test_p026_blanks_that_were_plus_signs_are_repaired_if_the_checksum_agrees() -> None:
    assert b"+" in armor(PLUSES)
    assert dearmor(BLANKS, SUBMISSION) == Dearmored(PLUSES, crc_ok=True)


@pytest.mark.parametrize("checksum", [b"", b"=AAAA\n"], ids=["none", "wrong"])
def test_p026_nothing_is_repaired_on_a_guess(checksum: bytes) -> None:
    text = armor(PLUSES, checksum=False).replace(b"+", b" ").replace(END, checksum + END)
    with pytest.raises(BadArmorError):
        dearmor(text, SUBMISSION)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        pytest.param(b"", EmptyInputError, id="p011-empty"),
        pytest.param(b" \r\n\t", EmptyInputError, id="p011-white-space"),
        pytest.param(b"\xef\xbb\xbf\n", EmptyInputError, id="p011-byte-order-mark"),
        pytest.param(BEGIN + b"\n\n" + END, EmptyInputError, id="an-empty-block"),
        pytest.param(b"hello", NotOpenPGPError, id="text"),
        pytest.param(b"x" + TEXT.partition(b"\n")[0], NotOpenPGPError, id="not-at-column-0"),
        pytest.param(labelled(b"MESSAGE"), NotACertificateError, id="a-message"),
        pytest.param(labelled(b"SIGNED MESSAGE"), NotACertificateError, id="a-signed-message"),
    ],
)
def test_what_is_no_certificate_is_told_apart(data: bytes, error: type[ProtocolError]) -> None:
    with pytest.raises(error):
        dearmor(data, SUBMISSION)


def test_a_key_quoted_in_a_signed_message_is_read() -> None:
    quoted = TEXT.replace(b"-----B", b"- -----B").replace(b"-----E", b"- -----E")
    message = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n" + quoted
    assert dearmor(message + labelled(b"SIGNATURE"), SUBMISSION).data == DATA


@pytest.mark.parametrize("data", [b"\x99", b"\xc6\x00", b"\xef\xbb\xbf\xff", b"\xff" * 9])
def test_packets_pass_as_they_are(data: bytes) -> None:
    assert is_binary(data)
    assert dearmor(data, SUBMISSION) == Dearmored(data, crc_ok=None)


@pytest.mark.parametrize("data", [b"", b"\n", TEXT, b"\xef\xbb\xbf" + TEXT, b"\xef\xbb\xbf"])
def test_text_is_not_taken_for_packets(data: bytes) -> None:
    assert not is_binary(data)


@pytest.mark.parametrize("data", [TEXT, DATA], ids=["text", "packets"])
def test_p098_an_input_at_its_limit_is_read_and_one_above_is_not(data: bytes) -> None:
    assert dearmor(data, Limits(body_bytes_max=len(data))).data == DATA
    with pytest.raises(TooLargeError):
        dearmor(data, Limits(body_bytes_max=len(data) - 1))


LARGE = 10 << 20
HOSTILE = {
    "zeros": bytes(LARGE),
    "dashes": b"-" * LARGE,
    "newlines": b"\n" * LARGE,
    "carriage-returns": b"\r" * LARGE,
    "begins": (BEGIN + b"\n") * (LARGE // 37),
    "begins-of-messages": b"-----BEGIN PGP MESSAGE-----\n" * (LARGE // 28),
    "half-begins": b"-----BEGIN PGP " * (LARGE // 15),
    "labels": b"-----BEGIN PGP " + b"A" * LARGE,
    "blanks-behind-a-begin": BEGIN + b" " * LARGE + b"x",
    "headers": BEGIN + b"\na:b" * (LARGE // 4) + b"\n" + END,
    "blanks-in-a-block": BEGIN + b"\n\n" + b" " * LARGE + b"\n" + END,
    "padding": BEGIN + b"\n\n" + b"=" * LARGE + b"\n" + END,
    "plus-or-blank": BEGIN + b"\n\n" + b"AB C" * (LARGE // 4) + b"?\n=AAAA\n" + END,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_10_mib_of_anything_are_refused_in_one_pass(text: bytes) -> None:
    """A step for each pair of octets would take days here, and be noticed."""
    with pytest.raises(ProtocolError):
        dearmor(text, Limits(body_bytes_max=2 * LARGE))

"""ASCII armor for certificates, both ways.

    -----BEGIN PGP PUBLIC KEY BLOCK-----
    Comment: any number of such lines
                                                an empty line
    base64, 64 columns
    =CRC4                                       base64 of the checksum, optional
    -----END PGP PUBLIC KEY BLOCK-----

The reader takes what mailers, forms and old programs make of it: any line ends, blanks at
their ends, text around and between blocks, no empty line, no or a wrong checksum, and a
block that was dash-escaped. It does not pass over characters foreign to base64: two
readers that skip differently would see different certificates.

Source: RFC 9580, section 6.
"""

import binascii
import re
from collections.abc import Callable, Iterable, Iterator

import msgspec

from keygrove_protocols.errors import (
    BadArmorError,
    EmptyInputError,
    NotACertificateError,
    NotOpenPGPError,
    SecretKeyMaterialError,
    TooLargeError,
)
from keygrove_protocols.limits import Limits

_PUBLIC, _SIGNATURE = b"PUBLIC KEY BLOCK", b"SIGNATURE"
_READ = (_PUBLIC, _SIGNATURE)
_PRIVATE = (b"PRIVATE KEY BLOCK", b"SECRET KEY BLOCK")

_NO_ARMOR = "neither packets nor armor: send a block that begins with -----BEGIN"
_NO_KEY = "there is armor, but no public key in it: send one"
_IS_GUARDED = (
    "this is a revocation as GnuPG keeps it, with a colon in front of -----BEGIN so that nobody "
    "uses it by accident: to revoke the key for good, remove that colon and send it again"
)
_IS_PRIVATE = "this is a private key: send the public one only"
_NO_BASE64 = "the armor holds what is no base64: send it as it was made"

_BEGIN = re.compile(
    rb"^(?:\xef\xbb\xbf)?+(- )?-----BEGIN PGP ([A-Z0-9,/ ]{1,40}+)-----[ \t]*+$", re.MULTILINE
)
_END = re.compile(rb"^(- )?-----END PGP ([A-Z0-9,/ ]{1,40}+)-----[ \t]*+$", re.MULTILINE)

_GUARDED = re.compile(rb"^:-----BEGIN PGP [A-Z ]{1,40}+-----[ \t]*+$", re.MULTILINE)

# Lines with a colon, up to an empty line, or to the first line that is neither.
_HEADERS = re.compile(rb"\A\n(?:[^:\n]*+:[^\n]*+\n)*+(?:[ \t\v\f]*+\n)?+")

_HEADER_LINES = re.compile(rb"(?:[^:\n]*+:[^\n]*+\n)*+")

_TAIL = re.compile(rb"[=-]")
"""What is no longer base64: padding, the checksum, or the end of the block."""

_LINE_MAX = 4096
"""No line outside of the base64 is longer, nor what stands between that and the block's end."""

_BLANKS = b" \t\n\r\v\f"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_COLUMNS = 64


class Dearmored(msgspec.Struct, frozen=True):
    """The packets of all blocks in a row, and what their checksums say.

    `crc_ok` is False if one is wrong, True if every block has a right one, else None. A
    wrong checksum is no reason to refuse (RFC 9580, section 6.1).
    """

    data: bytes
    crc_ok: bool | None


def armor(data: bytes, *, checksum: bool = True) -> bytes:
    """Armor certificates. GnuPG 2.2 needs the checksum; v6 certificates should have none."""
    text = binascii.b2a_base64(data, newline=False)
    lines = [text[at : at + _COLUMNS] for at in range(0, len(text), _COLUMNS)]
    if checksum:
        lines.append(b"=" + binascii.b2a_base64(crc24(data).to_bytes(3), newline=False))
    begin, end = (b"-----%s PGP %s-----" % (word, _PUBLIC) for word in (b"BEGIN", b"END"))
    return b"\n".join([begin, b"", *lines, end, b""])


def is_binary(data: bytes) -> bool:
    """Whether this is packets, not text: the first octet of a packet has bit 7 set."""
    return bool(data) and data[0] >= 0x80 and not _has_byte_order_mark(data)


def dearmor(data: bytes, limits: Limits) -> Dearmored:
    """Take the packets out of armor; what is no text is returned as it is.

    Blocks of public keys are read; if there are none, detached signatures, for a
    revocation may come as one. Linear in time.

    Raises:
        TooLargeError: checked before decoding.
        EmptyInputError: nothing but white space, or empty blocks.
        NotOpenPGPError: text without armor.
        BadArmorError: a block without its end, or one that is no base64.
        SecretKeyMaterialError: any of the blocks is a private key.
        NotACertificateError: armor of other things only.
    """
    if len(data) > limits.body_bytes_max:
        raise TooLargeError(f"{len(data)} octets, at most {limits.body_bytes_max} are taken")
    if is_binary(data):
        return Dearmored(data, None)
    blocks = list(_blocks(_text(data)))
    bodies = [body for label, body in blocks if label == _PUBLIC]
    bodies = bodies or [body for label, body in blocks if label == _SIGNATURE]
    if not bodies:
        raise NotACertificateError(_NO_KEY)
    parts = [_decode(body) for body in bodies]
    packets = b"".join(part.data for part in parts)
    if not packets:
        raise EmptyInputError("the armor is empty: send a certificate")
    return Dearmored(packets, _all_ok([part.crc_ok for part in parts]))


def dearmored(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Take the packets out of armored text of any length, while it is read.

    Blocks of public keys are read, others passed over. Unlike `dearmor` it looks at no
    checksum, so it repairs no blanks; and it meets a private key only when what stands
    before that was given out. Linear in time, and holds little more than a piece.

    Raises:
        NotOpenPGPError: text without armor.
        BadArmorError: a block without its end, or one that is no base64.
        SecretKeyMaterialError: the next block is a private key.
        NotACertificateError: armor of other things only.
    """
    reader = _Reader()
    for piece in _with_line_ends(pieces):
        yield from reader.feed(piece)
    yield from reader.feed(b"\n")
    reader.close()


def _with_line_ends(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same text with one kind of line end, also where a piece ends within one."""
    held = b""
    for piece in pieces:
        text = held + piece
        held = b"\r" if text.endswith(b"\r") else b""
        yield _one_line_end(text.removesuffix(held))
    yield _one_line_end(held)


class _Reader:
    """Reads armor in pieces: each step reads on from `_at`, or returns None for want of text."""

    def __init__(self) -> None:
        self._text = b""
        self._at = 0
        self._step: Callable[[], bytes | None] = self._outside
        self._begin: tuple[bytes | None, ...] = ()
        self._quad = b""  # the first characters of four, of which the others are to come
        self._has_armor = self._has_key = self._is_guarded = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        # The character in front is kept, for it says whether a line begins here.
        start = max(self._at - 1, 0)
        self._text, self._at = self._text[start:] + piece, self._at - start
        while (data := self._step()) is not None:
            if data:
                yield data

    def close(self) -> None:
        if self._step != self._outside:
            raise BadArmorError("a block has no end: send it whole")
        if not self._has_armor:
            raise NotOpenPGPError(_IS_GUARDED if self._is_guarded else _NO_ARMOR)
        if not self._has_key:
            raise NotACertificateError(_NO_KEY)

    def _outside(self) -> bytes | None:
        """Find the next block, in lines that are complete."""
        end = max(self._text.rfind(b"\n") + 1, self._at)
        begin = _BEGIN.search(self._text, self._at, end)
        if not self._has_armor and not self._is_guarded:
            self._is_guarded = _GUARDED.search(self._text, self._at, end) is not None
        if begin is None:
            # What is too long for the line of a beginning need not be held, nor is it one.
            self._at = end if len(self._text) - end <= _LINE_MAX else len(self._text)
            return None
        self._has_armor = True
        if begin[2] in _PRIVATE:
            raise SecretKeyMaterialError(_IS_PRIVATE)
        self._at = begin.end()
        if begin[2] == _PUBLIC:
            self._has_key, self._begin = True, begin.groups()
            self._at += 1
            self._step = self._headers
        return b""

    def _headers(self) -> bytes | None:
        lines = _HEADER_LINES.match(self._text, self._at)
        assert lines is not None, "it matches where there are none, too"
        self._at = lines.end()
        end = self._text.find(b"\n", self._at)
        if end < 0 and len(self._text) - self._at <= _LINE_MAX:
            return None
        if end >= 0 and not self._text[self._at : end].strip(_BLANKS):
            self._at = end + 1
        self._step = self._base64
        return b""

    def _base64(self) -> bytes | None:
        """Decode up to padding, checksum or end; then those, when they are complete."""
        tail = _TAIL.search(self._text, self._at)
        stop = len(self._text) if tail is None else tail.start()
        if stop > self._at:
            text = self._quad + self._text[self._at : stop].translate(None, _BLANKS)
            whole = len(text) & ~3
            self._at, self._quad = stop, text[whole:]
            return _decode_whole(text[:whole])
        end = _END.search(self._text, stop)
        if end is None or end.end() == len(self._text):
            if len(self._text) - stop > _LINE_MAX:
                raise BadArmorError(_NO_BASE64)
            return None
        if self._begin != end.groups():
            raise BadArmorError("a block ends as another kind of block")
        text, self._quad = self._quad + self._text[stop : end.start()], b""
        self._at, self._step = end.end(), self._outside
        return _decode_whole(text)


def _decode_whole(text: bytes) -> bytes:
    """Decode base64 in which nothing is missing."""
    decoded = _radix64(text)
    if decoded is None:
        raise BadArmorError(_NO_BASE64)
    return decoded.data


def _has_byte_order_mark(data: bytes) -> bool:
    """UTF-8's mark could be a packet too, but not when text follows it."""
    return data.startswith(_BYTE_ORDER_MARK) and data[3:4] < b"\x80"


def _text(data: bytes) -> bytes:
    """The same text with one kind of line end."""
    if _has_byte_order_mark(data):
        data = data.removeprefix(_BYTE_ORDER_MARK)
    if not data.strip(_BLANKS):
        raise EmptyInputError("there is nothing: send a certificate")
    return _one_line_end(data)


def _one_line_end(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _blocks(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Label and inner text of each block; those that nobody asked for are text to skip."""
    begin = _BEGIN.search(text)
    if begin is None:
        raise NotOpenPGPError(_IS_GUARDED if _GUARDED.search(text) else _NO_ARMOR)
    while begin is not None:
        label, position = begin[2], begin.end()
        if label in _PRIVATE:
            raise SecretKeyMaterialError(_IS_PRIVATE)
        if label in _READ:
            end = _END.search(text, position)
            if end is None:
                raise BadArmorError("a block has no end: send it whole", offset=begin.start())
            if begin.groups() != end.groups():
                raise BadArmorError("a block ends as another kind of block", offset=end.start())
            yield label, text[position : end.start()]
            position = end.end()
        begin = _BEGIN.search(text, position)


def _decode(block: bytes) -> Dearmored:
    """Decode a block's base64, behind its header lines.

    A form decoded twice has blanks where "+" was. They are repaired if the checksum, which
    was made before the damage, confirms it.
    """
    body = _HEADERS.sub(b"", block)
    decoded = _radix64(body)
    if (decoded is None or decoded.crc_ok is False) and b" " in body:
        repaired = _radix64(body.strip(b"\n").replace(b" ", b"+"))
        if repaired is not None and repaired.crc_ok:
            return repaired
    if decoded is None:
        raise BadArmorError(_NO_BASE64)
    return decoded


def _radix64(body: bytes) -> Dearmored | None:
    """The octets and the verdict of the checksum; None where something is no base64."""
    text, _, last = body.rstrip(_BLANKS).rpartition(b"\n")
    last = last.strip(_BLANKS)
    has_checksum = len(last) == 5 and last.startswith(b"=")
    text = (text if has_checksum else body).translate(None, _BLANKS)
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
        checksum = binascii.a2b_base64(last[1:], strict_mode=True) if has_checksum else None
    except binascii.Error:
        return None
    return Dearmored(data, None if checksum is None else checksum == crc24(data).to_bytes(3))


def _all_ok(checks: list[bool | None]) -> bool | None:
    if False in checks:
        return False
    return None if None in checks else True


_POLYNOMIAL = 0x1864CFB
_INITIAL = 0xB704CE


def crc24(data: bytes) -> int:
    """The armor checksum: the remainder of the data, seen as a polynomial over GF(2).

    The division goes by halves, on whole integers: with h = high·x^n + low, and c the
    remainder of x^n, high·c + low has the same remainder as h and half the length. c has
    at most 24 terms, so a step is that many shifts of `high`, at C's speed; n is a power of
    two, so that the c are few. A loop over octets takes fifteen times as long.

    Source: RFC 9580, section 6.1.1.
    """
    rest = (_INITIAL << 8 * len(data)) ^ (int.from_bytes(data) << 24)
    while (bits := rest.bit_length()) > 64:
        power = (bits - 1).bit_length() - 1
        high = rest >> (1 << power)
        rest ^= high << (1 << power)
        for shift in _SHIFTS[power]:
            rest ^= high << shift
    return _remainder(rest)


def _remainder(rest: int) -> int:
    while (bits := rest.bit_length()) > 24:
        rest ^= _POLYNOMIAL << (bits - 25)
    return rest


def _square(value: int) -> int:
    """Over GF(2), a square has the same terms, each at twice its exponent."""
    return _remainder(int(f"{value:b}", 4))  # the binary digits, read in base 4


def _shifts() -> list[list[int]]:
    """For each k, the exponents of the remainder of x^(2^k); 2^40 bits are beyond any input."""
    shifts: list[list[int]] = []
    power = 2
    for _ in range(40):
        shifts.append([exponent for exponent in range(24) if power >> exponent & 1])
        power = _square(power)
    return shifts


_SHIFTS = _shifts()

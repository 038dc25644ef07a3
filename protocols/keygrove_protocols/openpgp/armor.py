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
from collections.abc import Iterator

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

_BEGIN = re.compile(rb"^(- )?-----BEGIN PGP ([A-Z0-9,/ ]{1,40}+)-----[ \t]*+$", re.MULTILINE)
_END = re.compile(rb"^(- )?-----END PGP ([A-Z0-9,/ ]{1,40}+)-----[ \t]*+$", re.MULTILINE)

# Lines with a colon, up to an empty line, or to the first line that is neither.
_HEADERS = re.compile(rb"\A\n(?:[^:\n]*+:[^\n]*+\n)*+(?:[ \t\v\f]*+\n)?+")

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
        raise NotACertificateError("there is armor, but no public key in it: send one")
    parts = [_decode(body) for body in bodies]
    packets = b"".join(part.data for part in parts)
    if not packets:
        raise EmptyInputError("the armor is empty: send a certificate")
    return Dearmored(packets, _all_ok([part.crc_ok for part in parts]))


def _has_byte_order_mark(data: bytes) -> bool:
    """UTF-8's mark could be a packet too, but not when text follows it."""
    return data.startswith(_BYTE_ORDER_MARK) and data[3:4] < b"\x80"


def _text(data: bytes) -> bytes:
    """The same text with one kind of line end."""
    if _has_byte_order_mark(data):
        data = data.removeprefix(_BYTE_ORDER_MARK)
    if not data.strip(_BLANKS):
        raise EmptyInputError("there is nothing: send a certificate")
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _blocks(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Label and inner text of each block; those that nobody asked for are text to skip."""
    begin = _BEGIN.search(text)
    if begin is None:
        raise NotOpenPGPError("neither packets nor armor: send a block that begins with -----BEGIN")
    while begin is not None:
        label, position = begin[2], begin.end()
        if label in _PRIVATE:
            raise SecretKeyMaterialError("this is a private key: send the public one only")
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
        raise BadArmorError("the armor holds what is no base64: send it as it was made")
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

"""What two servers say to each other in recon, and its octets.

    frame     int length ‖ u8 type ‖ payload       the length counts the type, too
    int       u32, big-endian, below 2^31
    string    int length ‖ octets
    bits      int number of bits ‖ string          from bit 7 of octet 0 on; unused ones are 0
    value     17 octets, little-endian, below the prime
    values    int count ‖ so many values
    config    int number of pairs ‖ two strings for each

An element of a set is a value below 2^128, the digest of a certificate with a zero behind it. A
value between 2^128 and the prime is no digest: a false solution at the other end may have made it,
and it is left out. So is one that equals a sample point, which no set has. Sets come in any order;
we write them as SKS does, in that of the numbers.

Types from 64 on are ours, and never said to others: two Keygroves that agreed on it say them.

Source: sks-keyserver, reconMessages.ml and zZp.ml; Hockeypuck, conflux/recon/messages.go.
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import msgspec

from keygrove_protocols.errors import FramingError, TooLargeError
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.field import (
    DIGEST_BITS,
    DIGEST_BYTES,
    ELEMENT_BYTES,
    NO_ELEMENTS,
    POINTS,
    P,
)
from keygrove_protocols.recon.field import encode as encode_value
from keygrove_protocols.recon.prefix import BITQUANTUM, Prefix
from keygrove_protocols.recon.sketch import SYMBOL_BYTES

NUMBERS_END: Final = 1 << 31
"""SKS reads numbers as signed ones."""

FRAME_OCTETS_MAX: Final = 1 << 24
"""Without its length. As of Hockeypuck; SKS has no limit."""
CONFIG_OCTETS_MAX: Final = 64 << 10
CONFIG_PAIRS_MAX: Final = 64
"""Real servers send five and a few of their own."""


class BadMessageError(FramingError):
    """The octets are no message of recon: close the connection, whoever sent them is broken."""


class PolyRequest(msgspec.Struct, frozen=True):
    """ReconRqstPoly: what do we lack of each other below this node, of which these are values?

    Args:
        size: how many elements are below the node.
        samples: as many as there are `POINTS`, below the prime.
    """

    prefix: Prefix
    size: int
    samples: tuple[int, ...]


class FullRequest(msgspec.Struct, frozen=True):
    """ReconRqstFull: what do we lack of each other below this node, of which this is all?"""

    prefix: Prefix
    digests: tuple[Digest, ...] = ()
    left_out: int = 0
    """Elements that are no digests."""


class Elements(msgspec.Struct, frozen=True):
    """What its receiver lacks."""

    digests: tuple[Digest, ...] = ()
    left_out: int = 0
    """Elements that are no digests."""


class FullElements(msgspec.Struct, frozen=True):
    """All that its sender has below the node that was asked about; `Elements` come in return."""

    digests: tuple[Digest, ...] = ()
    left_out: int = 0
    """Elements that are no digests."""


class SyncFail(msgspec.Struct, frozen=True):
    """There is too much difference below this node: ask about its children."""


class Done(msgspec.Struct, frozen=True):
    """The end of a session."""


class Flush(msgspec.Struct, frozen=True):
    """Answer now what was asked."""


class Symbols(msgspec.Struct, frozen=True):
    """Coded symbols of its sender's whole set, as `sketch` writes them.

    Args:
        size: how many elements the set has.
        start: how many symbols came before.
        octets: a multiple of `SYMBOL_BYTES`.
    """

    size: int
    start: int
    octets: bytes


class MoreSymbols(msgspec.Struct, frozen=True):
    """Those that came do not do: send as many as make up `until`, together with them."""

    until: int


class Error(msgspec.Struct, frozen=True):
    """What went wrong, in words."""

    text: bytes


class DbRequest(msgspec.Struct, frozen=True):
    """DbRqst, which SKS's processes say to each other, and no server to another."""

    text: bytes


class DbReply(msgspec.Struct, frozen=True):
    """DbRepl, as `DbRequest`."""

    text: bytes


class Config(msgspec.Struct, frozen=True):
    """What a server says of itself, as it stands; `terms` knows what it means."""

    pairs: tuple[tuple[bytes, bytes], ...]


Message: TypeAlias = (
    PolyRequest
    | FullRequest
    | Elements
    | FullElements
    | SyncFail
    | Done
    | Flush
    | Error
    | DbRequest
    | DbReply
    | Config
    | Symbols
    | MoreSymbols
)

CONFIG_TYPE: Final = 10
SYMBOLS_TYPE: Final = 64
MORE_SYMBOLS_TYPE: Final = 65


def printable(text: bytes, *, chars_max: int = 200) -> str:
    """Text from outside as a log may show it: one line, cut where it is long."""
    shown = text[: 4 * chars_max].decode(errors="replace")
    shown = "".join(char if char.isprintable() else " " for char in shown)
    return shown if len(shown) <= chars_max else f"{shown[: chars_max - 1]}…"


def in_order(digests: Iterable[Digest]) -> tuple[Digest, ...]:
    """As SKS writes a set: by the numbers that digests are, whose last octet weighs most."""
    return tuple(sorted(digests, key=lambda digest: digest[::-1]))


def string(octets: bytes) -> bytes:
    """A string as it is in a message, and as a verdict is without one."""
    return len(octets).to_bytes(4) + octets


def encode(message: Message) -> bytes:
    """A message in its frame."""
    return string(_encode_body(message))


def _encode_body(message: Message) -> bytes:
    match message:
        case PolyRequest():
            return b"\x00" + _encode_poly(message)
        case FullRequest(prefix, digests):
            return b"\x01" + _encode_prefix(prefix) + _encode_set(digests)
        case Elements(digests) | FullElements(digests):
            kind = b"\x02" if isinstance(message, Elements) else b"\x03"
            return kind + _encode_set(digests)
        case Config(pairs):
            return bytes((CONFIG_TYPE,)) + _encode_config(pairs)
        case Symbols() | MoreSymbols():
            return _encode_own(message)
        case _:
            return _encode_plain(message)


def _encode_plain(message: SyncFail | Done | Flush | Error | DbRequest | DbReply) -> bytes:
    match message:
        case SyncFail():
            return b"\x04"
        case Done():
            return b"\x05"
        case Flush():
            return b"\x06"
        case Error(text):
            return b"\x07" + string(text)
        case DbRequest(text):
            return b"\x08" + string(text)
        case DbReply(text):
            return b"\x09" + string(text)


def _encode_own(message: Symbols | MoreSymbols) -> bytes:
    match message:
        case Symbols(size, start, octets):
            head = size.to_bytes(4) + start.to_bytes(4)
            return bytes((SYMBOLS_TYPE,)) + head + string(octets)
        case MoreSymbols(until):
            return bytes((MORE_SYMBOLS_TYPE,)) + until.to_bytes(4)


def _encode_poly(message: PolyRequest) -> bytes:
    values = b"".join(map(encode_value, message.samples))
    head = _encode_prefix(message.prefix) + message.size.to_bytes(4)
    return head + len(message.samples).to_bytes(4) + values


def _encode_prefix(prefix: Prefix) -> bytes:
    return prefix.length.to_bytes(4) + string(prefix.octets)


def _encode_set(digests: tuple[Digest, ...]) -> bytes:
    return len(digests).to_bytes(4) + b"".join(digest + b"\x00" for digest in digests)


def _encode_config(pairs: tuple[tuple[bytes, bytes], ...]) -> bytes:
    return len(pairs).to_bytes(4) + b"".join(string(key) + string(value) for key, value in pairs)


def decode(body: bytes) -> Message:
    """A message from its frame, without the length.

    Raises:
        BadMessageError: it is none. The offset is into the frame, its length included.
        TooLargeError: it is beyond a limit of this module.
    """
    reader = _Reader(body)
    read = _READERS.get(reader.octet())
    if read is None:
        raise BadMessageError(f"there is no message of type {body[0]}", offset=4)
    if read is _read_config and len(body) > CONFIG_OCTETS_MAX:
        raise TooLargeError(f"a config has at most {CONFIG_OCTETS_MAX} octets")
    message = read(reader)
    reader.end()
    return message


class _Reader:
    """The rest of a frame."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def bad(self, text: str) -> BadMessageError:
        return BadMessageError(text, offset=4 + self._at)

    def octet(self) -> int:
        return self.octets(1)[0]

    def octets(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._body):
            raise self.bad(f"the message ends before {count} octets that it announces")
        found = self._body[self._at : end]
        self._at = end
        return found

    def number(self) -> int:
        number = int.from_bytes(self.octets(4))
        if number >= NUMBERS_END:
            raise self.bad(f"the number {number} is not below 2^31")
        return number

    def string(self) -> bytes:
        return self.octets(self.number())

    def prefix(self) -> Prefix:
        """Hockeypuck dies of one that is no multiple of bits."""
        length = self.number()
        if length % BITQUANTUM or length > DIGEST_BITS:
            raise self.bad(f"{length} bits name no node: {BITQUANTUM} for each level are right")
        octets = self.string()
        if len(octets) != (length + 7) // 8:
            raise self.bad(f"{length} bits are not in {len(octets)} octets")
        if length % 8 and octets[-1] & (0xFF >> length % 8):
            raise self.bad(f"behind {length} bits there are others")
        return Prefix(octets, length)

    def samples(self) -> tuple[int, ...]:
        """SKS drops the connection, too, where there are fewer."""
        count = self.number()
        if count != len(POINTS):
            raise self.bad(f"there are {count} samples: {len(POINTS)} are right")
        return tuple(self.value() for _ in range(count))

    def value(self) -> int:
        value = int.from_bytes(self.octets(ELEMENT_BYTES), "little")
        if value >= P:
            raise self.bad("a value is not below the prime")
        return value

    def set(self) -> tuple[tuple[Digest, ...], int]:
        """The digests of a set, and how many of its elements are none."""
        count = self.number()
        start, octets = self._at, self.octets(count * ELEMENT_BYTES)
        digests: list[Digest] = []
        for at in range(0, len(octets), ELEMENT_BYTES):
            end = at + DIGEST_BYTES
            if octets[end] == 0:
                digest = Digest(octets[at:end])
                digests += () if digest in NO_ELEMENTS else (digest,)
            elif int.from_bytes(octets[at : end + 1], "little") >= P:
                self._at = start + at
                raise self.bad("an element is not below the prime")
        return tuple(digests), count - len(digests)

    def end(self) -> None:
        rest = len(self._body) - self._at
        if rest:
            raise self.bad(f"behind the message there are {rest} octets more")


def _read_poly(reader: _Reader) -> PolyRequest:
    return PolyRequest(reader.prefix(), reader.number(), reader.samples())


def _read_full(reader: _Reader) -> FullRequest:
    return FullRequest(reader.prefix(), *reader.set())


def _read_symbols(reader: _Reader) -> Symbols:
    size, start, octets = reader.number(), reader.number(), reader.string()
    if len(octets) % SYMBOL_BYTES:
        raise reader.bad(f"{len(octets)} octets are no symbols: {SYMBOL_BYTES} for each are right")
    return Symbols(size, start, octets)


def _read_config(reader: _Reader) -> Config:
    count = reader.number()
    if count > CONFIG_PAIRS_MAX:
        raise TooLargeError(f"a config has at most {CONFIG_PAIRS_MAX} pairs")
    return Config(tuple((reader.string(), reader.string()) for _ in range(count)))


_READERS: Final[dict[int, Callable[[_Reader], Message]]] = {
    0: _read_poly,
    1: _read_full,
    2: lambda reader: Elements(*reader.set()),
    3: lambda reader: FullElements(*reader.set()),
    4: lambda _: SyncFail(),
    5: lambda _: Done(),
    6: lambda _: Flush(),
    7: lambda reader: Error(reader.string()),
    8: lambda reader: DbRequest(reader.string()),
    9: lambda reader: DbReply(reader.string()),
    CONFIG_TYPE: _read_config,
    SYMBOLS_TYPE: _read_symbols,
    MORE_SYMBOLS_TYPE: lambda reader: MoreSymbols(reader.number()),
}

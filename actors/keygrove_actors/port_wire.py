"""The wire between a port and its OS process: bytes in, frames out, and back. No I/O.

    frame = length   4 bytes, big-endian, of the body: 1 to the receiver's maximum
            body     one MessagePack array: frame type (unsigned int), then its elements

Each class below is one frame type; its fields are the elements in order. More elements
than we know are ignored, fewer are an error; so are unknown types below 64, while those
from 64 on are skipped. A length beyond the maximum is refused before anything is kept.

Both ends use this module. `docs/reference/port-wire.md` is the page for authors of
workers in other languages; a test holds its golden frames to this codec.
"""

from __future__ import annotations

from struct import Struct
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from keygrove_actors.messages import WireError

MAGIC: Final = "kg-port"
VERSION_MIN: Final = 1
VERSION_MAX: Final = 1

FRAME_BYTES_MAX: Final = 16 * 2**20
"""Bytes of a body that a side takes unless it says otherwise."""

OPTIONAL_TYPES: Final = 64
"""Frame types from here on may be unknown to the receiver, who then skips them."""

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
CallId: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)]
Nonce: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
Scalar: TypeAlias = str | int | float | bool | None
"""What a LOG field may be: nothing that nests."""


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """Worker's first frame: versions it speaks, its operations, what it accepts and grants."""

    version_min: Count
    version_max: Count
    magic: str
    pid: Count
    ops: tuple[str, ...]
    frame_bytes_max: Count
    credit: Count


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The host's answer: the version to use, what it accepts and grants, and settings."""

    version: Count
    frame_bytes_max: Count
    credit: Count
    settings: dict[str, Any]


class Call(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A request; `deadline_ms` is what is left of its time, 0 for no limit."""

    id: CallId
    op: str
    payload: bytes
    deadline_ms: Count


class Reply(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The answer to a call."""

    id: CallId
    payload: bytes


class Error(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The other answer to a call; `code` is for programs, `text` for people."""

    id: CallId
    code: str
    text: str
    retryable: bool


class Cast(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """A notice to the worker."""

    op: str
    payload: bytes


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """The caller has lost interest; an answer may still come, and is dropped."""

    id: CallId


class Credit(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """So many more frames of calls, casts or events may be sent."""

    frames: Count


class Ping(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """Are you there?"""

    nonce: Nonce


class Pong(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """Yes; with the nonce of the ping."""

    nonce: Nonce


class Log(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """A line for the host's log. Levels: 0 debug, 1 info, 2 warning, 3 error, 4 critical."""

    level: Annotated[int, msgspec.Meta(ge=0, le=4)]
    text: str
    fields: dict[str, Scalar]


class Drain(msgspec.Struct, frozen=True, array_like=True, tag=11):
    """Take no new work, finish what you have, say BYE and exit, within so many ms."""

    left_ms: Count


class Bye(msgspec.Struct, frozen=True, array_like=True, tag=12):
    """Worker's last frame."""

    code: int
    text: str


class Event(msgspec.Struct, frozen=True, array_like=True, tag=13):
    """A notice to the host; with `call`, one of the many results of that call in flight."""

    topic: str
    payload: bytes
    call: Count = 0


class _PlainEvent(msgspec.Struct, frozen=True, array_like=True, tag=13):
    """An event of no call, as it is written: without the element."""

    topic: str
    payload: bytes


Frame: TypeAlias = (
    Hello
    | Welcome
    | Call
    | Reply
    | Error
    | Cast
    | Cancel
    | Credit
    | Ping
    | Pong
    | Log
    | Drain
    | Bye
    | Event
)

_LENGTH: Final = Struct(">I")
LENGTH_BYTES: Final = _LENGTH.size
_length, _length_at = _LENGTH.pack, _LENGTH.unpack_from
_encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(Frame)


def encode(frame: Frame) -> bytes:
    """The bytes of `frame`, length and all, in the shortest form."""
    body = _encode(
        _PlainEvent(frame.topic, frame.payload)
        if type(frame) is Event and not frame.call
        else frame
    )
    return _length(len(body)) + body


def encode_call(call: int, op: str, payload: bytes, deadline_ms: int) -> bytes:
    """As `encode` of a `Call`, in half the time: without the frame between."""
    body = _encode((2, call, op, payload, deadline_ms))
    return _length(len(body)) + body


def encode_reply(call: int, payload: bytes) -> bytes:
    """As `encode` of a `Reply`."""
    body = _encode((3, call, payload))
    return _length(len(body)) + body


class Decoder:
    """Cuts a stream into frames, however it arrives in pieces.

    After an error it is of no more use: nobody can say where the next frame begins.
    """

    __slots__ = ("_have", "_need", "_pieces", "frame_bytes_max")

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self.frame_bytes_max = frame_bytes_max
        self._pieces: list[bytes] = []
        self._have = self._need = 0

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes; keeps no more than one incomplete frame.

        Raises:
            WireError: the bytes are not what the wire allows; the frames of this piece are lost.
        """
        if self._pieces:
            self._pieces.append(data)
            self._have += len(data)
            if self._have < self._need:
                return []
            data = b"".join(self._pieces)
            self._pieces = []
        frames: list[Frame] = []
        start, end, need = 0, len(data), LENGTH_BYTES
        limit, put, decode = self.frame_bytes_max, frames.append, _decoder.decode
        while end - start >= need:
            body = start + LENGTH_BYTES
            (length,) = _length_at(data, start)
            if not 1 <= length <= limit:
                raise _bad_length(length, limit)
            if end - body < length:
                need = LENGTH_BYTES + length
                break
            start = body + length
            try:
                put(decode(data[body:start]))
            except (msgspec.DecodeError, RecursionError) as error:
                _check_optional(data[body:start], error)
        if start < end:
            self._pieces = [data[start:]]
            self._have, self._need = end - start, need
        return frames

    def finish(self) -> None:
        """The stream ended.

        Raises:
            WireError: in the middle of a frame.
        """
        if self._pieces:
            raise WireError("truncated", f"the stream ends {self._have} bytes into a frame")


def _bad_length(length: int, limit: int) -> WireError:
    if length == 0:
        return WireError("bad_frame", "a frame has length 0: send at least its type")
    return WireError(
        "frame_too_big",
        f"a frame of {length} bytes is announced, and {limit} are accepted: "
        "send less at once, or raise frame_bytes_max",
    )


def _check_optional(body: bytes, error: Exception) -> None:
    """Refuse a frame that cannot be read, unless it may be unknown."""
    if _frame_type(body) < OPTIONAL_TYPES:
        raise WireError("bad_frame", f"a frame cannot be read: {error}") from error


def _frame_type(body: bytes) -> int:
    """The frame type, without a look at the rest; -1 if there is none."""
    head = {0xDC: 3, 0xDD: 5}.get(body[0], 1)
    if head == 1 and not 0x91 <= body[0] <= 0x9F:
        return -1
    first = body[head : head + 1]
    size = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}.get(first[0], 0) if first else 0
    if size:
        return int.from_bytes(body[head + 1 : head + 1 + size], "big")
    return first[0] if first and first[0] < 0x80 else -1

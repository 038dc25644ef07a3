"""What is asked of a worker process: typed messages, and how they become bytes.

Shared by the host and by workers in Python, so it imports nothing of the runtime's
machinery. A message class names its protocol, its reply type and its operation once:

    class Parse(Work[ParserApi, Certificate], frozen=True, tag=True):
        data: bytes

    certificate = await parser.call(Parse(data))

The operation on the wire is the class's name unless `op` says otherwise. Payloads are
MessagePack of the message and of the reply; `RawWork` leaves the bytes as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, get_args, get_origin

import msgspec

from keygrove_actors.messages import Call, CallFailure, Cast

P_co = TypeVar("P_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)
E_co = TypeVar("E_co", covariant=True)


class WorkFailure(CallFailure, frozen=True, tag=True):
    """The worker's answer is that it cannot: an expected failure, the worker lives on.

    `code` is for programs: `bad_request`, `unknown_op`, `overloaded`, `deadline`,
    `internal`, `cancelled`, or the worker's own. With `is_retryable` the same request may
    succeed later.
    """

    code: str
    text: str = ""
    is_retryable: bool = False


class Work(Call[P_co, R_co], Generic[P_co, R_co], frozen=True, tag=True):
    """A request to a worker of protocol `P_co`; the reply is an `R_co`."""

    errors: ClassVar[tuple[type[CallFailure], ...]] = (WorkFailure,)
    op: ClassVar[str] = ""


class RawWork(Work[P_co, bytes], Generic[P_co], frozen=True, tag=True):
    """A request whose payload and reply are bytes that nobody on the way looks into."""

    data: bytes


class Stream(Work[P_co, R_co], Generic[P_co, E_co, R_co], frozen=True, tag=True):
    """A request with many results of type `E_co`, and an `R_co` at their end.

    Sent by `stream`, which hands out the results while they come.
    """


class Note(Cast[P_co], frozen=True, tag=True):
    """A notice to a worker."""

    op: ClassVar[str] = ""


class Codec(NamedTuple):
    """How one kind of message travels."""

    op: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    encode_reply: Callable[[Any], bytes]
    decode_reply: Callable[[bytes], Any]
    decode_item: Callable[[bytes], Any]


_encode = msgspec.msgpack.Encoder().encode


def codec_of(kind: type[Any]) -> Codec:
    """How messages of `kind`, its replies and its results travel."""
    op: str = kind.op or kind.__name__
    if issubclass(kind, RawWork):
        return Codec(op, _raw_payload, kind, _same, _same, _same)
    reply, item = _result_types(kind)
    return Codec(
        op,
        _encode,
        msgspec.msgpack.Decoder(kind).decode,
        _encode,
        msgspec.msgpack.Decoder(reply).decode,
        msgspec.msgpack.Decoder(item).decode,
    )


def _raw_payload(message: RawWork[Any]) -> bytes:
    return message.data


def _same(payload: bytes) -> bytes:
    return payload


def _result_types(kind: type[Any]) -> tuple[Any, Any]:
    """Types of the reply and of a stream's results, as the class names them; else anything."""
    for base in kind.__mro__:
        for generic in vars(base).get("__orig_bases__", ()):
            match get_origin(generic), get_args(generic):
                case origin, (_, item, reply) if origin is Stream:
                    return _known(reply), _known(item)
                case origin, (_, reply) if origin is Work:
                    return _known(reply), Any
                case _:
                    pass
    return Any, Any


def _known(kind: Any) -> Any:
    return Any if isinstance(kind, TypeVar) else kind

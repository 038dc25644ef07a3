"""What must hold of any octets that a partner of recon may send, and where mutations start from.

An input is tried as each of them: as what comes over a connection, as the inside of one message,
and as a body of /pks/hashquery.
"""

from collections.abc import Callable, Iterable
from functools import cache
from itertools import product
from random import Random
from typing import TypeVar

import msgspec

from keygrove_bench.fuzz.law import LawError, same
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.frames import Decoder
from keygrove_protocols.recon.handshake import Agreed, Handshake, Own, Role
from keygrove_protocols.recon.hashquery import (
    BATCH,
    ResponseDecoder,
    decode_request,
    encode_request,
    encode_response,
)
from keygrove_protocols.recon.messages import (
    Elements,
    FullElements,
    FullRequest,
    Message,
    decode,
    encode,
    string,
)
from keygrove_protocols.recon.rateless import (
    RatelessAcceptor,
    RatelessInitiator,
    Shown,
    session_of,
)
from keygrove_protocols.recon.session import Session, SessionLimits
from keygrove_protocols.recon.sketch import Sketch
from keygrove_protocols.recon.terms import PLAIN, RATELESS
from keygrove_protocols.recon.tree import Tree

OWN = Own(http_port=11371, identity=b"ours")
HELD = 200
LIMITS = SessionLimits(learned_max=50, given_max=300)
_ONE_BY_ONE = 512
"""Octets: the others come in pieces of so many."""
T = TypeVar("T")


class _Hex(msgspec.Struct):
    hex: str


class _Talk(msgspec.Struct):
    initiator_to_acceptor_hex: str
    acceptor_to_initiator_hex: str


class _Answer(msgspec.Struct):
    request_hex: str
    response_hex: str


class _Fetched(msgspec.Struct):
    server: list[_Answer]


class _Recorded(msgspec.Struct):
    sessions: list[_Talk]
    messages: list[_Hex]
    malformed: list[_Hex]
    hashquery: _Fetched


def seeds_of(recorded: bytes) -> list[bytes]:
    """From `tests/vectors/recon.json`: whole conversations, messages and bodies, each once.

    And a conversation of two Keygroves, which no others have.
    """
    found = msgspec.json.decode(recorded, type=_Recorded)
    talks = [
        octets
        for talk in found.sessions
        for octets in (talk.initiator_to_acceptor_hex, talk.acceptor_to_initiator_hex)
    ]
    whole = [*talks, *(one.hex for one in (*found.messages, *found.malformed))]
    http = [one for answer in found.hashquery.server for one in msgspec.structs.astuple(answer)]
    bodies = [bytes.fromhex(one).partition(b"\r\n\r\n")[2] for one in http]
    return list(dict.fromkeys((*map(bytes.fromhex, whole), *bodies, *_rateless_talk())))


def _rateless_talk() -> tuple[bytes, bytes]:
    """What each of two Keygroves says in a whole session: no others speak so."""
    chance = Random(2)
    digests = {Digest(chance.randbytes(16)) for _ in range(HELD)}
    connections = Decoder(), Decoder()
    for connection in connections:
        connection.admit_all()
    asks = RatelessAcceptor(Shown(Tree(digests), Sketch(digests)), connections[0])
    answers = RatelessInitiator(_shown(), connections[1])
    asked, answered = asks.take(), b""
    heard, said = asked, b""
    while heard:
        said = _said(answers, heard)
        heard = _said(asks, said)
        asked, answered = asked + heard, answered + said
    return asked, answered


def _said(session: Session, octets: bytes) -> bytes:
    session.receive(octets)
    while session.advance():
        pass
    return session.take()


def check(data: bytes) -> None:
    """See that the laws of recon's octets hold of an input.

    Raises:
        LawError: one does not hold.
        Exception: whatever escaped where nothing may.
    """
    _check_message(data)
    pieces = _pieces(data)
    same("messages in pieces", _messages(pieces), _messages([data]))
    same("a response in pieces", _certificates(pieces), _certificates([data]))
    _check_response(data)
    for role, way in product(Role, (PLAIN, RATELESS)):
        _converse(role, way, data)
    asked = _tried(lambda: decode_request(data))
    if asked is not None:
        same("a request", decode_request(encode_request(asked)), asked)


def _check_message(data: bytes) -> None:
    message = _tried(lambda: decode(data))
    if message is None:
        return
    if not (isinstance(message, Elements | FullElements | FullRequest) and message.left_out):
        same("a message is written as it was read", encode(message), string(data))


def _pieces(data: bytes) -> list[bytes]:
    starts = (*range(min(len(data), _ONE_BY_ONE)), *range(_ONE_BY_ONE, len(data), _ONE_BY_ONE))
    ends = (*starts[1:], len(data))
    return [data[start:end] for start, end in zip(starts, ends, strict=False)]


def _messages(pieces: Iterable[bytes]) -> tuple[list[Message], str]:
    """Those of a connection, and how it ended."""
    decoder, found = Decoder(), list[Message]()
    decoder.admit_all()
    try:
        for piece in pieces:
            decoder.feed(piece)
            while (message := decoder.message()) is not None:
                found.append(message)
    except ProtocolError as error:
        return found, error.code
    return found, ""


def _certificates(pieces: Iterable[bytes]) -> tuple[list[bytes], str]:
    decoder, found = ResponseDecoder(BATCH), list[bytes]()
    try:
        for piece in pieces:
            found += decoder.feed(piece)
        decoder.close()
    except ProtocolError as error:
        return found, error.code
    return found, ""


def _check_response(data: bytes) -> None:
    certificates, _ = _certificates([data])
    again = _certificates([encode_response(certificates)])
    same("certificates come as they went", again, (certificates, ""))


def _converse(role: Role, way: str, data: bytes) -> None:
    """With who says this, from the beginning; and without a handshake, if there is none in it."""
    handshake = Handshake(role, OWN)
    handshake.receive(data)
    handshake.closed()
    decoder = handshake.decoder
    if not isinstance(handshake.outcome, Agreed):
        decoder = Decoder()
        decoder.admit_all()
        decoder.feed(data)
    session = session_of(role, way, _shown(), decoder, LIMITS)
    while session.advance():
        session.take()
    session.closed()
    if handshake.outcome is None or session.end is None:
        raise LawError("whoever closes ends it")
    if session.statistics.given > LIMITS.given_max or len(session.learned) > LIMITS.learned_max:
        raise LawError("limits")


@cache
def _shown() -> Shown:
    random = Random(1)
    digests = {Digest(random.randbytes(16)) for _ in range(HELD)}
    return Shown(Tree(digests), Sketch(digests))


def _tried(call: Callable[[], T]) -> T | None:
    try:
        return call()
    except ProtocolError:
        return None

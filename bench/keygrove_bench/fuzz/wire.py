"""What must hold of any octets that a partner of recon may send, and where mutations start from.

An input is tried as each of them: as what comes over a connection, as the inside of one message,
as a verdict, as a body of /pks/hashquery; and as a dumped tree, which comes from a disk.
"""

import hashlib
from collections.abc import Callable, Iterable
from functools import cache
from itertools import product
from random import Random
from typing import TypeVar

import msgspec

from keygrove_bench.fuzz.law import LawError, same
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.comparer import Comparer
from keygrove_protocols.recon.dump import SUM_BYTES, dump, load
from keygrove_protocols.recon.frames import Decoder, encode_verdict
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

    And a conversation of two Keygroves, and a dump, which no others have.
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
    return list(dict.fromkeys((*map(bytes.fromhex, whole), *bodies, *_rateless_talk(), _dumped())))


def _dumped() -> bytes:
    chance = Random(3)
    return b"".join(dump(Tree({Digest(chance.randbytes(16)) for _ in range(60)}), b"state"))


def _rateless_talk() -> tuple[bytes, bytes]:
    """What each of two Keygroves says in a whole session: no others speak so."""
    chance = Random(2)
    digests = {Digest(chance.randbytes(16)) for _ in range(HELD)}
    asks = RatelessAcceptor(Shown(Tree(digests), Sketch(digests)), _connection(b""))
    answers = RatelessInitiator(_shown(), _connection(b""))
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
    _check_verdict(data)
    _check_dump(data)
    _check_dump(with_checksum(data))
    pieces = _pieces(data)
    same("messages in pieces", _messages(pieces), _messages([data]))
    same("a response in pieces", _certificates(pieces), _certificates([data]))
    _check_response(data)
    for role, way in product(Role, (PLAIN, RATELESS)):
        _converse(role, way, data)
    _compare(data)
    asked = _tried(lambda: decode_request(data))
    if asked is not None:
        same("a request", decode_request(encode_request(asked)), asked)


def with_checksum(data: bytes) -> bytes:
    """What is to be a dump, with the checksum that it should have: mutations have it seldom."""
    octets = data[:-SUM_BYTES]
    return octets + hashlib.blake2b(octets, digest_size=SUM_BYTES).digest()


def _check_message(data: bytes) -> None:
    message = _tried(lambda: decode(data))
    if message is None:
        return
    if not (isinstance(message, Elements | FullElements | FullRequest) and message.left_out):
        same("a message is written as it was read", encode(message), string(data))


def _check_verdict(data: bytes) -> None:
    decoder = Decoder()
    decoder.feed(data)
    verdict = _tried(decoder.verdict)
    if verdict is not None:
        written = encode_verdict(verdict)
        same("a verdict is written as it was read", written + decoder.rest(), data)


def _check_dump(data: bytes) -> None:
    loaded = _tried(lambda: load([data]))
    if loaded is not None:
        again = b"".join(dump(loaded.tree, loaded.state))
        same("a tree is dumped as it was loaded", again, data)


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
    if handshake.outcome is None:
        raise LawError("whoever closes ends the handshake")
    decoder = handshake.decoder
    if not isinstance(handshake.outcome, Agreed):
        decoder = _connection(data)
    _hold(session_of(role, way, _shown(), decoder, LIMITS))


def _compare(data: bytes) -> None:
    """The partner is told nothing, whatever it asks."""
    session = Comparer(_shown().view, _connection(data), LIMITS)
    said = _connection(_hold(session))
    while (message := said.message()) is not None:
        if isinstance(message, Elements) and message.digests:
            raise LawError("who only compares tells nothing")


def _connection(data: bytes) -> Decoder:
    """One after its handshake, over which this came."""
    decoder = Decoder()
    decoder.admit_all()
    decoder.feed(data)
    return decoder


def _hold(session: Session) -> bytes:
    """A session with who says what its decoder has, and closes; what it says to that."""
    said = b""
    while session.advance():
        said += session.take()
    said += session.take()
    session.closed()
    if session.end is None:
        raise LawError("whoever closes ends a session")
    if session.statistics.given > LIMITS.given_max or len(session.learned) > LIMITS.learned_max:
        raise LawError("limits")
    return said


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

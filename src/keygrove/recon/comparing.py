"""What differs between a set of ours and what a partner has, from which nobody fetches anything.

We connect, so the partner asks, and is told nothing: see `recon.comparer`. It has an HTTP port of
ours that nobody can be at, should it try to fetch all the same.
"""

from typing import Final

import anyio
import anyio.lowlevel
import msgspec

from keygrove.errors import ConnectionLostError, ExchangeError, NotComparedError
from keygrove.ports import ByteStream, Streams
from keygrove.recon.advice import advice_on
from keygrove.recon.conversation import SESSION_S, Patience, send, shake_hands
from keygrove.recon.hosts import joined
from keygrove.recon.peer import CONNECT_S
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.comparer import Comparer
from keygrove_protocols.recon.frames import Decoder
from keygrove_protocols.recon.handshake import (
    INITIATOR_WAITS_S,
    Agreed,
    Handshake,
    Own,
    Refused,
    Role,
)
from keygrove_protocols.recon.session import End, Ending, SessionLimits, Statistics
from keygrove_protocols.recon.terms import Terms
from keygrove_protocols.recon.view import View

NO_HTTP_PORT: Final = 0
LIMITS: Final = SessionLimits()


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to compare with.

    Args:
        bind: the address to connect from; empty: any.
        filters: that it is to see; None: its own.
    """

    host: str
    port: int
    bind: str = ""
    filters: str | None = None

    def __str__(self) -> str:
        """Its address."""
        return joined(self.host, self.port)


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What differs, as far as it is known.

    Args:
        theirs: what only the partner has, as it claims.
        ours: what only we have.
        has_all_of_theirs: nothing that only it has is missing from `theirs`.
    """

    terms: Terms
    end: End
    theirs: frozenset[Digest]
    ours: frozenset[Digest]
    has_all_of_theirs: bool
    has_all_of_ours: bool
    statistics: Statistics


async def compare(streams: Streams, target: Target, view: View, identity: bytes) -> Compared:
    """Have a session with the target, in which a set of ours is held against its.

    Args:
        identity: octets that no server has.

    Raises:
        NotComparedError: there was none.
    """
    stream = await _connected(streams, target)
    try:
        own = Own(
            http_port=NO_HTTP_PORT,
            identity=identity,
            pinned=None if target.filters is None else target.filters.encode(),
        )
        handshake = Handshake(Role.INITIATOR, own)
        agreed = await shake_hands(stream, handshake, INITIATOR_WAITS_S)
        if isinstance(agreed, Refused):
            raise NotComparedError(str(target), _why(agreed), advice_on(agreed.refusal))
        return await _talk(stream, agreed, view, handshake.decoder.rest())
    finally:
        await stream.aclose()


async def _connected(streams: Streams, target: Target) -> ByteStream:
    advice = "see whether its address is right, it runs, and nothing between keeps us from it"
    try:
        with anyio.fail_after(CONNECT_S):
            return await streams.connect(target.host, target.port, bind=target.bind)
    except TimeoutError as error:
        why = f"no connection within {CONNECT_S:g} s"
        raise NotComparedError(str(target), why, advice) from error
    except ExchangeError as error:
        raise NotComparedError(str(target), str(error), advice) from error


def _why(refused: Refused) -> str:
    return f"it refuses: {refused.text}" if refused.is_theirs else refused.text


async def _talk(stream: ByteStream, agreed: Agreed, view: View, octets: bytes) -> Compared:
    decoder = Decoder()
    decoder.admit_all()
    session = Comparer(view, decoder, LIMITS)
    end = End(Ending.LIMIT, f"it took longer than {SESSION_S:g} s")
    try:
        with anyio.move_on_after(SESSION_S):
            end = await _answer(stream, session, octets)
    except ConnectionLostError as error:
        end = session.end or End(Ending.CLOSED, str(error))
    return _compared(agreed, session, end)


async def _answer(stream: ByteStream, session: Comparer, octets: bytes) -> End:
    """Until either is done."""
    patience = Patience()
    read = octets or await patience.receive(stream)
    while read is not None:
        session.receive(read)
        while session.advance():
            await anyio.lowlevel.checkpoint()
        if not read:
            session.closed()
        await send(stream, session.take())
        if session.end is not None:
            return session.end
        read = await patience.receive(stream)
    return End(Ending.CLOSED, patience.lost)


def _compared(agreed: Agreed, session: Comparer, end: End) -> Compared:
    is_whole = session.is_whole and end.ending is not Ending.LIMIT
    return Compared(
        terms=agreed.partner,
        end=end,
        theirs=frozenset(session.learned),
        ours=frozenset(session.given),
        has_all_of_theirs=is_whole,
        has_all_of_ours=is_whole and len(session.given) < LIMITS.given_max,
        statistics=session.statistics,
    )

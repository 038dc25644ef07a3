"""One conversation with a partner over one connection: the handshake, and the session.

Nothing here waits without end: each read and each write has its deadline, and so has the whole.
What was learned counts, however it ended.
"""

from contextlib import suppress
from typing import Final

import anyio
import msgspec

from keygrove.errors import ConnectionLostError
from keygrove.ports import ByteStream
from keygrove.recon.messages import CloseSession, Ended, Feed, Opened, OpenSession, PrefixApi
from keygrove_actors import CallTimeout, Ref
from keygrove_protocols.recon.handshake import Agreed, Handshake, Refused
from keygrove_protocols.recon.session import End, Ending

HANDSHAKE_S: Final = 45.0
"""As SKS has it."""
READ_S: Final = 30.0
"""SKS answers a batch when it has solved all of it: seconds. Who says nothing for so long is gone,
and is not to keep us from the next session."""
SPELL_S: Final = 120.0
LEAST_RATE: Final = 100
"""Octets a second that a partner has to send while it is waited for, but for a spell in which it
computes, or its line fails: else an octet now and then would hold a session until its end."""
WRITE_S: Final = 60.0
"""For whoever takes nothing of what is sent."""
SESSION_S: Final = 3_600.0
"""As SKS has it. The rest comes in the next session."""
STEP_S: Final = 60.0
"""For the owner of the tree, which has other sessions, too."""


async def shake_hands(
    stream: ByteStream, handshake: Handshake, config_s: float
) -> Agreed | Refused:
    """Come to terms, or not. Our config waits for the partner's so long at most."""
    ends_at = anyio.current_time() + HANDSHAKE_S
    waits_until = anyio.current_time() + config_s
    while handshake.outcome is None:
        try:
            await send(stream, handshake.take())
            until = min(waits_until, ends_at) if handshake.awaits_config else ends_at
            octets = await receive(stream, until)
        except ConnectionLostError:
            handshake.closed()
        else:
            _pass_on(handshake, octets)
    try:
        await send(stream, handshake.take())  # a verdict, of which it may learn why
    except ConnectionLostError:
        if isinstance(handshake.outcome, Agreed):
            handshake.closed()
    return handshake.outcome


def _pass_on(handshake: Handshake, octets: bytes | None) -> None:
    if octets is None:
        handshake.timed_out()
    elif octets:
        handshake.receive(octets)
    else:
        handshake.closed()


async def hold_session(
    stream: ByteStream, prefix: Ref[PrefixApi], opening: OpenSession, octets: bytes
) -> Ended:
    """Let the owner of the tree talk to the partner until either is done.

    Args:
        octets: that came behind the handshake.

    Raises:
        ActorError: the owner of the tree has none to show, or was restarted meanwhile.
    """
    opened = await prefix.call(opening, timeout=STEP_S)
    with anyio.move_on_after(SESSION_S):
        try:
            return await _talk(stream, prefix, opened, octets)
        except ConnectionLostError as error:
            return await _leave(prefix, opened, End(Ending.CLOSED, str(error)))
        except CallTimeout:
            why = f"the owner of the tree did not answer for {STEP_S:g} s"
            return await _leave(prefix, opened, End(Ending.CLOSED, why))
    end = End(Ending.LIMIT, f"it took longer than {SESSION_S:g} s")
    return await _leave(prefix, opened, end)


async def _talk(stream: ByteStream, prefix: Ref[PrefixApi], opened: Opened, octets: bytes) -> Ended:
    await send(stream, opened.octets)
    patience = Patience()
    read = octets or await patience.receive(stream)
    while read is not None:
        step = await prefix.call(Feed(opened.session, read), timeout=STEP_S)
        if step.ended is not None:
            with suppress(ConnectionLostError):  # whether it hears of the end is its own matter
                await send(stream, step.octets)
            return step.ended
        await send(stream, step.octets)
        read = await patience.receive(stream)
    return await _leave(prefix, opened, End(Ending.CLOSED, patience.lost))


async def _leave(prefix: Ref[PrefixApi], opened: Opened, end: End) -> Ended:
    """Break it off, for a reason that the owner of the tree does not know."""
    ended = await prefix.call(CloseSession(opened.session), timeout=STEP_S)
    return msgspec.structs.replace(ended, end=end)


class Patience:
    """How long a partner is waited for within one session."""

    def __init__(self) -> None:
        self._left_s = SPELL_S
        self.lost = ""
        """Why it is not waited for any more; empty as long as it is."""

    async def receive(self, stream: ByteStream) -> bytes | None:
        """What comes next; None: it is not waited for any more.

        Raises:
            ConnectionLostError: it is broken.
        """
        begun = anyio.current_time()
        octets = await receive(stream, begun + min(READ_S, self._left_s))
        if octets is not None:
            waited_s = anyio.current_time() - begun
            self._left_s = min(self._left_s - waited_s + len(octets) / LEAST_RATE, SPELL_S)
        elif self._left_s < READ_S:
            self.lost = f"it said less than {LEAST_RATE} octets a second for {SPELL_S:g} s"
        else:
            self.lost = f"it said nothing for {READ_S:g} s"
        return octets


async def send(stream: ByteStream, octets: bytes) -> None:
    """Write all of it with a single write (recon.md, T3).

    Raises:
        ConnectionLostError: it is broken, or nothing is taken for too long.
    """
    if not octets:
        return
    with anyio.move_on_after(WRITE_S) as scope:
        await stream.send(octets)
    if scope.cancelled_caught:
        raise ConnectionLostError(f"it took nothing of what was sent for {WRITE_S:g} s")


async def receive(stream: ByteStream, until: float) -> bytes | None:
    """What comes next; None: nothing came until then.

    Raises:
        ConnectionLostError: it is broken.
    """
    with anyio.move_on_at(until):
        return await stream.receive()
    return None

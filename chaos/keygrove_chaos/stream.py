"""A simulated stream of bytes, as anyio's streams are."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import anyio.abc
import anyio.lowlevel

from keygrove_chaos.tcp import BUFFER_BYTES, End, Trouble, Wire


class Stream(anyio.abc.ByteStream):
    """See `anyio.abc.ByteStream`, on any event loop. Only one task at a time may read or write.

    What one `send` writes may come in several pieces; pieces are never joined.
    """

    def __init__(
        self,
        wire: Wire,
        flow: int,
        *,
        is_opener: bool,
        opened: Callable[[Stream], None] | None = None,
        peer: str = "",
    ) -> None:
        """Make a stream that is not open yet; `opened` is called once when it is."""
        self.flow = flow
        self.peer = peer
        """The host at the other end."""
        self.end = End(wire, flow, is_opener=is_opener, changed=self._changed)
        self._opened = opened
        self._has_sent_eof = False
        self._reader: anyio.Event | None = None
        self._writer: anyio.Event | None = None

    async def open(self) -> None:
        """Begin, and wait until the peer has answered.

        Raises:
            ConnectionRefusedError: nobody listens, or something in between refuses.
            TimeoutError: nothing came back for two minutes.
        """
        self.end.open()
        try:
            while not self.end.is_open and self.end.trouble is None:
                await self._until_writable()
        except BaseException:
            # whatever ended the waiting
            self.end.abort()
            raise
        if self.end.trouble is Trouble.SILENCE:
            raise TimeoutError("no answer to opening a stream: see whether the host is reachable")
        if self.end.trouble is not None:
            raise ConnectionRefusedError("refused: see whether somebody listens there")

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        """See `anyio.abc.ByteReceiveStream`."""
        await anyio.lowlevel.checkpoint()
        while not self.end.readable():
            self._check_open()
            if self.end.has_ended:
                raise anyio.EndOfStream
            self._check_whole()
            if self._reader is not None:
                raise anyio.BusyResourceError("reading from")
            self._reader = anyio.Event()
            try:
                await self._reader.wait()
            finally:
                self._reader = None
        self._check_open()
        return self.end.read(max_bytes)

    async def send(self, item: bytes) -> None:
        """See `anyio.abc.ByteSendStream`: waits while the buffer is full."""
        await anyio.lowlevel.checkpoint()
        rest = memoryview(item)
        while True:
            self._check_open()
            if self._has_sent_eof:
                raise anyio.ClosedResourceError
            self._check_whole()
            size = min(self.end.space(), len(rest))
            self.end.write(rest[:size])
            rest = rest[size:]
            if not rest:
                return
            await self._until_writable()

    async def send_eof(self) -> None:
        """See `anyio.abc.ByteStream`."""
        await anyio.lowlevel.checkpoint()
        self._check_open()
        self._has_sent_eof = True
        self.end.finish()

    async def aclose(self) -> None:
        """See `anyio.abc.AsyncResource`; what was written is still sent."""
        if not self.end.is_closed:
            self.end.close()
        await anyio.lowlevel.checkpoint()

    def abort(self) -> None:
        """Reset the stream, as a process that dies with octets unread does."""
        self.end.abort()

    def _check_open(self) -> None:
        if self.end.is_closed:
            raise anyio.ClosedResourceError

    def _check_whole(self) -> None:
        if self.end.trouble is not None:
            raise anyio.BrokenResourceError

    async def _until_writable(self) -> None:
        if self._writer is not None:
            raise anyio.BusyResourceError("writing to")
        self._writer = anyio.Event()
        try:
            await self._writer.wait()
        finally:
            self._writer = None

    def _changed(self) -> None:
        end = self.end
        is_over = end.trouble is not None or end.is_closed
        if self._reader is not None and (is_over or end.readable() or end.has_ended):
            self._reader.set()
        # As Linux: a writer wakes when a third is free, not for each packet.
        if self._writer is not None and (
            is_over or (end.is_open and end.space() >= BUFFER_BYTES // 3)
        ):
            self._writer.set()
        if self._opened is not None and end.is_open:
            opened, self._opened = self._opened, None
            opened(self)

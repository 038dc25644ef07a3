"""The host's end of a worker that runs in a thread of the test: frames out, frames in."""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Thread

from keygrove_actors import port_wire as wire

PATIENCE_S = 10.0
"""A worker that has not answered by then never will."""
WELCOME = wire.Welcome(1, wire.FRAME_BYTES_MAX, 8, {"size": 3})


class Host:
    """Speaks to one worker."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.connection.settimeout(PATIENCE_S)
        self._decoder = wire.Decoder()
        self._frames: list[wire.Frame] = []

    def send(self, *frames: wire.Frame) -> None:
        """All at once: the worker finds them together."""
        self.connection.sendall(b"".join(map(wire.encode, frames)))

    def take(self) -> wire.Frame:
        """The next frame; `EOFError` if the worker has closed its end."""
        while not self._frames:
            data = self.connection.recv(65536)
            if not data:
                raise EOFError
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    def rest(self) -> list[wire.Frame]:
        """All frames until the worker closes its end."""
        found: list[wire.Frame] = []
        while True:
            try:
                found.append(self.take())
            except EOFError:
                return found

    def leave(self) -> None:
        """Be gone."""
        self.connection.shutdown(socket.SHUT_WR)


class ThreadHost(Host):
    """Speaks to a worker that is a thread of this process."""

    def __init__(self, serve: Callable[[int], None]) -> None:
        ours, theirs = socket.socketpair()
        super().__init__(ours)
        self._ends: list[BaseException | None] = []
        self._thread = Thread(target=self._run, args=(serve, theirs.detach()))
        self._thread.start()

    def _run(self, serve: Callable[[int], None], fd: int) -> None:
        try:
            serve(fd)
            self._ends.append(None)
        except BaseException as error:  # noqa: BLE001 - for the test to look at
            self._ends.append(error)

    def end(self) -> BaseException | None:
        """What the worker ended by, once it has; None if it just returned."""
        self._thread.join(PATIENCE_S)
        (end,) = self._ends
        return end


@contextmanager
def hosting(serve: Callable[[int], None]) -> Generator[ThreadHost, None, None]:
    """`serve` on one end of a pair of sockets; the block has the other, and ends the worker."""
    host = ThreadHost(serve)
    with host.connection:
        try:
            yield host
        finally:
            host.connection.shutdown(socket.SHUT_RDWR)
            host.end()

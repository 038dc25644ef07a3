"""A relay between two programs that cuts connections in the middle of what is said."""

import socket
from contextlib import suppress
from threading import Lock, Thread
from typing import Final

from tests.interop.recon.accepting import Accepting

PIECE: Final = 1 << 16


class Relay(Accepting):
    """Takes connections on a port of its own, and passes on what comes, until it cuts."""

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._cuts: list[int] = []
        self._lock = Lock()
        super().__init__()

    def cut_after(self, *octets: int) -> None:
        """Cut some of the next connections, each after so many octets of whom it leads to."""
        with self._lock:
            self._cuts = list(octets)

    @property
    def is_done(self) -> bool:
        """Whether all was cut that was to be."""
        return not self._cuts

    def serve(self, connection: socket.socket) -> None:
        """See `Accepting`."""
        try:
            far = socket.create_connection(self._target)
        except OSError:
            connection.close()
            return
        with self._lock:
            left = self._cuts[0] if self._cuts else None
        onward = Thread(target=self._pass_on, args=(connection, far, None), daemon=True)
        onward.start()
        self._pass_on(far, connection, left)
        onward.join()
        connection.close()
        far.close()

    def _pass_on(self, source: socket.socket, sink: socket.socket, left: int | None) -> None:
        with suppress(OSError):
            while octets := source.recv(PIECE):
                sink.sendall(octets[:left])
                if left is not None:
                    left -= len(octets)
                    if left <= 0:
                        self._break(source, sink)
                        return
            sink.shutdown(socket.SHUT_WR)

    def _break(self, *both: socket.socket) -> None:
        with self._lock:
            self._cuts.pop(0)
        for one in both:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

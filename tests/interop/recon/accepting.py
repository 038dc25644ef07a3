"""A listener whose connections each have a thread."""

import socket
from abc import ABC, abstractmethod
from contextlib import suppress
from threading import Thread


class Accepting(ABC):
    """Takes connections on loopback until it is closed."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """Take no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                Thread(target=self.serve, args=(connection,), daemon=True).start()

    @abstractmethod
    def serve(self, connection: socket.socket) -> None:
        """Have one, and close it."""

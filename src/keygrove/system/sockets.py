"""Listening sockets. They outlive the listeners that accept from them: clients just wait."""

import os
import socket
from pathlib import Path

from keygrove.errors import ListenError
from keygrove.recon.hosts import divided, joined

BACKLOG = 1024


class SocketEndpoint:
    """See `ports.Endpoint`: a bound, listening socket."""

    def __init__(self, listening: socket.socket, address: str) -> None:
        self._socket = listening
        self._address = address

    @property
    def address(self) -> str:
        """See `ports.Endpoint`."""
        return self._address

    def duplicate(self) -> socket.socket:
        """A socket for one server to accept from and to close."""
        return self._socket.dup()

    def close(self) -> None:
        """Refuse connections from now on."""
        self._socket.close()


def listen(address: str, key: str) -> SocketEndpoint:
    """Take the TCP address HOST:PORT, which the setting `key` names.

    Raises:
        ListenError: it cannot be had.
    """
    host, port = divided(address)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        raise ListenError(address, key, _why(error)) from error
    listening.setblocking(False)
    host, port = listening.getsockname()[:2]
    return SocketEndpoint(listening, joined(host, port))


def listen_unix(path: Path) -> SocketEndpoint:
    """Take a Unix socket that only our own user may reach, replacing a stale one.

    Raises:
        ListenError: it cannot be made.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            with short_path(path) as name:
                listening.bind(name)
        finally:
            os.umask(mask)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise ListenError(str(path), "data_dir", _why(error)) from error
    listening.setblocking(False)
    return SocketEndpoint(listening, str(path))


class short_path:  # noqa: N801 - used as a function would be
    """A name for `path` that fits into a socket address (107 octets), while the block runs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = -1

    def __enter__(self) -> str:
        self._folder = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._folder}/{self._path.name}"

    def __exit__(self, *_: object) -> None:
        os.close(self._folder)


def _why(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "no host has such a name"
    if isinstance(error, socket.gaierror):
        return f"no such host ({error.strerror})"
    return os.strerror(error.errno) if error.errno else str(error)

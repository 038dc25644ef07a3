"""Ports for programs that cannot be told to take any."""

import socket
from contextlib import ExitStack


def free_ports(count: int) -> list[int]:
    """So many that nobody has, at this moment."""
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]

"""The pipes between a port and its worker: one for the wire, one for each printed stream."""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import ExitStack
from typing import NamedTuple


class Ends(NamedTuple):
    """The worker's ends of its pipes."""

    wire: int
    stdout: int
    stderr: int


class Pipes:
    """The host's ends, and the worker's until it has them."""

    __slots__ = ("_theirs", "ends", "stderr", "stdout", "wire")

    def __init__(self) -> None:
        with ExitStack() as failed:
            self.wire, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            failed.callback(self.wire.close)
            with other:
                wire = _high(other.fileno())
            failed.callback(os.close, wire)
            self.stdout, stdout = _pipe(failed)
            self.stderr, stderr = _pipe(failed)
            failed.pop_all()
        self.wire.setblocking(False)
        self.ends = Ends(wire, stdout, stderr)
        self._theirs = True

    def hand_over(self) -> None:
        """Close the worker's ends here: it has its own now, or never will."""
        if self._theirs:
            self._theirs = False
            for fd in self.ends:
                os.close(fd)

    def close(self) -> None:
        """Close everything."""
        self.hand_over()
        self.wire.close()
        os.close(self.stdout)
        os.close(self.stderr)


def _high(fd: int) -> int:
    """A copy of `fd` above all numbers a worker uses, so that placing one hides no other."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)


def _pipe(failed: ExitStack) -> tuple[int, int]:
    ours, other = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    failed.callback(os.close, ours)
    os.set_blocking(other, True)
    theirs = _high(other)
    os.close(other)
    failed.callback(os.close, theirs)
    return ours, theirs

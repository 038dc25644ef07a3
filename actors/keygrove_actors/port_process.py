"""One OS process and its three pipes, as the port sees them.

What a port needs of a process is `Process`, what it hears of one is `Sink`; `Launch`
makes one. Here is the form with real processes: `port_spawn` starts them cold,
`zygote_actor` forks them from a warm one. `port_fake` runs them in memory.

Deaths are seen through pidfds: no handler for SIGCHLD, and no pid that is taken again by
another process.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Final, NamedTuple, Protocol, TypeAlias

import anyio

from keygrove_actors.ctx import Ctx
from keygrove_actors.descendants import end_descendants
from keygrove_actors.port_pipes import Pipes
from keygrove_actors.port_spec import PortSpec
from keygrove_actors.port_watch import Watch

READ_BYTES: Final = 64 * 1024
DRAIN_READS_MAX: Final = 64
"""Reads from a dead worker's stream: its descendants may hold the other end, and write on."""
FDS_MAX: Final = 4
DEATH_S: Final = 1.0
"""How long a killed process is waited for; only one stuck in the kernel takes longer."""


class Exit(NamedTuple):
    """How a process ended: by `code`, or by a signal if that is not 0."""

    code: int
    signal: int = 0


class Sink(Protocol):
    """Whoever must hear of a process."""

    def received(self, data: bytes, fds: tuple[int, ...]) -> None:
        """Bytes of the wire came, perhaps with open files; none at all: the stream ended."""
        ...

    def relieved(self) -> None:
        """It took all that had been written."""
        ...

    def printed(self, stream: str, data: bytes) -> None:
        """It wrote to `stdout` or `stderr`."""
        ...

    def ended(self, how: Exit) -> None:
        """It is dead, and all it had written was handed over before."""
        ...


class Process(Protocol):
    """A worker, from outside."""

    @property
    def pid(self) -> int:
        """Its number, for people."""
        ...

    @property
    def backlog(self) -> int:
        """Bytes written to it that it has not taken yet."""
        ...

    def memory_bytes(self) -> int:
        """How much memory it holds; 0 if that is not known."""
        ...

    def write(self, data: bytes) -> None:
        """Send bytes of the wire; never waits."""
        ...

    def signal(self, number: int) -> None:
        """Send a signal; harmless once it is dead."""
        ...


Launch: TypeAlias = Callable[[Ctx, PortSpec, Sink], AbstractAsyncContextManager[Process]]
"""Starts a process for a port; leaving the block ends it, whatever it does."""


class Fate(Protocol):
    """Whoever can say how a dead worker ended: its parent."""

    def ask(self, tell: Callable[[Exit], None]) -> None:
        """Have `tell` called once, when it is known."""
        ...


class Birth(NamedTuple):
    """A process just started: its number, its pidfd, who knows its fate, its mark."""

    pid: int
    pidfd: int
    fate: Fate
    mark: str


class OsProcess:
    """A worker that is a process of this machine."""

    __slots__ = (
        "_ctx", "_fate", "_is_dead", "_is_told", "_mark", "_pidfd", "_pipes", "_queue", "_sink",
        "_takes_fds",
        "_watches", "_writer", "backlog", "pid",
    )  # fmt: skip

    def __init__(
        self, ctx: Ctx, sink: Sink, pipes: Pipes, born: Birth, *, takes_fds: bool = False
    ) -> None:
        self.pid, self._pidfd, self._fate, self._mark = born
        self._takes_fds = takes_fds
        self.backlog = 0
        self._ctx = ctx
        self._sink = sink
        self._pipes = pipes
        self._queue: list[bytes] = []
        self._is_dead = self._is_told = False
        self._writer: Watch | None = None
        self._watches = [
            Watch(ctx, pipes.wire.fileno(), self._readable),
            Watch(ctx, pipes.stdout, partial(self._read_lines, "stdout", pipes.stdout)),
            Watch(ctx, pipes.stderr, partial(self._read_lines, "stderr", pipes.stderr)),
            Watch(ctx, self._pidfd, self._died),
        ]

    # ---- what the port does

    def memory_bytes(self) -> int:
        """Its resident set, as the kernel counts it."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as statm:
                return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")
        except OSError:
            return 0

    def hand(self, data: bytes, fds: Sequence[int]) -> bool:
        """Send bytes with open files, now or not at all; whether they were sent."""
        assert not self._queue, "the caller looked at the backlog"
        try:
            sent = socket.send_fds(self._pipes.wire, [data], list(fds))
        except OSError:
            return False
        self.write(data[sent:])
        return True

    def write(self, data: bytes) -> None:
        """Send now what the socket takes, and the rest when it takes more."""
        if self._is_dead or not data:
            return
        if self._queue:
            self._queue.append(data)
            self.backlog += len(data)
            return
        wire = self._pipes.wire
        try:
            sent = wire.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # it closed its end: the end of the stream, or its death, says so
        if sent < len(data):
            self._queue.append(data[sent:])
            self.backlog = len(data) - sent
            self._writer = Watch(self._ctx, wire.fileno(), self._writable, is_writer=True)

    def signal(self, number: int) -> None:
        """Send a signal through the pidfd."""
        if not self._is_dead:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def close(self) -> None:
        """Kill it if it lives, see to its descendants, and close everything."""
        self._unwatch()
        if not self._is_dead:
            self.signal(signal.SIGKILL)
            with anyio.move_on_after(DEATH_S):
                await anyio.wait_readable(self._pidfd)
            self._is_dead = self._is_told = True
            self._fate.ask(lambda _: None)
        self._pipes.close()
        os.close(self._pidfd)
        await end_descendants(self.pid, self._mark)

    # ---- what the loop tells

    def _writable(self) -> None:
        data = b"".join(self._queue)
        try:
            sent = self._pipes.wire.send(data)
        except BlockingIOError:
            return
        except OSError:
            sent = len(data)
        self.backlog = len(data) - sent
        self._queue = [data[sent:]] if self.backlog else []
        if not self.backlog and self._writer is not None:
            self._writer.close()
            self._writer = None
            self._sink.relieved()

    def _readable(self) -> None:
        data, fds = self._read()
        if data is None:
            return
        if not data:
            self._watches[0].close()
        self._sink.received(data, fds)

    def _read(self) -> tuple[bytes | None, tuple[int, ...]]:
        """Bytes and open files from the worker; no bytes at its end, None if there are none yet."""
        wire = self._pipes.wire
        try:
            if not self._takes_fds:  # then the kernel closes what a worker sends along
                return wire.recv(READ_BYTES), ()
            data, fds, _, _ = socket.recv_fds(wire, READ_BYTES, FDS_MAX)
        except BlockingIOError:
            return None, ()
        except OSError:
            return b"", ()
        return data, tuple(fds)

    def _read_lines(self, stream: str, fd: int) -> bool:
        """Hand over what was printed; whether there may be more."""
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._watches[1 if stream == "stdout" else 2].close()
            return False
        self._sink.printed(stream, data)
        return True

    def _died(self) -> None:
        self._is_dead = True
        self._unwatch()
        for _ in range(DRAIN_READS_MAX):
            data, fds = self._read()
            if not data:
                break
            self._sink.received(data, fds)
        for stream, fd in (("stdout", self._pipes.stdout), ("stderr", self._pipes.stderr)):
            for _ in range(DRAIN_READS_MAX):
                if not self._read_lines(stream, fd):
                    break
        self._fate.ask(self._tell)

    def _tell(self, how: Exit) -> None:
        if not self._is_told:
            self._is_told = True
            self._sink.ended(how)

    def _unwatch(self) -> None:
        for watch in (*self._watches, *filter(None, (self._writer,))):
            watch.close()

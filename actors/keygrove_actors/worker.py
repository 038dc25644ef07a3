"""The kit for worker processes in Python: a worker is a table of functions.

    table = Table()

    @table.on(Parse)
    def parse(message: Parse, job: Job) -> Certificate:
        return certificate(message.data)

    if __name__ == "__main__":
        table.serve()

A function runs alone, to its end: the loop has one thread and no event loop. What may
well happen is a failure it raises (`raise WorkFailure("not_found").error()`); any other
exception ends the process, whose port is restarted by its supervisor. The functions are
plain functions: test them by calling them.

Nothing here imports the runtime, so that a worker starts fast.
"""

from __future__ import annotations

import inspect
import os
import socket
import sys
import time
from collections.abc import Callable, Generator
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from keygrove_actors import port_wire as wire
from keygrove_actors.messages import WireError
from keygrove_actors.work import Codec, Note, Stream, Work, WorkFailure, codec_of
from keygrove_actors.worker_session import Task, WorkerSession, labour

M = TypeVar("M")
R = TypeVar("R")
E = TypeVar("E")

PORT_FD: Final = 3
READ_BYTES: Final = 64 * 1024
FLUSH_FRAMES: Final = 16
FLUSH_S: Final = 0.001
"""Answers are written together, but no answer waits longer than this for the next, nor for
more of them than this: the host reads one lot while the worker is at the next."""
LOOK_S: Final = 0.05
"""How often a busy worker looks for a PING, CANCEL or DRAIN between two tasks."""


class Entry(NamedTuple):
    """One operation of a table."""

    codec: Codec
    function: Callable[[Any, Job], Any]
    is_stream: bool


class Table:
    """What a worker can do."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.notes: dict[str, Entry] = {}

    def on(
        self, kind: type[Work[Any, R]]
    ) -> Callable[[Callable[[Any, Job], R]], Callable[[Any, Job], R]]:
        """Have the function answer requests of `kind`."""
        return self._entry(self.entries, kind, "on")

    def stream(
        self, kind: type[Stream[Any, E, R]]
    ) -> Callable[
        [Callable[[Any, Job], Generator[E, None, R]]],
        Callable[[Any, Job], Generator[E, None, R]],
    ]:
        """Have the generator answer requests of `kind`: it yields results, and returns the end."""
        return self._entry(self.entries, kind, "stream")

    def on_note(
        self, kind: type[Note[Any]]
    ) -> Callable[[Callable[[Any, Job], None]], Callable[[Any, Job], None]]:
        """Have the function deal with notices of `kind`."""
        return self._entry(self.notes, kind, "on_note")

    def ops(self) -> tuple[str, ...]:
        """The names of all operations, as HELLO lists them."""
        return (*self.entries, *self.notes)

    def note(self, task: wire.Cast, job: Job) -> None:
        """Deal with a notice; one nobody here knows is dropped."""
        entry = self.notes.get(task.op)
        if entry is not None:
            entry.function(entry.codec.decode(task.payload), job)

    def serve(self, fd: int = PORT_FD) -> None:
        """Work for the host at the other end of `fd` until it is gone or says to drain."""
        try:
            connection = socket.socket(fileno=fd)
        except OSError:
            sys.exit(f"a port worker needs its host's socket as fd {fd}: start it by a PortSpec")
        if by_lines := getattr(sys.stdout, "reconfigure", None):
            # to a pipe Python writes blocks, and the last of them is lost with a killed worker
            by_lines(line_buffering=True)
        with connection:
            connection.setblocking(True)
            _Loop(connection, self).run()

    __call__ = serve

    def _entry(self, into: dict[str, Entry], kind: type[Any], marker: str) -> Callable[[Any], Any]:
        if marker != (right := _marker_of(kind)):
            raise TypeError(f"{kind.__qualname__} is not for table.{marker}: use table.{right}")
        codec = codec_of(kind)
        is_stream = marker == "stream"

        def mark(function: Any) -> Any:
            _check_message(function, kind)
            _check_plain(function, kind, may_yield=is_stream)
            if codec.op in into:
                raise TypeError(f"{codec.op} has two functions: keep one")
            into[codec.op] = Entry(codec, function, is_stream)
            return function

        return mark


class Waits(Protocol):
    """How a job's function reaches the host while it runs."""

    def look(self) -> None:
        """Take in what is there, without waiting."""
        ...

    def wait(self) -> None:
        """Write everything, then wait for bytes."""
        ...


class Job:
    """What a function may know and do besides its message."""

    __slots__ = ("_clock", "_due", "_frame", "_loop", "_session")

    def __init__(
        self,
        session: WorkerSession,
        task: Task,
        loop: Waits | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._session = session
        self._frame = task.frame
        self._due = task.due
        self._loop = loop

    @property
    def settings(self) -> dict[str, Any]:
        """What the host's spec gives its workers."""
        return self._session.settings or {}

    def left_s(self) -> float | None:
        """Seconds until nobody waits for the answer; None if that is not known."""
        return None if self._due is None else self._due - self._clock()

    def is_late(self) -> bool:
        """Whether the caller's deadline has passed."""
        return self._due is not None and self._clock() > self._due

    def is_cancelled(self) -> bool:
        """Whether the caller lost interest; looks into the socket, so ask now and then only."""
        if self._loop is not None:
            self._loop.look()
        frame = self._frame
        return isinstance(frame, wire.Call) and self._session.is_cancelled(frame.id)

    def log(self, level: int, text: str, **fields: wire.Scalar) -> None:
        """A line in the host's log: 0 debug, 1 info, 2 warning, 3 error, 4 critical."""
        self._session.send(wire.Log(level, text, fields))

    def leave(self) -> None:
        """Say BYE and exit when this and what waits is done; a supervisor sees an orderly end."""
        self._session.is_draining = True

    def event(self, topic: str, payload: bytes) -> None:
        """Tell the host something nobody asked for; waits for credit."""
        while not self._session.take_event_credit():
            self._wait()
        self._session.send(wire.Event(topic, payload))

    def call(self, message: Work[Any, R], *, timeout: float = 5.0) -> R:
        """Ask the host, which must offer that operation; waits for its answer.

        Raises:
            DeclaredError: the host answered with a failure.
        """
        codec = codec_of(type(message))
        answers = self._session.answers
        call = self._session.call(codec.op, codec.encode(message), int(timeout * 1000))
        while call not in answers:
            self._wait()
        match answers.pop(call):
            case wire.Reply(payload=payload):
                reply: R = codec.decode_reply(payload)
                return reply
            case wire.Error(code=code, text=text, retryable=is_retryable):
                raise WorkFailure(code, text, is_retryable).error()

    def _wait(self) -> None:
        if self._loop is None:
            raise WorkFailure("internal", "a worker in memory cannot wait for its host").error()
        self._loop.wait()


class _Loop:
    """Blocking I/O around the labour. The host's end of stream ends the process at once."""

    __slots__ = ("_connection", "_flushed", "_looked", "_session", "_table")

    def __init__(self, connection: socket.socket, table: Table) -> None:
        self._connection = connection
        self._table = table
        self._session = WorkerSession(table.ops(), os.getpid())
        self._flushed = self._looked = time.monotonic()

    def run(self) -> None:
        try:
            for must_wait in labour(self._session, self._table, self._job):
                if must_wait:
                    self.wait()
                else:
                    self._pause()
        finally:
            self._flush()  # answers given before a crash are answers

    def wait(self) -> None:
        """Write everything, then wait for bytes."""
        self._flush()
        self._take_in(self._connection.recv(READ_BYTES))

    def look(self) -> None:
        """Take in what is there, without waiting."""
        try:
            data = self._connection.recv(READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        self._take_in(data)

    def _job(self, task: Task) -> Job:
        return Job(self._session, task, self)

    def _pause(self) -> None:
        now = time.monotonic()
        if self._session.output_frames >= FLUSH_FRAMES or now - self._flushed > FLUSH_S:
            self._flush()
        if now - self._looked > LOOK_S:
            self._looked = now
            self.look()

    def _flush(self) -> None:
        out = self._session.output()
        if out:
            try:
                self._connection.sendall(out)
            except OSError:
                self._end()
        self._flushed = time.monotonic()

    def _take_in(self, data: bytes) -> None:
        if not data:
            self._end()
        self._looked = time.monotonic()
        try:
            self._session.receive(data, self._looked)
        except WireError as error:
            sys.exit(f"the host broke the rules of the wire: {error}")

    def _end(self) -> None:
        sys.exit(0)


def _check_message(function: Callable[..., Any], kind: type[Any]) -> None:
    """Compare what checkers cannot: the annotation of the message with the kind."""
    parameters = list(inspect.signature(function).parameters.values())
    taken = parameters[0].annotation if parameters else None
    # a postponed annotation may be of a scope that cannot be seen from here: compare names
    named = taken.rpartition(".")[2] if isinstance(taken, str) else None
    if taken is not kind and named != kind.__name__:
        raise TypeError(f"{function.__qualname__} answers {kind.__qualname__} but takes {taken}")


def _marker_of(kind: type[Any]) -> str:
    """Which method of a table is for messages of this kind."""
    for base, marker in ((Stream, "stream"), (Work, "on"), (Note, "on_note")):
        if issubclass(kind, base):
            return marker
    raise TypeError(f"{kind.__qualname__} is nothing for a worker: derive it from Work")


def _check_plain(function: Callable[..., Any], kind: type[Any], *, may_yield: bool) -> None:
    """Refuse what would run to no end: a worker has no event loop, and only streams yield."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function.__qualname__} is async: a worker has no event loop, use def")
    if inspect.isgeneratorfunction(function) and not may_yield:
        raise TypeError(
            f"{function.__qualname__} yields: derive {kind.__qualname__} from Stream for that"
        )

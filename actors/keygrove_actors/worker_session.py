"""A worker's end of the wire: bytes in, jobs out; answers in, bytes out. No I/O.

The order of the worker's work is this module's too (`labour`): the same generator runs
behind a socket (`worker.serve`) and in memory (`port_fake`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final

import msgspec

from keygrove_actors import port_wire as wire
from keygrove_actors.messages import DeclaredError, WireError
from keygrove_actors.work import WorkFailure

if TYPE_CHECKING:
    from keygrove_actors.worker import Job, Table

CREDIT: Final = 64
"""Calls and casts a worker lets the host have on their way to it."""
CREDIT_STEP: Final = CREDIT // 4
"""Credit given back at once: so early that 64 callers never find it used up."""


class Task(msgspec.Struct):
    """A call or a cast, and the monotonic second after which nobody waits for its answer."""

    frame: wire.Call | wire.Cast
    due: float | None


class WorkerSession:
    """One worker's conversation with its host, from HELLO to BYE."""

    __slots__ = (
        "_cancelled",
        "_consumed",
        "_decoder",
        "_event_credit",
        "_nonce",
        "_out",
        "_queue",
        "answers",
        "is_draining",
        "settings",
    )

    def __init__(self, ops: tuple[str, ...], pid: int) -> None:
        self._decoder = wire.Decoder()
        self._queue: deque[Task] = deque()
        self._cancelled: set[int] = set()
        self._consumed = self._event_credit = self._nonce = 0
        self._out: list[bytes] = []
        self.answers: dict[int, wire.Reply | wire.Error] = {}
        self.is_draining = False
        self.settings: dict[str, Any] | None = None
        self.send(
            wire.Hello(
                wire.VERSION_MIN,
                wire.VERSION_MAX,
                wire.MAGIC,
                pid,
                ops,
                wire.FRAME_BYTES_MAX,
                CREDIT,
            )
        )

    # ---- bytes

    def send(self, frame: wire.Frame) -> None:
        """Put a frame into the output."""
        self._out.append(wire.encode(frame))

    def reply(self, call: int, payload: bytes) -> None:
        """Put the answer to a call into the output."""
        self._out.append(wire.encode_reply(call, payload))

    def output(self) -> bytes:
        """What is to be written now."""
        out = b"".join(self._out)
        self._out.clear()
        return out

    @property
    def output_frames(self) -> int:
        """How many frames wait to be written."""
        return len(self._out)

    def receive(self, data: bytes, now: float) -> None:
        """Take in bytes from the host, which came at `now`, in monotonic seconds.

        Raises:
            WireError: they break the rules.
        """
        put = self._queue.append
        for frame in self._decoder.feed(data):
            if type(frame) is wire.Call:
                left_ms = frame.deadline_ms
                put(Task(frame, now + left_ms / 1000 if left_ms else None))
                continue
            match frame:
                case wire.Cast():
                    put(Task(frame, None))
                case wire.Reply(id) | wire.Error(id):
                    self.answers[id] = frame
                case _:
                    self._control(frame)

    def _control(self, frame: wire.Frame) -> None:
        match frame:
            case wire.Welcome(credit=credit, settings=settings):
                self._event_credit, self.settings = credit, settings
            case wire.Cancel(id):
                self._cancelled.add(id)
            case wire.Credit(frames):
                self._event_credit += frames
            case wire.Ping(nonce):
                self.send(wire.Pong(nonce))
            case wire.Drain():
                self.is_draining = True
            case wire.Pong():
                pass
            case _:
                raise WireError("bad_frame", f"a host does not send {type(frame).__name__}")

    # ---- work

    def next_task(self) -> Task | None:
        """The call or cast that has waited longest; ones cancelled meanwhile are answered."""
        while self._queue:
            task = self._queue.popleft()
            frame = task.frame
            if not self._cancelled or not self._is_unwanted(frame):
                return task
            assert isinstance(frame, wire.Call), "nobody cancels a notice"
            self.send(wire.Error(frame.id, "cancelled", "", retryable=False))
            self.finished(task)
        return None

    def _is_unwanted(self, frame: wire.Call | wire.Cast) -> bool:
        return isinstance(frame, wire.Call) and frame.id in self._cancelled

    def finished(self, task: Task) -> None:
        """A task is dealt with: in time, give the host credit for another."""
        if self._cancelled and isinstance(task.frame, wire.Call):
            self._cancelled.discard(task.frame.id)
        self._consumed += 1
        if self._consumed >= CREDIT_STEP:
            self.send(wire.Credit(self._consumed))
            self._consumed = 0

    def is_cancelled(self, call: int) -> bool:
        """Whether the caller lost interest."""
        return call in self._cancelled

    def take_event_credit(self) -> bool:
        """Whether one more event may be sent; if so, it counts as sent."""
        if not self._event_credit:
            return False
        self._event_credit -= 1
        return True

    def call(self, op: str, payload: bytes, deadline_ms: int) -> int:
        """Ask the host; the answer will be in `answers` under the id returned."""
        self._nonce += 1
        self.send(wire.Call(self._nonce, op, payload, deadline_ms))
        return self._nonce


def labour(
    session: WorkerSession, table: Table, make_job: Callable[[Task], Job]
) -> Generator[bool, None, None]:
    """Do the work as it comes, until told to drain.

    Yields True when nothing goes on without bytes from the host, False after each task
    and each result, when there is time to write.
    """
    while True:
        task = session.next_task()
        if task is not None:
            results = _do(session, table, task, make_job(task))
            if results is not None:
                yield from results
            session.finished(task)
            yield False
        elif session.is_draining:
            session.send(wire.Bye(0, "drained"))
            return
        else:
            yield True


def _do(
    session: WorkerSession, table: Table, task: Task, job: Job
) -> Generator[bool, None, None] | None:
    """Do a task at once; one with many results is handed back, to be done step by step."""
    call = task.frame
    if isinstance(call, wire.Cast):
        table.note(call, job)
        return None
    entry = table.entries.get(call.op)
    if entry is None:
        session.send(wire.Error(call.id, "unknown_op", call.op[:80], retryable=False))
        return None
    if task.due is not None and job.is_late():
        session.send(wire.Error(call.id, "deadline", "", retryable=True))
        return None
    codec = entry.codec
    try:
        message = codec.decode(call.payload)
    except msgspec.MsgspecError as error:
        session.send(wire.Error(call.id, "bad_request", str(error)[:400], retryable=False))
        return None
    if entry.is_stream:
        return _stream(session, call, entry.function(message, job), codec.encode_reply)
    try:
        session.reply(call.id, codec.encode_reply(entry.function(message, job)))
    except DeclaredError as error:
        _failed(session, call, error)
    return None


def _failed(session: WorkerSession, call: wire.Call, error: DeclaredError) -> None:
    failure = error.failure
    if not isinstance(failure, WorkFailure):
        raise error
    session.send(wire.Error(call.id, failure.code, failure.text, failure.is_retryable))


def _stream(
    session: WorkerSession,
    call: wire.Call,
    results: Generator[Any, None, Any],
    encode: Callable[[Any], bytes],
) -> Generator[bool, None, None]:
    try:
        outcome = yield from _results(session, call, results, encode)
        session.reply(call.id, encode(outcome))
    except DeclaredError as error:
        _failed(session, call, error)


def _results(
    session: WorkerSession,
    call: wire.Call,
    results: Generator[Any, None, Any],
    encode: Callable[[Any], bytes],
) -> Generator[bool, None, Any]:
    """Send what `results` yields while there is credit; a cancelled call ends it early."""
    while True:
        try:
            result = next(results)
        except StopIteration as end:
            return end.value
        while not session.is_cancelled(call.id) and not session.take_event_credit():
            yield True
        if session.is_cancelled(call.id):
            results.close()
            raise WorkFailure("cancelled").error()
        session.send(wire.Event(call.op, encode(result), call.id))
        yield False

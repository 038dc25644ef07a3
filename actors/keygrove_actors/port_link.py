"""The link between a port and its worker: a session, a process, and the clock of both.

Bytes of the process go through the session, and its effects to the owner, the port. What
is to be sent is written once for each round of the loop, at once if nothing is in flight.
"""

from __future__ import annotations

import os
from collections import deque
from math import inf
from typing import Final, Protocol

from keygrove_actors.cell import Cell
from keygrove_actors.lines import LINES_PER_S, LineCutter, text_of
from keygrove_actors.messages import WireError
from keygrove_actors.port_process import Exit, Process
from keygrove_actors.port_session import Effect, Hung, PortSession, Terms
from keygrove_actors.reports import WorkerLinesDropped, WorkerPrinted
from keygrove_actors.throttle import Throttle
from keygrove_actors.tickets import Ticket
from keygrove_actors.wheel import Alarm

SWEEP_S: Final = 0.05
"""How soon after a caller has gone the worker is told to cancel."""
BACKLOG_BYTES_MAX: Final = 1024 * 1024
"""Unsent bytes beyond which nothing more is taken on."""
ERROR_LINES: Final = 50
"""The last lines of stderr: they go with the report of a crash."""
ERROR_BYTES_MAX: Final = 512
"""Of each of these: whoever waits for the worker gets a copy."""
EOF_GRACE_S: Final = 1.0
"""How long a worker may live on after it closed its end of the wire."""


class Owner(Protocol):
    """Whoever acts on what a worker says."""

    def act(self, effect: Effect[Ticket]) -> None:
        """The worker said something."""
        ...

    def freed(self) -> None:
        """More can be sent, perhaps."""
        ...

    def broke(self, kind: str, text: str) -> None:
        """This cannot go on: the worker is to be killed."""
        ...

    def exited(self, how: Exit) -> None:
        """The worker is dead; everything it had said was acted on."""
        ...

    def handed(self, fds: tuple[int, ...]) -> None:
        """Open files came with the bytes that are acted on next."""
        ...


class Link:
    """One worker, from its start to its end."""

    __slots__ = (
        "_alarm",
        "_alarm_at",
        "_cell",
        "_errors",
        "_lines",
        "_owner",
        "_throttle",
        "exit",
        "is_flushing",
        "process",
        "session",
    )

    process: Process

    def __init__(self, cell: Cell, owner: Owner, terms: Terms) -> None:
        self._cell = cell
        self._owner = owner
        self._lines = {"stdout": LineCutter(), "stderr": LineCutter()}
        self.is_flushing = False
        self._alarm: Alarm | None = None
        self._alarm_at = inf
        hub = cell.hub
        self.session: PortSession[Ticket] = PortSession(terms, hub.backend.now())
        self._errors: deque[bytes] = deque(maxlen=ERROR_LINES)
        self._throttle: Throttle[str] = Throttle(
            LINES_PER_S, hub.wheel, hub.backend.now, self._dropped
        )
        self.exit: Exit | None = None

    def serve(self, owner: Owner) -> None:
        """Tell `owner` from now on."""
        self._owner = owner

    @property
    def is_free(self) -> bool:
        """Whether the worker takes one more call or notice."""
        return self.session.credit > 0 and self.process.backlog < BACKLOG_BYTES_MAX

    def sent(self, now: float) -> None:
        """Something was given to the session: see to it that it is written, and looked after."""
        if self.session.load <= 1:
            self.flush()
        elif not self.is_flushing:
            self.is_flushing = True
            self._cell.hub.backend.call_soon(self.flush, context=self._cell.own_context())
        if self._alarm_at > now + SWEEP_S:
            self._arm(now + SWEEP_S)

    def flush(self) -> None:
        """Write what there is to write."""
        self.is_flushing = False
        data = self.session.output()
        if data:
            self.process.write(data)

    def close(self) -> None:
        """Nothing more comes of it: pass on what it said last, and let the clock rest."""
        self._disarm()
        for stream, cutter in self._lines.items():
            self._tell(stream, cutter.finish())
        self._throttle.flush()

    def may_log(self) -> bool:
        """Whether one more LOG frame may be reported now; one that may not is counted."""
        return self._throttle.admit("log") > 0

    def last_errors(self) -> str:
        """What it wrote to stderr last."""
        return "\n".join(text_of(line[:ERROR_BYTES_MAX]) for line in self._errors)

    # ---- what the process tells

    def received(self, data: bytes, fds: tuple[int, ...]) -> None:
        """Bytes came, or their end."""
        if fds:
            self._owner.handed(fds)
        if not data:
            backend = self._cell.hub.backend
            self._disarm()
            self._alarm = Alarm(self._cell.hub.wheel, backend.now() + EOF_GRACE_S, self._outlived)
            self._alarm_at = -inf
            return
        try:
            effects = self.session.receive(data, self._cell.hub.backend.now())
        except WireError as error:
            self._owner.broke(error.kind, str(error))
            return
        for effect in effects:
            self._owner.act(effect)
        if not self.is_flushing:
            self.flush()
        self._owner.freed()

    def relieved(self) -> None:
        """The backlog is written."""
        self._owner.freed()

    def printed(self, stream: str, data: bytes) -> None:
        """It printed something."""
        self._tell(stream, self._lines[stream].feed(data))

    def ended(self, how: Exit) -> None:
        """It is dead."""
        self.exit = how
        self.close()
        self._owner.exited(how)

    def _outlived(self) -> None:
        self._owner.broke("port_eof", "the worker closed its end of the wire and lives on")

    def _tell(self, stream: str, lines: list[bytes]) -> None:
        if not lines:
            return
        if stream == "stderr":
            self._errors.extend(lines[-ERROR_LINES:])
        cell, pid = self._cell, self.process.pid
        for line in lines[: self._throttle.admit(stream, len(lines))]:
            cell.hub.report(WorkerPrinted(cell.spec.id, cell.path, pid, stream, text_of(line)))

    def _dropped(self, stream: str, lines: int) -> None:
        cell, pid = self._cell, self.process.pid
        cell.hub.report(WorkerLinesDropped(cell.spec.id, cell.path, pid, stream, lines))

    # ---- the clock

    def watch(self) -> None:
        """Begin to look after silence."""
        self._arm(self.session.next_deadline())

    def _disarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self._alarm_at = None, inf

    def _arm(self, when: float) -> None:
        self._disarm()
        self._alarm_at = when
        self._alarm = Alarm(self._cell.hub.wheel, when, self._tick)

    def _tick(self) -> None:
        now = self._cell.hub.backend.now()
        session = self.session
        gone = [call for call, ticket in session.in_flight() if ticket.is_abandoned(now)]
        for call in gone:
            session.cancel(call)
        verdict = session.tick(now)
        self.flush()
        if isinstance(verdict, Hung):
            self._owner.broke("hang", f"the worker was silent for {verdict.silence_s:.0f} s")
            return
        due = session.next_deadline()
        self._arm(max(now, min(due, now + SWEEP_S) if session.load else due))


def close_files(fds: tuple[int, ...]) -> None:
    """Close what nobody asked for."""
    for fd in fds:
        os.close(fd)

"""Workers in memory: the same table, the same bytes on the wire, no process.

For tests and simulation: time is the loop's own, nothing is forked, and the same seed gives
the same run. A function of the table runs in the loop's thread, to its end: it cannot wait
for the host (`Job.call`) nor be cancelled while it runs.

    Port.child("parser", spec, launch=in_memory(table))
"""

from __future__ import annotations

import traceback
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from typing import Final

import anyio.lowlevel

from keygrove_actors.backend import Backend, Parker
from keygrove_actors.ctx import Ctx
from keygrove_actors.port_process import Exit, Launch, Process, Sink
from keygrove_actors.port_spec import PortSpec
from keygrove_actors.worker import Job, Table
from keygrove_actors.worker_session import Task, WorkerSession, labour

_pids: Final = count(1)


class Died(Exception):  # noqa: N818 - what happened, as a signal would have it
    """Raised by a table's function: the worker ends by signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class FakeProcess:
    """A worker that is a task of its port."""

    def __init__(self, backend: Backend, table: Table, sink: Sink) -> None:
        self.pid = next(_pids)
        self.backlog = 0
        self._backend = backend
        self._sink = sink
        self._table = table
        self._session = WorkerSession(table.ops(), self.pid)
        self._parker: Parker[None] | None = None
        self._killed_by = 0

    def memory_bytes(self) -> int:
        """Nobody knows."""
        return 0

    def write(self, data: bytes) -> None:
        """Hand bytes to the worker."""
        self._session.receive(data, self._backend.now())
        self._wake()

    def signal(self, number: int) -> None:
        """End by a signal, between two tasks."""
        self._killed_by = self._killed_by or number
        self._wake()

    async def run(self) -> None:
        """Live."""
        how = await self._live()
        self._deliver()
        self._sink.ended(Exit(0, self._killed_by) if self._killed_by else how)

    async def _live(self) -> Exit:
        try:
            for must_wait in labour(self._session, self._table, self._job):
                self._deliver()
                if must_wait and not self._killed_by:
                    self._parker = self._backend.parker()
                    await self._parker
                else:
                    await anyio.lowlevel.checkpoint()
                if self._killed_by:
                    break
        except Died as death:
            return Exit(0, death.number)
        except SystemExit as end:
            return Exit(end.code if isinstance(end.code, int) else int(end.code is not None))
        except Exception:  # noqa: BLE001 - the entry of a process, as it were
            self._sink.printed("stderr", traceback.format_exc().encode())
            return Exit(1)
        return Exit(0)

    def _job(self, task: Task) -> Job:
        return Job(self._session, task, None, self._backend.now)

    def _deliver(self) -> None:
        out = self._session.output()
        if out:
            self._sink.received(out, ())

    def _wake(self) -> None:
        if self._parker is not None and not self._parker.done():
            self._parker.set_result(None)


def in_memory(table: Table) -> Launch:
    """Starts workers that run `table`, whatever their spec says of programs."""

    @asynccontextmanager
    async def launch(ctx: Ctx, spec: PortSpec, sink: Sink) -> AsyncGenerator[Process, None]:
        cell = ctx.self_ref.resolve()
        assert cell is not None, "asked for by a living actor"
        process = FakeProcess(cell.hub.backend, table, sink)
        ctx.start_soon(process.run)
        yield process

    return launch

"""The actor that owns a zygote: a port whose worker makes the workers of other ports.

It stands before them in a `rest_for_one` supervisor: its death is theirs (P-17). Forks are
served one after the other, each within the deadline of its caller's start.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import msgspec

from keygrove_actors import port_wire as wire
from keygrove_actors.actor import on
from keygrove_actors.calls import ReplyTo
from keygrove_actors.messages import DEFER, Defer, Reason, Shutdown
from keygrove_actors.poison import Poison
from keygrove_actors.port import Port
from keygrove_actors.port_process import Birth, Exit, Launch, OsProcess
from keygrove_actors.port_session import Effect
from keygrove_actors.port_spawn import environment
from keygrove_actors.port_spec import PortSpec, WorkerLimits
from keygrove_actors.tickets import Ticket, failure_of
from keygrove_actors.work import WorkFailure
from keygrove_actors.zygote import PRELOAD, Death, ForkRequest
from keygrove_actors.zygote_api import Fork, Refresh, ZygoteApi

STALE_S: Final = 5.0
"""A zygote that has not said by then whether it is stale hangs."""
_CODE_CHANGED: Final = Shutdown("its code changed")
_encode = msgspec.msgpack.Encoder().encode
_death = msgspec.msgpack.Decoder(Death)


def zygote_spec(*preload: str, env: dict[str, str] | None = None) -> PortSpec:
    """The spec of a zygote that imports these modules before it forks."""
    return PortSpec(
        api=ZygoteApi,
        works=(),
        worker="keygrove_actors.zygote:main",
        env={**(env or {}), PRELOAD: ",".join(preload)},
        limits=WorkerLimits(files=None),
        event_credit=1024,
        init_timeout_s=30.0,
        drain_s=1.0,
        takes_fds=True,
    )


class ForkedFate:
    """The fate of a worker whose parent is the zygote, or was."""

    __slots__ = ("_how", "_is_orphan", "_pid", "_tell")

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._how: Exit | None = None
        self._tell: Callable[[Exit], None] | None = None
        self._is_orphan = False

    def ask(self, tell: Callable[[Exit], None]) -> None:
        """Have `tell` called when the zygote has said it, or is dead itself."""
        if self._is_orphan:
            self._how = self._reap()
        if self._how is not None:
            tell(self._how)
        else:
            self._tell = tell

    def settle(self, how: Exit) -> None:
        """It is known."""
        self._how = how
        if self._tell is not None:
            self._tell(how)

    def orphaned(self) -> None:
        """The zygote is dead, so the worker is a child of this process now, or soon."""
        self._is_orphan = True
        if self._tell is not None:
            self.settle(self._reap())

    def _reap(self) -> Exit:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG)
        return Exit(0, signal.SIGKILL)


class _ForkTicket:
    """A fork in flight."""

    __slots__ = ("_fork", "_reply_to", "_zygote", "request")

    def __init__(self, zygote: Zygote, fork: Fork, payload: bytes, reply_to: ReplyTo[None]) -> None:
        self._zygote = zygote
        self._fork = fork
        self._reply_to = reply_to
        self.request = ("fork", payload)

    def answered(self, payload: bytes) -> None:
        pid = msgspec.msgpack.decode(payload, type=int)
        birth = self._zygote.adopt(pid, self._fork.mark)
        if self._reply_to.caller_gone:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(birth.pidfd, signal.SIGKILL)
            os.close(birth.pidfd)
            birth.fate.ask(lambda _: None)
            return
        self._fork.born(birth)
        self._reply_to.send(None)

    def failed(self, error: wire.Error) -> None:
        self._reply_to.fail(failure_of(error))

    def result(self, payload: bytes) -> None:
        pass

    def is_abandoned(self, now: float) -> bool:
        return False  # the answer brings a process, which must be taken care of

    def port_ended(self, reason: Reason) -> None:
        pass


class _StaleTicket(msgspec.Struct):
    """The question whether the code changed, in flight."""

    tell: Callable[[bool], None]
    request: tuple[str, bytes] = ("stale", b"")

    def answered(self, payload: bytes) -> None:
        self.tell(msgspec.msgpack.decode(payload, type=bool))

    def failed(self, error: wire.Error) -> None:
        pass  # a zygote always knows

    def result(self, payload: bytes) -> None:
        pass

    def is_abandoned(self, now: float) -> bool:
        return False

    def port_ended(self, reason: Reason) -> None:
        pass


class Zygote(Port):
    """Serves `Fork` with a warm process."""

    def __init__(
        self, spec: PortSpec, *, launch: Launch | None = None, poison: Poison | None = None
    ) -> None:
        super().__init__(spec, launch=launch, poison=poison)
        self._pidfds: deque[int] = deque()
        self._fates: dict[int, ForkedFate] = {}

    @on(Fork)
    def fork(self, message: Fork) -> Defer | None:
        """Send the request, and the files of the worker with it."""
        process, now = self._link.process, self._cell.hub.backend.now()
        assert isinstance(process, OsProcess)
        spec, limits = message.spec, message.spec.limits
        payload = _encode(
            ForkRequest(
                spec.worker, spec.cwd, limits.nice, limits.text(), environment(spec, message.mark)
            )
        )
        self._link.flush()
        if process.backlog or not self._link.is_free:
            raise WorkFailure("overloaded", "the zygote is busy", is_retryable=True).error()
        ticket = _ForkTicket(self, message, payload, self._ctx.reply_to)
        request = self._cell.current
        assert request is not None
        self._link.session.call(ticket, "fork", payload, request.deadline, now)
        if not process.hand(self._link.session.output(), message.ends):
            self.broke("stuck", "the zygote does not read")
        return DEFER

    @on(Refresh)
    def refresh(self, message: Refresh) -> Defer:
        """End, if the code on disk is newer."""
        reply_to = self._ctx.reply_to

        def tell(is_stale: bool) -> None:
            reply_to.send(is_stale)
            self._end_if(is_stale)

        self._ask_whether_stale(tell)
        return DEFER

    def taken_over(self) -> None:
        """As any port; but a process older than its code on disk is to be replaced (P-18)."""
        super().taken_over()
        self._ask_whether_stale(self._end_if)

    def _end_if(self, is_stale: bool) -> None:
        if is_stale:
            self._cell.stop(_CODE_CHANGED)

    def _ask_whether_stale(self, tell: Callable[[bool], None]) -> None:
        if not self._link.is_free:
            raise WorkFailure("overloaded", "the zygote is busy", is_retryable=True).error()
        now = self._cell.hub.backend.now()
        self._send(_StaleTicket(tell), now + STALE_S, now)

    @asynccontextmanager
    async def _worker(self) -> AsyncGenerator[None, None]:
        try:
            async with super()._worker():
                yield
        finally:
            for fd in self._pidfds:
                os.close(fd)
            fates, self._fates = self._fates, {}
            for fate in fates.values():
                fate.orphaned()

    def adopt(self, pid: int, mark: str) -> Birth:
        """The worker just forked, and its pidfd, which came with the same bytes."""
        fate = self._fates[pid] = ForkedFate(pid)
        return Birth(pid, self._pidfds.popleft(), fate, mark)

    def handed(self, fds: tuple[int, ...]) -> None:
        """Pidfds, in the order of the replies."""
        self._pidfds.extend(fds)

    def act(self, effect: Effect[Ticket]) -> None:
        """Pass on how workers ended."""
        if isinstance(effect, wire.Event) and effect.topic == "exit":
            death = _death.decode(effect.payload)
            fate = self._fates.pop(death.pid, None)
            if fate is not None:
                fate.settle(Exit(death.code, death.signal))
        super().act(effect)

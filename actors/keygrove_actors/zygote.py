"""The fork server: a warm process of one thread that becomes workers at a millisecond each.

Started like any worker (`launch`), it imports what `KEYGROVE_PRELOAD` names and says HELLO.
It speaks the port wire with two operations:

    fork    [module:function, cwd, nice, limits, {environment}] and, as open files sent along
            (SCM_RIGHTS), the worker's socket, stdout and stderr
            → the worker's pid and, sent along, its pidfd
    stale   nothing → whether a file it has imported changed since

and the event `exit`: [pid, code, signal]. Workers are its children: when it dies they are
killed. It opens the pidfd itself, before it can have reaped the worker, and kills the
worker's process group before it reaps: so no pid is ever one that was taken again.

No event loop, no thread, no open socket but its own; standard library and msgspec only.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback
from collections import deque
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from keygrove_actors import launch
from keygrove_actors import port_wire as wire
from keygrove_actors.launch import PORT_FD
from keygrove_actors.worker_session import WorkerSession

PRELOAD: Final = "KEYGROVE_PRELOAD"
READ_BYTES: Final = 64 * 1024
FDS_MAX: Final = 64
FDS_OF_WORKER: Final = 3
DEFAULT_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1)


class ForkRequest(NamedTuple):
    """What kind of worker is wanted; `launch` explains the middle ones."""

    worker: str
    cwd: str
    nice: int
    limits: str
    environment: dict[str, str]


class Death(NamedTuple):
    """How a worker ended; code or signal, the other is 0."""

    pid: int
    code: int
    signal: int


_request: Final = msgspec.msgpack.Decoder(ForkRequest)
_encode: Final = msgspec.msgpack.Encoder().encode


class Zygote:
    """The parent of all workers it forks."""

    def __init__(self, fd: int = PORT_FD) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(True)
        self._session = WorkerSession(("fork", "stale"), os.getpid())
        self._files: deque[int] = deque()
        self._workers: dict[int, int] = {}
        self._deaths: deque[Death] = deque()
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._code = _modification_times()

    def run(self) -> None:
        """Serve until the host is gone, which ends the process, or says to drain."""
        with self._socket:
            self._flush()
            while not self._session.is_draining:
                for fd, _ in self._poll.poll():
                    if fd == self._socket.fileno():
                        self._take_in()
                    else:
                        self._reap(fd)
                self._tell_deaths()
            self._session.send(wire.Bye(0, "drained"))
            self._flush()

    def _take_in(self) -> None:
        data, fds, _, _ = socket.recv_fds(self._socket, READ_BYTES, FDS_MAX)
        if not data:
            sys.exit(0)
        self._files.extend(fds)
        self._session.receive(data, 0.0)
        while (task := self._session.next_task()) is not None:
            frame = task.frame
            if isinstance(frame, wire.Call) and frame.op == "fork":
                self._fork(frame)
            elif isinstance(frame, wire.Call):
                is_stale = _modification_times(self._code) != self._code
                self._session.send(wire.Reply(frame.id, _encode(is_stale)))
            self._session.finished(task)
            self._flush()

    def _fork(self, call: wire.Call) -> None:
        request = _request.decode(call.payload)
        files = [self._files.popleft() for _ in range(FDS_OF_WORKER)]
        own = os.getpid()
        pid = os.fork()
        if not pid:
            _become(request, files, own)
        for fd in files:
            os.close(fd)
        pidfd = os.pidfd_open(pid)
        self._workers[pidfd] = pid
        self._poll.register(pidfd, select.POLLIN)
        self._flush()
        socket.send_fds(self._socket, [wire.encode(wire.Reply(call.id, _encode(pid)))], [pidfd])

    def _reap(self, pidfd: int) -> None:
        pid = self._workers.pop(pidfd)
        self._poll.unregister(pidfd)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        status = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)
        assert status is not None, "a blocking wait has a status"
        is_exit = status.si_code == os.CLD_EXITED
        self._deaths.append(
            Death(pid, status.si_status if is_exit else 0, 0 if is_exit else status.si_status)
        )

    def _tell_deaths(self) -> None:
        while self._deaths and self._session.take_event_credit():
            self._session.send(wire.Event("exit", _encode(self._deaths.popleft())))
        self._flush()

    def _flush(self) -> None:
        out = self._session.output()
        if out:
            try:
                self._socket.sendall(out)
            except OSError:
                sys.exit(0)


def _become(request: ForkRequest, files: list[int], parent: int) -> None:
    """In the child: be the worker, and never return."""
    code = 1
    try:
        os.setsid()
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        for number in DEFAULT_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        for fd, place in zip(files, (PORT_FD, 1, 2), strict=True):
            os.dup2(fd, place)
        launch.place("fd3")
        launch.prepare(parent, request.cwd, request.nice, request.limits)
        os.environ.clear()
        os.environ.update(request.environment)
        if "random" in sys.modules:
            sys.modules["random"].seed()
        gc.unfreeze()
        launch.entry_point(request.worker)()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:  # noqa: BLE001 - the entry of a process: nobody is above
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _modification_times(known: dict[str, int] | None = None) -> dict[str, int]:
    """When the files of all modules, or of those `known`, were changed last."""
    names = known or {
        file for m in list(sys.modules.values()) if (file := getattr(m, "__file__", None))
    }
    return {name: _modified(name) for name in names}


def _modified(name: str) -> int:
    try:
        return os.stat(name).st_mtime_ns
    except OSError:
        return 0


def main() -> None:
    """Import everything, then fork."""
    for module in filter(None, os.environ.get(PRELOAD, "").split(",")):
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    Zygote().run()

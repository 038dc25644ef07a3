"""Workers started by fork and exec, one at a time, in the main thread.

`posix_spawn` runs no code of ours between fork and exec, so the threads and the loop of
the runtime do no harm (P-19); `launch` does the rest in the child. It returns within a
millisecond or two, and the whole start has its deadline in the port.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import anyio

from keygrove_actors import launch
from keygrove_actors.ctx import Ctx
from keygrove_actors.descendants import MARK, become_subreaper, new_mark
from keygrove_actors.messages import WrongThread
from keygrove_actors.port_cgroup import confined, group_of
from keygrove_actors.port_pipes import Ends, Pipes
from keygrove_actors.port_process import Birth, Exit, OsProcess, Process, Sink
from keygrove_actors.port_spec import PortSpec

LAUNCHER: Final = launch.__file__
RESET_SIGNALS: Final = (
    signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT,
    signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD,
)  # fmt: skip


class OwnChild:
    """The fate of a worker whose parent is this process."""

    __slots__ = ("_pid", "_pidfd")

    def __init__(self, pid: int, pidfd: int) -> None:
        self._pid = pid
        self._pidfd = pidfd

    def ask(self, tell: Callable[[Exit], None]) -> None:
        """Kill its group, reap it, and say so at once."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            status = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
            if status is not None:
                is_exit = status.si_code == os.CLD_EXITED
                tell(Exit(status.si_status) if is_exit else Exit(0, status.si_status))
                return
        tell(Exit(0, signal.SIGKILL))


@asynccontextmanager
async def cold(ctx: Ctx, spec: PortSpec, sink: Sink) -> AsyncGenerator[Process, None]:
    """Start the worker by fork and exec.

    Raises:
        WrongThread: this is not the main thread.
        OSError: the kernel has no process or file to spare, or no group in the spec's folder.
    """
    mark = new_mark()
    async with confined(spec.cgroup, mark):
        pipes = Pipes()
        try:
            pid = _spawn(spec, pipes.ends, mark)
            pidfd = _pidfd(pid)
        except BaseException:
            pipes.close()
            raise
        pipes.hand_over()
        born = Birth(pid, pidfd, OwnChild(pid, pidfd), mark)
        process = OsProcess(ctx, sink, pipes, born, takes_fds=spec.takes_fds)
        try:
            yield process
        finally:
            with anyio.CancelScope(shield=True):
                await process.close()


def _spawn(spec: PortSpec, ends: Ends, mark: str) -> int:
    if threading.current_thread() is not threading.main_thread():
        # the kernel would kill the worker with the thread that forked it
        raise WrongThread("ports start their workers in the main thread only: run the loop there")
    become_subreaper()
    python = [sys.executable, "-P"] if spec.worker else [sys.executable, "-I", "-S"]
    program = [f"@{spec.worker}"] if spec.worker else list(spec.argv)
    limits = f"{spec.limits.text()};{group_of(spec.cgroup, mark)}"
    own = [str(os.getpid()), spec.transport, spec.cwd, str(spec.limits.nice), limits]
    return os.posix_spawn(
        sys.executable,
        [*python, LAUNCHER, *own, "--", *program],
        environment(spec, mark),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, ends.stdout, 1),
            (os.POSIX_SPAWN_DUP2, ends.stderr, 2),
            (os.POSIX_SPAWN_DUP2, ends.wire, launch.PORT_FD),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=RESET_SIGNALS,
    )


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def environment(spec: PortSpec, mark: str) -> dict[str, str]:
    """All a worker finds in its environment."""
    path = os.environ.get("PATH", os.defpath)
    return {"PATH": path, "LANG": "C.UTF-8", **spec.env, MARK: mark}

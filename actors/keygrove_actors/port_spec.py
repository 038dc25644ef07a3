"""A worker process as data: what to run, within which limits, and what may be asked of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec

from keygrove_actors.messages import BadSpec
from keygrove_actors.port_session import HANG_S, PING_S
from keygrove_actors.port_wire import FRAME_BYTES_MAX
from keygrove_actors.work import Note, Work

TERM_GRACE_S = 1.0
"""Between SIGTERM and SIGKILL."""


class WorkerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernel lets a worker use; None leaves what the runtime has itself.

    `cpu_s` ends the worker with SIGXCPU, and a second later with SIGKILL. `processes` is
    counted for the whole user, not for the worker: beware. `nice` makes it give way at the
    processor, `is_idle_io` at the disk.
    """

    memory_bytes: int | None = None
    cpu_s: int | None = None
    files: int | None = 1024
    file_bytes: int | None = None
    processes: int | None = None
    core_bytes: int = 0
    nice: int = 0
    is_idle_io: bool = False

    def text(self) -> str:
        """As `launch` reads it: `NOFILE=1024:1024,CORE=0:0`."""
        pairs = (
            ("AS", self.memory_bytes, self.memory_bytes),
            ("CPU", self.cpu_s, None if self.cpu_s is None else self.cpu_s + 1),
            ("NOFILE", self.files, self.files),
            ("FSIZE", self.file_bytes, self.file_bytes),
            ("NPROC", self.processes, self.processes),
            ("CORE", self.core_bytes, self.core_bytes),
        )
        limits = [f"{name}={soft}:{hard}" for name, soft, hard in pairs if soft is not None]
        return ",".join([*limits, "IOCLASS=3:0"] if self.is_idle_io else limits)


class Offer(msgspec.Struct, frozen=True):
    """An operation of the host's that the worker may call; `serve` answers it.

    It runs in a task of the port. What it raises ends the port, but for a `WorkFailure`
    (`raise WorkFailure(…).error()`), which is an answer.
    """

    request: type[Work[Any, Any]]
    serve: Callable[[Any], Awaitable[Any]]


class PortSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of worker: a program, or a table of functions in Python.

    `worker` names a table as `package.module:table`, run by this interpreter; with
    `zygote`, the name of one, it is forked from there. `argv` is any other program. The
    environment is `PATH`, `LANG` and `env`, nothing else. With `cgroup`, a folder of
    cgroup v2 that the runtime may write to, each worker has a group of its own there.
    `works` lists the messages it serves, of protocol `api`; the worker must offer their
    operations when it starts.
    """

    api: type[Any]
    works: tuple[type[Work[Any, Any]] | type[Note[Any]], ...]
    worker: str = ""
    argv: tuple[str, ...] = ()
    zygote: str = ""
    transport: Literal["fd3", "stdio"] = "fd3"
    env: dict[str, str] = {}
    cwd: str = "/"
    limits: WorkerLimits = WorkerLimits()
    cgroup: str = ""
    settings: dict[str, Any] = {}
    offers: tuple[Offer, ...] = ()
    frame_bytes_max: int = FRAME_BYTES_MAX
    event_credit: int = 64
    init_timeout_s: float = 5.0
    drain_s: float = 3.0
    ping_s: float = PING_S
    hang_s: float = HANG_S
    takes_fds: bool = False
    on_event: Callable[[str, bytes], None] | None = None

    def __post_init__(self) -> None:
        if bool(self.worker) == bool(self.argv):
            raise BadSpec("a port needs either a worker or argv: give one of the two")
        if self.zygote and not self.worker:
            raise BadSpec(f"a zygote forks tables of Python: give a worker, not {self.argv[0]!r}")
        if self.event_credit < 1 or self.frame_bytes_max < 1024:
            raise BadSpec("a port cannot work with event_credit below 1 or frames below 1024 bytes")

    @property
    def shutdown_s(self) -> float:
        """What a stop takes at most: draining, SIGTERM, SIGKILL."""
        return self.drain_s + 2 * TERM_GRACE_S

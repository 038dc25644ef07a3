"""Processes that workers started, and what becomes of them when a worker is dead.

A worker leads a process group, which is killed with it. The runtime is a *subreaper*:
processes that left the group come to it when their parent dies, not to init, and are known
by a mark in their environment. When the runtime itself is killed, its workers die by their
own means (`launch`), their descendants do not: run the runtime in a cgroup to end those.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from typing import Final

import anyio

MARK: Final = "KEYGROVE_PORT"
"""The environment variable that holds the mark."""
HUNTS_MAX: Final = 10
PR_SET_CHILD_SUBREAPER: Final = 36
_numbers = count(1)


def new_mark() -> str:
    """What tells one worker's descendants from all others'."""
    return f"{os.getpid()}-{next(_numbers)}"


def become_subreaper() -> None:
    """Let orphaned descendants come to this process instead of to init."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


async def end_descendants(group: int, mark: str) -> None:
    """Kill and reap what a dead worker left: its group, and whoever bears its mark."""
    for attempt in range(HUNTS_MAX):
        left = _reap_group(group)
        for pid in list(_marked_children(mark)):
            left = True
            _kill(pid)
        if not left:
            return
        await anyio.sleep(0.001 * 2**attempt)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)


def _reap_group(group: int) -> bool:
    """Reap dead members; whether one is left that is still to die."""
    with suppress(ChildProcessError):
        while True:
            if os.waitid(os.P_PGID, group, os.WEXITED | os.WNOHANG) is None:
                return True
    return False


def _marked_children(mark: str) -> Iterator[int]:
    needle = f"{MARK}={mark}\0".encode()
    for task in os.listdir("/proc/self/task"):
        with suppress(OSError), open(f"/proc/self/task/{task}/children", "rb") as children:
            for pid in children.read().split():
                if needle in _environment_of(pid.decode()):
                    yield int(pid)


def _environment_of(pid: str) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            return environ.read() + b"\0"
    except OSError:
        return b""

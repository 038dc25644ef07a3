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
    hunted: set[int] = set()
    for attempt in range(HUNTS_MAX):
        for pid in _marked_children(mark):
            hunted.add(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        hunted = {pid for pid in hunted if _is_to_die(os.P_PID, pid)}
        if not _is_to_die(os.P_PGID, group) and not hunted:
            return
        await anyio.sleep(0.001 * 2**attempt)


def _is_to_die(kind: int, number: int) -> bool:
    """Reap the process, or the members of the group; whether one is still to die."""
    with suppress(ChildProcessError):
        while True:
            if os.waitid(kind, number, os.WEXITED | os.WNOHANG) is None:
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

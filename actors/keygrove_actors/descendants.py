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
from contextlib import suppress
from itertools import count
from typing import Final

import anyio

MARK: Final = "KEYGROVE_PORT"
"""The environment variable that holds the mark."""
HUNTS_MAX: Final = 10
LOOKS: Final = 3
"""How often a child in the middle of an exec is looked at again."""
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
        marked, unclear = _marked_children(mark)
        for pid in marked:
            hunted.add(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        hunted = reap(hunted)
        if not _is_to_die(os.P_PGID, group) and not hunted and not (unclear and attempt < LOOKS):
            return
        await anyio.sleep(0.001 * 2**attempt)


def reap(pids: set[int]) -> set[int]:
    """Reap those of our children that are dead; the ones still to die."""
    return {pid for pid in pids if _is_to_die(os.P_PID, pid)}


def _is_to_die(kind: int, number: int) -> bool:
    """Reap the process, or the members of the group; whether one is still to die."""
    with suppress(ChildProcessError):
        while True:
            if os.waitid(kind, number, os.WEXITED | os.WNOHANG) is None:
                return True
    return False


def _marked_children(mark: str) -> tuple[list[int], bool]:
    """Children of this process that bear the mark; and whether one cannot be told yet.

    That is one in the middle of an exec: its environment is empty for a moment.
    """
    needle = f"{MARK}={mark}\0".encode()
    marked: list[int] = []
    unclear = False
    for pid in _children():
        environment = _read(f"/proc/{pid}/environ")
        if needle in environment + b"\0":
            marked.append(pid)
        elif not environment and b") Z" not in (_read(f"/proc/{pid}/stat") or b") Z"):
            unclear = True
    return marked, unclear


def _children() -> list[int]:
    tasks = os.listdir("/proc/self/task")
    return [int(pid) for task in tasks for pid in _read(f"/proc/self/task/{task}/children").split()]


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""

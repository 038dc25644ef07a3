"""What the kernel says of processes, and how to wait for their end."""

from __future__ import annotations

import os
import select
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE_S = 60.0
"""For what never takes so long, on whatever machine: only a failure waits for its end."""


@contextmanager
def opened(pid: int) -> Generator[int, None, None]:
    """The pidfd of a process, which tells of its end."""
    pidfd = os.pidfd_open(pid)
    try:
        yield pidfd
    finally:
        os.close(pidfd)


def has_ended(pidfd: int, within_s: float = PATIENCE_S) -> bool:
    """Whether it has, or does so in time."""
    return bool(select.select([pidfd], [], [], within_s)[0])


def reap(pidfd: int) -> None:
    """Take the exit status of a process that has ended, should it be ours to take."""
    with suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)


def is_gone(pid: int) -> bool:
    """Whether it has ended; zombies have."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def parent_of(pid: int) -> int:
    return int(status_of(pid)["PPid"])


def children_of(pid: int) -> list[int]:
    """Direct children of all its threads, zombies too."""
    paths = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in paths for child in path.read_text().split()]


def descendants(pid: int) -> list[int]:
    children = children_of(pid)
    return children + [pid for child in children for pid in descendants(child)]


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

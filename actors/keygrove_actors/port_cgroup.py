"""A control group for one worker: what ends its descendants whatever they did to hide.

A process can leave its process group, and with `env -i` lose its mark (`descendants`), but
it cannot leave its control group unless it may write to another. Optional, since it needs
a folder of cgroup v2 that the runtime may write to (systemd: `Delegate=yes`), in which each
worker has a group of its own while it lives.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import anyio

from keygrove_actors.descendants import reap

TRIES_MAX: Final = 12
"""A killed group is empty when the kernel is done with it: looked at after 1, 2, 4 … ms."""


@asynccontextmanager
async def confined(folder: str, mark: str) -> AsyncGenerator[Callable[[int], None], None]:
    """A function that puts a process into a new group in `folder`; none if that is empty.

    Leaving the block ends whoever is in the group.

    Raises:
        OSError: no group can be made there.
    """
    if not folder:
        yield lambda _: None
        return
    group = os.path.join(folder, f"port-{mark}")
    with suppress(FileExistsError):  # of a runtime that had our number and was killed
        os.mkdir(group)
    try:
        yield lambda pid: _write(group, "cgroup.procs", str(pid))
    finally:
        with anyio.CancelScope(shield=True):
            await _end(group)


async def _end(group: str) -> None:
    pids = _members(group)
    _write(group, "cgroup.kill", "1")
    for attempt in range(TRIES_MAX):
        pids = reap(pids)
        with suppress(OSError):
            os.rmdir(group)
            return
        await anyio.sleep(0.001 * 2**attempt)


def _members(group: str) -> set[int]:
    with open(os.path.join(group, "cgroup.procs")) as members:
        return {int(line) for line in members}


def _write(group: str, file: str, text: str) -> None:
    with open(os.path.join(group, file), "w") as control:
        control.write(text)

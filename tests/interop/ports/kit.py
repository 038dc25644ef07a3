"""What tests of real workers share: trees of ports, and workers as scripts."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import msgspec
import pytest

from keygrove_actors import (
    ChildSpec,
    ChildTerminated,
    Crash,
    Port,
    PortSpec,
    Ref,
    Report,
    Runtime,
    Strategy,
    SupSpec,
    Zygote,
    run,
    zygote_spec,
)
from keygrove_actors import port_wire as wire
from keygrove_actors.port_conform import ConformApi, Die, Echo, Print, Spawn
from tests.processes import PATIENCE_S, opened

TABLE = "keygrove_actors.port_conform:table"
SPEC = PortSpec(api=ConformApi, works=(Echo, Print, Spawn, Die), worker=TABLE, drain_s=0.3)
HELLO = wire.Hello(1, 1, wire.MAGIC, 1, (), 2**20, 64)
QUICK = {("uvloop", "zygote"), ("trio", "c"), ("asyncio", "memory")}
"""Each loop once, and the kinds that start fastest: without slow tests, the others are left out."""


def workers(*kinds: str) -> pytest.MarkDecorator:
    """Run a test with workers of all these kinds, on every loop."""
    pairs = [(loop, kind) for kind in kinds for loop in ("asyncio", "uvloop", "trio")]
    slow = pytest.mark.slow
    return pytest.mark.parametrize(
        ("anyio_backend", "kind"),
        [pytest.param(*pair, marks=() if pair in QUICK else slow) for pair in pairs],
        indirect=True,
    )


@asynccontextmanager
async def tree(
    *children: ChildSpec, reports: list[Report], intensity: int = 5
) -> AsyncGenerator[Runtime, None]:
    spec = SupSpec(
        children=children, strategy=Strategy.REST_FOR_ONE, intensity=intensity, period=60
    )
    async with run(spec, observe=reports.append) as runtime:
        yield runtime


@asynccontextmanager
async def port_of(
    spec: PortSpec, reports: list[Report], intensity: int = 5
) -> AsyncGenerator[Ref[ConformApi], None]:
    """A port of that spec, after a zygote if it names one."""
    children: tuple[ChildSpec, ...] = (Port.child("port", spec, name="port"),)
    if spec.zygote:
        children = (zygote(), *children)
    async with tree(*children, reports=reports, intensity=intensity) as runtime:
        yield runtime.whereis("port", ConformApi)


def zygote() -> ChildSpec:
    return Zygote.child("zygote", zygote_spec("keygrove_actors.port_conform"), name="zygote")


def program(*argv: str, **options: Any) -> PortSpec:
    return msgspec.structs.replace(SPEC, worker="", argv=argv, **options)


def script(text: str) -> tuple[str, ...]:
    return (sys.executable, "-c", textwrap.dedent(text))


def says(*frames: wire.Frame) -> str:
    data = b"".join(map(wire.encode, frames))
    return f"import os, time\nos.write(3, {data!r})\ntime.sleep(60)"


class Reports(list[Report]):
    """What a runtime reported, which a test can wait for."""

    def __init__(self) -> None:
        super().__init__()
        self._more: anyio.Event | None = None

    def append(self, report: Report) -> None:
        super().append(report)
        if self._more is not None:
            self._more.set()

    async def until(self, holds: Callable[[], Any]) -> None:
        """Wait for reports until that is so."""
        with anyio.fail_after(PATIENCE_S):
            while not holds():
                self._more = anyio.Event()
                await self._more.wait()


async def gone(*pids: int) -> None:
    """Wait until these processes have ended."""
    with anyio.fail_after(PATIENCE_S):
        for pid in pids:
            with suppress(ProcessLookupError), opened(pid) as pidfd:
                await anyio.wait_readable(pidfd)


def crashes(reports: list[Report]) -> list[str]:
    """How ports crashed, in order."""
    ends = [r.reason for r in reports if isinstance(r, ChildTerminated)]
    return [end.exc for end in ends if isinstance(end, Crash)]


def sockets_of(pid: int) -> list[int]:
    """The numbers of its open sockets."""
    links = {fd: os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    return sorted(int(fd) for fd, link in links.items() if link.startswith("socket:"))

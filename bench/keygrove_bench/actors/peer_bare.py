"""The peer of W10 and W11: no runtime at all.

For W10, what Python cannot do without when each call is awaited by a coroutine of its own:
a future, a number to find it by, one write for all calls of a round. No deadline, no
credit, nothing decoded, nobody to notice a death. It is the floor, not a rival.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from struct import Struct
from typing import Any, Final

from keygrove_bench.actors.clock import Watch, quantiles
from keygrove_bench.actors.sides import ECHO, Figures
from keygrove_bench.actors.worker import Program

WINDOW: Final = 64
_BODY: Final = b"x" * 100
_BODY_BYTES: Final = 4 + len(_BODY)
_HEAD: Final = Struct(">II").pack
_HEAD_AT: Final = Struct(">II").unpack_from
_FRAME: Final = (100).to_bytes(4) + b"x" * 100


async def port(one: int, many: int) -> Figures:
    """W10: frames that begin with the number of their call, sent to the same echo."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        process = _echo(theirs.fileno())
        calls = _Calls(ours)
        await calls.echo()
        watch = Watch()
        for _ in range(one):
            await calls.echo()
        single = watch.rate(one)["rate"]

        async def calling() -> None:
            for _ in range(many // WINDOW):
                await calls.echo()

        watch = Watch()
        await asyncio.gather(*(calling() for _ in range(WINDOW)))
        many_rate = watch.rate(many)["rate"]
        calls.loop.remove_reader(ours)
    process.kill()
    process.communicate()
    return {"one": single, "many": many_rate}


class _Calls:
    def __init__(self, ours: socket.socket) -> None:
        self.loop = asyncio.get_running_loop()
        self._socket = ours
        self._flying: dict[int, asyncio.Future[bytes]] = {}
        self._out: list[bytes] = []
        self._count = 0
        self._rest = b""
        self.loop.add_reader(ours, self._receive)

    async def echo(self) -> Any:
        self._count += 1
        number = self._count
        self._flying[number] = future = self.loop.create_future()
        if not self._out:
            self.loop.call_soon(self._flush)
        self._out.append(_HEAD(_BODY_BYTES, number) + _BODY)
        return await future

    def _flush(self) -> None:
        self._socket.send(b"".join(self._out))
        self._out.clear()

    def _receive(self) -> None:
        data = self._rest + self._socket.recv(65_536)
        start, end = 0, len(data)
        while end - start >= 4 + _BODY_BYTES:
            _, number = _HEAD_AT(data, start)
            body = start + 8
            start += 4 + _BODY_BYTES
            self._flying.pop(number).set_result(data[body:start])
        self._rest = data[start:]


async def port_restart(count: int) -> Figures:
    """Kill the process, start another, and have an answer."""
    times: list[float] = []
    process = _started()
    for _ in range(count):
        process.kill()
        watch = Watch()
        process.communicate()
        process = _started()
        times.append(watch.seconds())
    process.kill()
    process.communicate()
    return quantiles(times, {"p50": 0.5, "p95": 0.95}, 1e3)


def _echo(end: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-S", "-E", str(ECHO)], stdin=end, stdout=end)


def _started() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-S", "-E", str(ECHO)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(_FRAME)
    process.stdin.flush()
    assert process.stdout.read(len(_FRAME)) == _FRAME
    return process


PROGRAMS: Final[dict[str, Program]] = {"port": port, "port-restart": port_restart}

"""The peer of W11: no runtime at all, just a new process and its first answer."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from keygrove_bench.actors.clock import Watch, quantiles
from keygrove_bench.actors.sides import ECHO, Figures
from keygrove_bench.actors.worker import Program

_FRAME: Final = (100).to_bytes(4) + b"x" * 100


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


PROGRAMS: Final[dict[str, Program]] = {"port-restart": port_restart}

"""What every program needs to turn a clock into figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from time import perf_counter

from keygrove_bench.actors.sides import Figures


class Watch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._start = perf_counter()

    def seconds(self) -> float:
        """How long it has run."""
        return perf_counter() - self._start

    def rate(self, count: int) -> Figures:
        """`count` things were done since."""
        return {"rate": count / self.seconds()}


def quantiles(times: Iterable[float], wanted: Mapping[str, float], scale: float) -> Figures:
    """The wanted parts of `times`, in seconds, multiplied by `scale`."""
    ordered = sorted(times)
    last = len(ordered) - 1
    return {key: ordered[min(last, int(part * (last + 1)))] * scale for key, part in wanted.items()}


def resident() -> int:
    """Octets of memory this process has in RAM."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS in /proc/self/status")

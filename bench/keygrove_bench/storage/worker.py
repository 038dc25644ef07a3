"""A measurement in a process of its own, which answers with a line of JSON: its figures by name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

Figures: TypeAlias = Mapping[str, float]
RUN_S: Final = 3_600
NOT_RUN: Final = 4
"""The exit code of a process that could not run what it was to run."""


class NotRunError(Exception):
    """It cannot run here; says why."""


def run(work: Callable[..., Figures], *words: object, tool: tuple[str, ...] = ()) -> Figures:
    """Run a function of a module of ours in a process of its own; its arguments come as words.

    Args:
        work: it may raise `NotRunError`, and so does this then.
        tool: a program and its arguments, to run that process under.
    """
    name = f"{work.__module__}:{work.__name__}"
    command = [*tool, sys.executable, "-m", "keygrove_bench.storage", name]
    ran = subprocess.run(
        [*command, *map(str, words)], capture_output=True, text=True, timeout=RUN_S, check=False
    )
    if ran.returncode == NOT_RUN:
        raise NotRunError(ran.stderr.strip().rpartition("\n")[2])
    if ran.returncode:
        raise SystemExit(f"{name} failed:\n{ran.stderr}")
    return msgspec.json.decode(ran.stdout.splitlines()[-1], type=dict[str, float])


def imported(module: str) -> Any:
    """A peer's module. It is named here and not in an import, as checkers may not have it.

    Raises:
        NotRunError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise NotRunError(f"{package} is not installed: pip install keygrove[bench]") from error


def written_bytes() -> int:
    """What this process has had the system write to its disks, in whole pages."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("write_bytes")).split()[1])


def memory_kib(kind: str = "VmRSS") -> int:
    """What this process holds in memory; by `VmHWM`, the most that it ever did."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{kind}:")).split()[1])


def quantile(of: list[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    return sorted(of)[min(int(len(of) * share), len(of) - 1)]

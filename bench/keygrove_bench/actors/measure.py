"""The `actors` benchmark: every workload on every side, round by round in turn."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Collection, Generator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from keygrove_bench.actors.plan import WORKLOADS, Workload
from keygrove_bench.actors.rows import Rounds, rows
from keygrove_bench.actors.sides import Figures, NotRunError, Side, command, on_one_core
from keygrove_bench.report import Report, Row, load_average, report

_SOURCES: Final = Path(__file__).parents[1] / "erlang"
_ASKED: Final = (
    'io:format("OTP ~s, ERTS ~s, ~s", '
    "[erlang:system_info(Key) || Key <- [otp_release, version, emu_flavor]]), halt()."
)
_PEERS: Final = ("uvloop", "pykka", "xoscar", "otpylib")


class UnknownRowError(Exception):
    """A row was asked for that there is not."""


def measure(only: Collection[str] = (), *, quick: bool = False) -> Report:
    """Run the workloads named in `only`, or all; `quick` is one warm-up and three rounds."""
    known = {name for one in WORKLOADS for name in (one.id, one.id.partition("-")[0])}
    if unknown := [name for name in only if name not in known]:
        raise UnknownRowError(f"no row {', '.join(unknown)}: there are {', '.join(sorted(known))}")
    load = load_average()
    results: list[Row] = []
    with _compiled() as erlang:
        for workload in WORKLOADS:
            if not only or workload.id in only or workload.id.partition("-")[0] in only:
                results += rows(workload, _measure(_shortened(workload, quick=quick), erlang))
    return report("actors", results, _versions(), load)


def _shortened(workload: Workload, *, quick: bool) -> Workload:
    if not quick:
        return workload
    warmups, repeats = min(1, workload.warmups), min(3, workload.repeats)
    return msgspec.structs.replace(workload, warmups=warmups, repeats=repeats)


def _measure(workload: Workload, erlang: Path | str) -> Rounds:
    """All rounds of a workload; the reason, for a side that cannot run it."""
    found: dict[str, list[Figures]] = {side: [] for side in workload.runs}
    missing: dict[str, str] = {}
    with ExitStack() as opened:
        sides: dict[str, Side] = {}
        for number in range(workload.warmups + workload.repeats):
            for name in workload.runs:
                if name in missing:
                    continue
                try:
                    figures = _round(workload, name, sides, opened, erlang)
                except NotRunError as error:
                    missing[name] = str(error)
                else:
                    if number >= workload.warmups:
                        found[name].append(figures)
    return {side: missing.get(side, found[side]) for side in workload.runs}


def _round(
    workload: Workload, name: str, sides: dict[str, Side], opened: ExitStack, erlang: Path | str
) -> Figures:
    if workload.is_fresh:
        with _started(workload, name, erlang) as side:
            return side.round()
    if name not in sides:
        sides[name] = opened.enter_context(_started(workload, name, erlang))
    return sides[name].round()


def _started(workload: Workload, name: str, erlang: Path | str) -> Side:
    if name == "erlang" and isinstance(erlang, str):
        raise NotRunError(erlang)
    with on_one_core(pinned=workload.is_pinned):
        return Side(command(name, workload.program, workload.runs[name], Path(erlang)))


@contextmanager
def _compiled() -> Generator[Path | str, None, None]:
    """A folder with Erlang's programs; the reason, if there can be none."""
    if shutil.which("erlc") is None:
        yield "Erlang is not installed: apt-get install erlang-base"
        return
    with TemporaryDirectory() as folder:
        told = subprocess.run(
            ["erlc", "-o", folder, *map(str, sorted(_SOURCES.glob("*.erl")))],
            capture_output=True,
            text=True,
            check=False,
        )
        if told.returncode:
            yield f"its programs do not compile: {told.stdout.partition(chr(10))[0]}"
        else:
            yield Path(folder)


def _versions() -> Mapping[str, str]:
    found = {"python": platform.python_version(), "erlang": _erlang_version()}
    for name in _PEERS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _erlang_version() -> str:
    if shutil.which("erl") is None:
        return "not installed"
    told = subprocess.run(
        ["erl", "-noshell", "-eval", _ASKED], capture_output=True, text=True, check=False
    )
    return told.stdout.strip()

"""All measurements of the storage engine, and whether one has become worse than it was.

`ratios.toml` has for some rows a peer and how many times its figure ours was, in a run on a quiet
machine. Figures move with the machine, ratios hardly: one that is worse by more than `SLACK`
fails the run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol

import msgspec

from keygrove_bench.report import Report, Row, aimed, load_average, report, row
from keygrove_bench.storage import loop, put, start, tree

SLACK: Final = 1.15
RATIOS: Final = Path(__file__).with_name("ratios.toml")
_PEERS: Final = ("lmdb", "dulwich", "prollytree")


class Measurement(Protocol):
    """Rows from work on the disk of `folder`; a quick one only shows that it runs."""

    def __call__(self, folder: Path, *, quick: bool = False) -> list[Row]:
        """Measure."""
        ...


MEASUREMENTS: Final[Mapping[str, Measurement]] = {
    "put": put.rows,
    "tree": tree.rows,
    "start": start.rows,
    "loop": loop.rows,
}


class Ratio(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was recorded for a row."""

    peer: str
    ratio: float


class UnknownMeasurementError(Exception):
    """There is none of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no measurement {name!r}: there are {', '.join(MEASUREMENTS)}")


def measure(only: Sequence[str], folder: Path | None, *, quick: bool = False) -> Report:
    """Measure all, or `only` those named, on the disk of `folder`, or that of the system's files.

    Raises:
        UnknownMeasurementError: one of them is not known.
    """
    for name in only:
        if name not in MEASUREMENTS:
            raise UnknownMeasurementError(name)
    load, results = load_average(), list[Row]()
    for name in only or MEASUREMENTS:
        with TemporaryDirectory(dir=folder, prefix="keygrove-bench-") as place:
            results += MEASUREMENTS[name](Path(place), quick=quick)
    if not quick:
        recorded = msgspec.toml.decode(RATIOS.read_bytes(), type=dict[str, Ratio])
        results += compared(results, recorded)
    return report("storage", results, _versions(), load)


def compared(results: Sequence[Row], recorded: Mapping[str, Ratio]) -> list[Row]:
    """For each row with a recorded ratio whether today's is as good; less is better in all."""
    return [
        _compared(one, recorded[one.id])
        for one in results
        if one.id in recorded and not isinstance(one.value, str)
    ]


def _compared(one: Row, known: Ratio) -> Row:
    assert not isinstance(one.value, str)
    what = (f"{one.id}-ratio", f"{one.id} to {known.peer}; recorded {known.ratio:.2f}")
    peer = one.peers.get(known.peer, f"{known.peer} was not measured")
    if isinstance(peer, str):
        return row(what, peer, "times", {})
    return aimed(row(what, [one.value / peer], "times", {}), known.ratio * SLACK, is_limit=True)


def has_regressed(found: Report) -> bool:
    """Whether a ratio is worse than it was."""
    return any(one.id.endswith("-ratio") and one.holds is False for one in found.results)


def _versions() -> Mapping[str, str]:
    found = {"sqlite": sqlite3.sqlite_version}
    for name in _PEERS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found

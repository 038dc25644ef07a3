"""All measurements of the storage engine, and whether one has become worse than it was.

Figures move with the machine, ratios to a peer of the same run much less. `ratios.toml` has those
of a run that was recorded: one that is worse by more than `SLACK` fails a later run.
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
from keygrove_bench.storage import (
    backup,
    cache,
    coding,
    fsck,
    loop,
    proof,
    put,
    rollback,
    snapshots,
    space,
    start,
    tree,
)

SLACK: Final = 1.15
RATIOS: Final = Path(__file__).with_name("ratios.toml")
_PLAIN: Final = "sqlite, batches of 256, no tree"
WATCHED: Final[Mapping[str, str]] = {
    "S-01": _PLAIN,
    "S-01-key": _PLAIN,
    "S-01-all": _PLAIN,
    "S-01-1": "sqlite, autocommit",
    "S-05": "two dicts",
    "S-07-key": "sqlite, batches of 256",
    "S-07-all": "sqlite, batches of 256",
}
"""Rows by their id, and the peer that each is held against."""
_PEERS: Final = ("lmdb", "dulwich", "prollytree")


class Measurement(Protocol):
    """Rows from work on the disk of `folder`; a quick one only shows that it runs."""

    def __call__(self, folder: Path, /, *, quick: bool = False) -> list[Row]:
        """Measure."""
        ...


MEASUREMENTS: Final[Mapping[str, Measurement]] = {
    "put": put.rows,
    "tree": tree.rows,
    "snapshots": snapshots.rows,
    "start": start.rows,
    "loop": loop.rows,
    "cache": cache.rows,
    "backup": backup.rows,
    "proof": proof.rows,
    "rollback": rollback.rows,
    "fsck": fsck.rows,
    "coding": coding.rows,
    "space": space.rows,
}


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
        results += compared(
            results, msgspec.toml.decode(RATIOS.read_bytes(), type=dict[str, float])
        )
    return report("storage", results, _versions(), load)


def compared(results: Sequence[Row], recorded: Mapping[str, float]) -> list[Row]:
    """For each row with a recorded ratio whether today's is as good; less is better in all."""
    rows: list[Row] = []
    for one in results:
        if one.id in recorded and (ratio := _ratio(one)) is not None:
            known = recorded[one.id]
            words = f"{one.id} to {WATCHED[one.id]}; recorded {known:.2f}"
            found = row((f"{one.id}-ratio", words), [ratio], "times", {})
            rows.append(aimed(found, round(known * SLACK, 3), is_limit=True))
    return rows


def record(found: Report) -> None:
    """Hold later runs against the ratios of this one; what it did not measure stays as it was."""
    known = msgspec.toml.decode(RATIOS.read_bytes(), type=dict[str, float])
    ratios = {one.id: ratio for one in found.results if (ratio := _ratio(one)) is not None}
    heading = (
        "# Our figures as multiples of a peer's in the same run; `storage --record` writes them.\n"
        f"# The last time: {found.date}, {found.commit}, {found.device}, load {found.load}.\n"
    )
    lines = [f"{name} = {ratio:.3f}\n" for name, ratio in sorted((known | ratios).items())]
    RATIOS.write_text(heading + "".join(lines))


def _ratio(one: Row) -> float | None:
    """To the peer that it is held against; None if there is none, or either did not run."""
    peer = one.peers.get(WATCHED.get(one.id, ""))
    if isinstance(one.value, str) or peer is None or isinstance(peer, str):
        return None
    return one.value / peer


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

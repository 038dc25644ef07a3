"""All measurements of set reconciliation."""

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Protocol

from keygrove_bench.recon import sessions, sketch, solve, tree, ways
from keygrove_bench.report import Report, Row, load_average, report

FLINT: Final = "python-flint"


class Measurement(Protocol):
    """Rows; a quick one only shows that it runs."""

    def __call__(self, *, quick: bool = False) -> list[Row]:
        """Measure."""
        ...


MEASUREMENTS: Final[Mapping[str, Measurement]] = {
    "tree": tree.rows,
    "solve": solve.rows,
    "sessions": sessions.rows,
    "sketch": sketch.rows,
    "ways": ways.rows,
}


class UnknownMeasurementError(Exception):
    """There is none of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no measurement {name!r}: there are {', '.join(MEASUREMENTS)}")


def measure(only: Sequence[str] = (), *, quick: bool = False) -> Report:
    """Measure, all or those named; a quick run only shows that it runs.

    Raises:
        UnknownMeasurementError: there is none of a name.
    """
    for name in only:
        if name not in MEASUREMENTS:
            raise UnknownMeasurementError(name)
    load = load_average()
    chosen = [rows for name, rows in MEASUREMENTS.items() if not only or name in only]
    results = [one for rows in chosen for one in rows(quick=quick)]
    try:
        versions = {FLINT: version(FLINT)}
    except PackageNotFoundError:
        versions = {FLINT: "not installed"}
    return report("recon", results, versions, load)

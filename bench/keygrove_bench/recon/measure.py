"""All measurements of set reconciliation."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final

from keygrove_bench.recon import solve, tree
from keygrove_bench.report import Report, load_average, report

FLINT: Final = "python-flint"


def measure(*, quick: bool = False) -> Report:
    """Measure; a quick run only shows that it runs."""
    load = load_average()
    results = [*tree.rows(quick=quick), *solve.rows(quick=quick)]
    try:
        versions = {FLINT: version(FLINT)}
    except PackageNotFoundError:
        versions = {FLINT: "not installed"}
    return report("recon", results, versions, load)

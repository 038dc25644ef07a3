"""What two nodes differ in: one solve, with FLINT and by Python's integers."""

from __future__ import annotations

import sys
from random import Random
from statistics import median
from time import perf_counter
from typing import Final

from keygrove_bench.report import Row, row
from keygrove_bench.storage import worker
from keygrove_bench.storage.worker import Figures, NotRunError
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.field import MBAR
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.samples import samples
from keygrove_protocols.recon.tree import Tree

COMMON: Final = 500
SOLVES: Final = 100
FEW: Final = 3
ROUNDS: Final = 3
TOO_MANY: Final = MBAR + 2


def rows(*, quick: bool = False) -> list[Row]:
    """Measure, each way in processes of its own."""
    solves, rounds = (FEW, 1) if quick else (SOLVES, ROUNDS)
    flint: list[Figures] | str = []
    try:
        flint = [worker.run(solved, "flint", solves) for _ in range(rounds)]
    except NotRunError as error:
        flint = str(error)
    python = [worker.run(solved, "python", solves) for _ in range(rounds)]
    found: list[Row] = []
    for count in (*range(1, MBAR + 1), TOO_MANY):
        words = f"{count} differences" if count <= MBAR else f"{count}, which cannot be told"
        beside = flint if isinstance(flint, str) else _median(flint, count)
        values = [one[str(count)] for one in python]
        found.append(row((f"solve-{count}", f"{words}, p50"), values, "ms", {"FLINT": beside}))
    return found


def _median(figures: list[Figures], count: int) -> float:
    return round(median(one[str(count)] for one in figures), 3)


def solved(way: str, solves: str) -> Figures:
    """Milliseconds by the number of differences, each told so many times.

    Raises:
        NotRunError: there is no FLINT.
    """
    if way == "flint":
        worker.imported("flint")
    else:
        sys.modules["flint"] = None  # type: ignore[assignment] # as if it were not installed
    # Only now: what finds roots is chosen as the module is loaded.
    from keygrove_protocols.recon.solve import solve  # noqa: PLC0415

    chance = Random(0)
    tree = Tree(Digest(chance.randbytes(16)) for _ in range(COMMON))
    figures: dict[str, float] = {}
    for count in (*range(1, MBAR + 1), TOO_MANY):
        took: list[float] = []
        for _ in range(int(solves)):
            others = [Digest(chance.randbytes(16)) for _ in range(count)]
            remote = [*sorted(tree.digests(ROOT))[count // 2 :], *others[count // 2 :]]
            size, values = len(remote), samples(remote)
            node = tree.node(ROOT)
            at = perf_counter()
            found = solve(tree, node, size, values)
            took.append((perf_counter() - at) * 1e3)
            assert (found is None) == (count > MBAR - (MBAR + count) % 2)
        figures[str(count)] = median(took)
    return figures

"""S-10: how fast a check reads what is stored, and what becomes of bits that flip.

Per core: by the time of the processor, most of which goes to one thread, since a figure by the
clock would be of whatever else the machine does.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from time import perf_counter, process_time
from typing import Final

import uvloop

from keygrove.storage.fsck.content import check_content
from keygrove.storage.fsck.findings import Findings, Level
from keygrove.storage.fsck.tell import untold
from keygrove.system.sqlite import SqliteFiles
from keygrove_bench.report import Row, aimed, row
from keygrove_bench.storage import worker
from keygrove_bench.storage.made import opened, puts
from keygrove_bench.storage.worker import Figures
from keygrove_chaos.bitflips import flip_of, judge, make, seen

ROWS: Final = 100_000
FEW: Final = 2_000
OCTETS: Final = 2_048
BATCH: Final = 1_024
ROUNDS: Final = 3
FLIPS: Final = 1_000
FEW_FLIPS: Final = 10
GOAL_A_SECOND: Final = 60_000


def rows(folder: Path, *, quick: bool = False) -> list[Row]:
    """Measure, on the disk of `folder`."""
    number, flips, rounds = (FEW, FEW_FLIPS, 1) if quick else (ROWS, FLIPS, ROUNDS)
    worker.run(filled, number, folder / "filled")
    checked = [worker.run(content_checked, number, folder / "filled") for _ in range(rounds)]
    flipped = worker.run(flipped_bits, flips, folder / "flipped")
    words = f"level 3, {number:,} rows of 2 KiB, a second of a core"
    return [
        aimed(row(("S-10-fsck", words), [one["cpu"] for one in checked], "1/s", {}), GOAL_A_SECOND),
        row(("S-10-clock", "the same, a second"), [one["clock"] for one in checked], "1/s", {}),
        aimed(
            row(
                ("S-10-flips", f"of {flips:,} flips of a bit, found or harmless, and never served"),
                [flipped["well"]],
                "",
                {"found": flipped["found"], "harmless": flipped["harmless"]},
            ),
            flips,
        ),
    ]


def filled(number: str, folder: str) -> Figures:
    """A store with so many certificates."""
    return uvloop.run(_filled(int(number), Path(folder)))


async def _filled(number: int, folder: Path) -> Figures:
    async with opened(folder) as store:
        for first in range(0, number, BATCH):
            count = min(BATCH, number - first)
            await store.commit(puts(first, count, OCTETS, is_indexed=False))
        await store.settle()
    return {}


def content_checked(number: str, folder: str) -> Figures:
    """How many rows a second are checked, by the processor's time and by the clock."""
    return uvloop.run(_content_checked(int(number), Path(folder)))


async def _content_checked(number: int, folder: Path) -> Figures:
    found = Findings(0)
    async with SqliteFiles(folder).open("0/heap.db", writable=False) as reader:
        began, spent = perf_counter(), process_time()
        await check_content(reader, number, found, untold)
        took, cpu = perf_counter() - began, process_time() - spent
    if found.has(Level.CONTENT):
        raise SystemExit(f"what was just written is damaged: {found.all()[0]}")
    return {"cpu": number / cpu, "clock": number / took}


def flipped_bits(number: str, folder: str) -> Figures:
    """How many flips were found, or harmless, and how many of all were either."""
    return uvloop.run(_flipped_bits(int(number), Path(folder)))


async def _flipped_bits(number: int, folder: Path) -> Figures:
    found = harmless = well = 0
    for is_stopped in (True, False):
        base = folder / f"{is_stopped}"
        base.mkdir(parents=True)
        await make(base, is_stopped=is_stopped)
        shutil.copytree(base, folder / f"copy-{is_stopped}")
        before = await seen(folder / f"copy-{is_stopped}")
        for at in range(is_stopped, number, 2):
            verdict = await judge(base, before, flip_of(base, f"{at}"), folder / "scratch")
            found += verdict.is_found
            harmless += not verdict.differing
            well += verdict.is_well
    return {"found": found, "harmless": harmless, "well": well}

"""S-C6: how long the logs of a store become under load, while readers are stuck."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import anyio
import uvloop

from keygrove.errors import DiskFullError
from keygrove_bench.report import Report, Row, aimed, load_average, report, row
from keygrove_bench.storage.made import opened, puts

SECONDS: Final = 600
LOG_MIB: Final = 256
STUCK: Final = (60.0, 15.0)
"""Seconds for which a reader is stuck, and after which the next one is."""
BATCH: Final = 64
OCTETS: Final = 2_048
PAUSE_S: Final = 0.03
"""Between two commits: some 4 MB/s, as a disk can hold ten minutes of."""
RETRY_S: Final = 1.0
LOOK_S: Final = 0.1


def measure(seconds: int, folder: Path | None) -> Report:
    """Commit for so long, on the disk of `folder`."""
    load = load_average()
    with TemporaryDirectory(dir=folder, prefix="keygrove-bench-") as place:
        found = uvloop.run(_Load(Path(place)).run(seconds))
    return report("campaign stuck", found, {"sqlite": sqlite3.sqlite_version}, load)


class _Load:
    """A store under load, and what becomes of its logs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log_bytes = {"heap.db": 0, "index.db": 0}
        self._commits = 0
        self._refused = 0

    async def run(self, seconds: int) -> list[Row]:
        """The longest of each log, and how many commits there were."""
        async with opened(self._folder) as store:
            with anyio.move_on_after(seconds):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._look)
                    for file in self._log_bytes:
                        tasks.start_soon(self._hold, file)
                    while True:
                        writes = puts(self._commits * BATCH, BATCH, OCTETS, is_indexed=True)
                        try:
                            await store.commit(writes)
                        except DiskFullError:
                            self._refused += 1
                            await anyio.sleep(RETRY_S)
                        else:
                            self._commits += 1
                            await anyio.sleep(PAUSE_S)
            assert store.head().change == self._commits
        return [
            *(
                aimed(
                    row((f"S-C6-{file}", f"longest log of {file}"), [size / 2**20], "MiB", {}),
                    LOG_MIB,
                    is_limit=True,
                )
                for file, size in self._log_bytes.items()
            ),
            row(("commits", f"commits of {BATCH} in {seconds} s"), [self._commits], "commits", {}),
            row(("refused", "commits that a log had no room for"), [self._refused], "commits", {}),
        ]

    async def _look(self) -> None:
        while True:
            for file in self._log_bytes:
                size = (await anyio.Path(self._path(file, "-wal")).stat()).st_size
                self._log_bytes[file] = max(size, self._log_bytes[file])
            await anyio.sleep(LOOK_S)

    async def _hold(self, file: str) -> None:
        stuck_s, free_s = STUCK
        while True:
            with _reading(self._path(file)):
                await anyio.sleep(stuck_s)
            await anyio.sleep(free_s)

    def _path(self, file: str, suffix: str = "") -> Path:
        return self._folder / "0" / f"{file}{suffix}"


@contextmanager
def _reading(path: Path) -> Generator[None, None, None]:
    """Another connection that has begun to read, and does not come to an end."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    try:
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield
    finally:
        db.close()

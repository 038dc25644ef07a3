"""Acknowledged is synchronised: seen from outside, in what a process asks of its kernel."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import PATIENCE_S

STRACE = shutil.which("strace")
COMMITS = 5
TOLD = "acknowledged"
PROGRAM = f"""
import os, sys, anyio
from pathlib import Path
from keygrove.storage.opening import Home, open_store
from keygrove.system.sqlite import SqliteFiles
from keygrove_chaos.certificates import made, put_of

async def main(durable):
    home = Home("shard-0", "0/1", bytes(16))
    files = SqliteFiles(Path(sys.argv[1]))
    async with open_store(files, home, anyio.Semaphore(1), durable=durable) as opening:
        store = await opening.finish()
        for number in range({COMMITS}):
            await store.commit([put_of(made(number))])
            os.write(1, b"{TOLD}\\n")

anyio.run(main, sys.argv[2] == "full")
"""
CALL = re.compile(r"^(\d+) +(pwrite64|fdatasync|fsync|write)\(\d+<([^>]*)>(.*)")
RESUMED = re.compile(r"^(\d+) +<\.\.\. (?:fdatasync|fsync) resumed>")


def synchronised(trace: str) -> list[bool]:
    """For each acknowledgement, whether all that was written to the heap's log was on the disk."""
    found: list[bool] = []
    written = is_on_disk = False
    under_way: set[str] = set()
    """Threads that wait for the end of a synchronisation of the log."""
    for line in trace.splitlines():
        if (resumed := RESUMED.match(line)) and resumed[1] in under_way:
            under_way.remove(resumed[1])
            is_on_disk = True
        called = CALL.match(line)
        if called is None:
            continue
        thread, name, path, rest = called.groups()
        if path.endswith("/heap.db-wal") and name == "pwrite64":
            written, is_on_disk = True, False
        elif path.endswith("/heap.db-wal") and "unfinished" in rest:
            under_way.add(thread)
        elif path.endswith("/heap.db-wal"):
            is_on_disk = True
        elif name == "write" and TOLD in rest:
            assert written, "a commit was written before it was acknowledged"
            found.append(is_on_disk)
            written = False
    return found


@pytest.mark.slow
@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
@pytest.mark.parametrize(("durability", "is_on_disk"), [("full", True), ("relaxed", False)])
def test_the_log_is_synchronised_before_each_acknowledgement(
    tmp_path: Path, durability: str, *, is_on_disk: bool
) -> None:
    trace, data = tmp_path / "trace", tmp_path / "data"
    data.mkdir()
    watched = "trace=pwrite64,fdatasync,fsync,write"
    program = [sys.executable, "-c", PROGRAM, str(data), durability]
    subprocess.run(
        [str(STRACE), "-f", "-y", "-s", "64", "-e", watched, "-o", str(trace), *program],
        check=True,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert synchronised(trace.read_text(errors="replace")) == [is_on_disk] * COMMITS

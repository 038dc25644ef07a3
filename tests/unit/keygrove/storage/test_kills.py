"""`kill -9` at each named point, on real files: what a commit returned for is there."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from keygrove.points import CRASHES
from keygrove.storage.fsck.checking import Subject, check_shard
from keygrove.storage.fsck.findings import Level
from keygrove.storage.fsck.tell import untold
from keygrove.storage.opening import open_store
from keygrove.system.rawfiles import RawFiles
from keygrove.system.sqlite import SqliteFiles
from tests import ended_at
from tests.ended_at import FOLDER, HOME
from tests.processes import PATIENCE_S

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ONCE = {"store.open"}
"""What a process comes to once."""


def ended(root: Path, told: Path, point: str, visit: int) -> int:
    """How the process ended."""
    program = [sys.executable, ended_at.__file__, str(root), str(told), point, str(visit)]
    return subprocess.run(program, timeout=PATIENCE_S, check=False).returncode


@pytest.mark.parametrize(
    ("point", "visit"),
    [(one, 1 if one in ONCE else 1 + at % 3) for at, one in enumerate(sorted(CRASHES))],
)
async def test_what_a_commit_returned_for_is_there(tmp_path: Path, point: str, visit: int) -> None:
    root, told = tmp_path / "data", tmp_path / "told"
    root.mkdir()
    assert ended(root, told, point, 0) == 0
    assert ended(root, told, point, visit) == -signal.SIGKILL
    heads = {int(n): bytes.fromhex(h) for n, h in map(str.split, told.read_text().splitlines())}
    async with open_store(SqliteFiles(root), HOME, anyio.Semaphore(1), durable=True) as opening:
        store = await opening.finish()
        # One commit may have been under way that nobody heard of.
        assert max(heads) <= store.head().change <= max(heads) + 1
        assert sorted(heads) == list(range(1, max(heads) + 1))
        # What is compacted soon keeps its last head, and few besides.
        kept = [max(heads)] if point == "compaction" else list(heads)
        for change, root_then in ((one, heads[one]) for one in kept):
            assert (await store.history.head(change)).root == root_then
        assert store.tree().root == store.head().root
    again = os.open(told, os.O_WRONLY | os.O_APPEND)
    await ended_at.work(root, again, rounds=0)  # what was begun comes to its end
    os.close(again)
    subject = Subject(SqliteFiles(root), RawFiles(root), FOLDER, 0, 1, is_live=False)
    checked = await check_shard(subject, Level.HISTORY, untold)
    assert (checked.findings.all(), checked.skipped) == ([], ())

"""Which SQLite this is, and what it says when it cannot."""

from pathlib import Path

import pytest

from keygrove.errors import StoreError
from keygrove.system.sqlite import SqliteFiles, has_reset_bug


@pytest.mark.parametrize(
    ("version", "has_bug"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
    ],
    ids=str,
)
def test_versions_with_the_reset_bug_are_known(
    version: tuple[int, int, int], *, has_bug: bool
) -> None:
    assert has_reset_bug(version) is has_bug


def test_the_engine_names_its_version_and_its_bug(tmp_path: Path) -> None:
    assert SqliteFiles(tmp_path).engine.startswith("SQLite 3.")


@pytest.mark.anyio
async def test_files_that_cannot_be_opened_are_the_stores_fault(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    files = SqliteFiles(tmp_path)
    for path, writable in (("taken/heap.db", True), ("none/heap.db", False)):
        with pytest.raises(StoreError, match="cannot open"):
            async with files.open(path, writable=writable):
                pass

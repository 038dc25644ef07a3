"""Which SQLite this is."""

from pathlib import Path

import pytest

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

"""Folders of the data directory."""

from pathlib import Path
from stat import S_IMODE

from keygrove.system.datadir import make_folder


def test_a_folder_is_made_with_those_above_it_for_the_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "c"
    for _ in range(2):
        make_folder(folder)
        assert S_IMODE(folder.stat().st_mode) == 0o700
        assert S_IMODE(folder.parent.stat().st_mode) & 0o700 == 0o700


def test_a_folder_is_made_where_the_one_above_cannot_be_read(tmp_path: Path) -> None:
    tmp_path.chmod(0o300)
    make_folder(tmp_path / "a")
    tmp_path.chmod(0o700)
    assert (tmp_path / "a").is_dir()

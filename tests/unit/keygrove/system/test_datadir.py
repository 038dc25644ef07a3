"""Folders of the data directory."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from stat import S_IMODE

import pytest

from keygrove.errors import DataDirError, InUseError
from keygrove.system.datadir import (
    LOCK,
    begin_shards,
    check_shards,
    count_shards,
    make_folder,
    owned,
    owned_anew,
    owner_of,
)


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


def test_what_was_there_before_is_all_that_stays_when_the_work_fails(tmp_path: Path) -> None:
    for root in (tmp_path / "a" / "b", tmp_path):
        with pytest.raises(ZeroDivisionError), owned_anew(root, "a test"):
            raise ZeroDivisionError
        assert list(tmp_path.iterdir()) == []
    with owned(tmp_path, "a test"):
        pass
    with pytest.raises(ZeroDivisionError), owned_anew(tmp_path, "a test"):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def test_a_lock_that_was_taken_away_meanwhile_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_away(*_: object) -> None:
        (tmp_path / LOCK).unlink()

    monkeypatch.setattr("keygrove.system.datadir.fcntl.flock", take_away)
    with pytest.raises(InUseError), owned(tmp_path, "a test"):
        pass


def shard(root: Path, number: int, of: int | None) -> None:
    """A shard's heap, as far as it matters here; without `of` its making was cut short."""
    folder = root / f"shard-{number}"
    folder.mkdir(parents=True)
    with closing(sqlite3.connect(folder / "heap.db")) as db, db:
        if of is not None:
            db.execute("CREATE TABLE meta (k, v)")
            db.execute("INSERT INTO meta VALUES ('shard', ?)", (f"{number}/{of}",))
        else:
            db.execute("PRAGMA user_version = 1")


def test_a_directory_of_another_number_of_shards_is_refused(tmp_path: Path) -> None:
    for number in range(4):
        shard(tmp_path, number, 4)
    assert count_shards(tmp_path) == 4
    check_shards(tmp_path, 4)
    with pytest.raises(DataDirError, match="was made with shards = 4, not 5: set"):
        check_shards(tmp_path, 5)


def test_a_directory_whose_making_was_cut_short_can_be_made_whole(tmp_path: Path) -> None:
    shard(tmp_path, 0, None)
    check_shards(tmp_path, 4)
    shard(tmp_path / "later", 0, 4)
    check_shards(tmp_path / "later", 4)
    with pytest.raises(DataDirError, match="was made with shards = 4, not 1: set"):
        check_shards(tmp_path / "later", 1)


def test_shards_are_counted_where_the_first_cannot_be_read(tmp_path: Path) -> None:
    for number in range(3):
        shard(tmp_path, number, 3)
    (tmp_path / "shard-0" / "heap.db").write_bytes(b"damaged" * 1000)
    assert count_shards(tmp_path) == 3
    (tmp_path / "shard-0" / "heap.db").unlink()
    assert count_shards(tmp_path) == 3
    for number in range(2):
        (tmp_path / f"shard-{number}" / "index.db").touch()
    (tmp_path / "shard-1" / "heap.db").unlink()
    (tmp_path / "shard-2" / "heap.db").write_bytes(b"damaged" * 1000)
    assert count_shards(tmp_path) == 3
    assert count_shards(tmp_path / "none") == 0


@pytest.mark.parametrize("is_emptied", [False, True])
@pytest.mark.parametrize("is_written", [False, True])
def test_a_shard_that_is_gone_is_not_begun_empty(
    tmp_path: Path, is_written: bool, is_emptied: bool
) -> None:
    if is_emptied:
        make_folder(tmp_path / "shard-1")
    make_folder(tmp_path / "shard-0")
    with closing(sqlite3.connect(tmp_path / "shard-0" / "heap.db")) as db:
        db.execute("CREATE TABLE meta (k TEXT PRIMARY KEY, v)")
        db.execute("CREATE TABLE head (n INTEGER PRIMARY KEY)")
        db.execute("INSERT INTO meta VALUES ('shard', '0/2')")
        if is_written:
            db.execute("INSERT INTO head VALUES (1)")
        db.commit()
    if is_written:
        with pytest.raises(DataDirError, match=r"shard-1 in the data directory .* is gone"):
            check_shards(tmp_path, 2)
    else:
        check_shards(tmp_path, 2)


@pytest.mark.parametrize("name", ["signing.key", "reserve"])
@pytest.mark.parametrize("is_emptied", [False, True])
def test_shards_that_are_all_gone_are_not_begun_empty(
    tmp_path: Path, name: str, is_emptied: bool
) -> None:
    if is_emptied:
        make_folder(tmp_path / "shard-0")
        make_folder(tmp_path / "shard-1")
    (tmp_path / LOCK).touch()
    check_shards(tmp_path, 2)  # a start that failed left it
    (tmp_path / name).touch()
    with pytest.raises(DataDirError, match=rf"all shards .* are gone, in which {name} tell"):
        check_shards(tmp_path, 2)


def test_a_start_that_was_broken_off_is_not_taken_for_a_loss(tmp_path: Path) -> None:
    begin_shards(tmp_path, 2)
    (tmp_path / "shard-0" / "heap.db").unlink()
    with closing(sqlite3.connect(tmp_path / "shard-0" / "heap.db")) as db, db:
        db.execute("CREATE TABLE meta (k TEXT PRIMARY KEY, v)")
        db.execute("CREATE TABLE head (n INTEGER PRIMARY KEY)")
        db.execute("INSERT INTO meta VALUES ('shard', '0/2')")
        db.execute("INSERT INTO head VALUES (1)")
    check_shards(tmp_path, 2)
    (tmp_path / "shard-1" / "heap.db").unlink()
    with pytest.raises(DataDirError, match=r"shard-1 in the data directory .* is gone"):
        check_shards(tmp_path, 2)


def test_where_a_shard_has_an_index_only_it_refuses_itself(tmp_path: Path) -> None:
    begin_shards(tmp_path, 1)
    (tmp_path / "shard-0" / "heap.db").rename(tmp_path / "shard-0" / "index.db")
    begin_shards(tmp_path, 1)
    assert not (tmp_path / "shard-0" / "heap.db").exists()


def test_who_owns_a_directory_is_told_without_locking_it(tmp_path: Path) -> None:
    assert owner_of(tmp_path) is None
    with owned(tmp_path, "a test"):
        assert owner_of(tmp_path) == os.getpid()
    assert owner_of(tmp_path) is None

"""The file system of the data directory, as the system has it."""

from pathlib import Path

import pytest

from keygrove.errors import DiskFullError, StoreError
from keygrove.system.sqlite import SqliteFiles
from keygrove.system.volume import DataVolume
from tests.small_disk import mounted

pytestmark = pytest.mark.anyio
SIZE = 1 << 20


async def test_the_reserve_has_its_blocks_and_gives_them_back(tmp_path: Path) -> None:
    volume, file = DataVolume(tmp_path), tmp_path / "reserve"
    assert (await volume.measure()).reserved_bytes == 0
    await volume.reserve(SIZE)
    assert file.stat().st_blocks * 512 >= SIZE
    assert (await volume.measure()).reserved_bytes == SIZE
    written = file.stat().st_mtime_ns
    await volume.reserve(SIZE)
    assert file.stat().st_mtime_ns == written, "it is there already"
    await volume.reserve(SIZE // 2)
    assert file.stat().st_size == SIZE // 2
    await volume.release()
    await volume.release()
    assert not file.exists()


async def test_a_disk_is_measured_and_timed(tmp_path: Path) -> None:
    volume = DataVolume(tmp_path)
    await volume.reserve(SIZE)
    room = await volume.measure()
    assert 0 < room.free_bytes <= room.total_bytes
    assert not room.is_read_only
    assert await volume.sync_s(3) > 0
    assert (await volume.measure()).reserved_bytes == SIZE


async def test_what_is_not_there_cannot_be_measured_or_timed(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        await DataVolume(tmp_path / "gone").measure()
    with pytest.raises(StoreError, match="No such file"):
        await DataVolume(tmp_path).sync_s(1)


async def test_where_the_reserve_finds_no_room_nothing_is_left_of_it(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", SIZE) as disk:
        volume = DataVolume(disk.path)
        with pytest.raises(DiskFullError):
            await volume.reserve(2 * SIZE)
        assert not (disk.path / "reserve").exists()
        disk.freeze()
        assert (await volume.measure()).is_read_only
        with pytest.raises(StoreError, match="Read-only"):
            await volume.reserve(1)


async def test_a_folder_to_come_is_as_read_only_as_the_one_above_it(tmp_path: Path) -> None:
    assert not await SqliteFiles(tmp_path / "some" / "data").is_read_only()
    with mounted(tmp_path / "disk", SIZE) as disk:
        disk.freeze()
        assert await SqliteFiles(disk.path / "some" / "data").is_read_only()

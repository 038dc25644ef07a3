"""Secret files on a real file system."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from keygrove.errors import DiskFullError, SecretFileError
from keygrove.system.files import SecretFiles
from tests.small_disk import mounted

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_file_is_there_for_its_owner_alone_whatever_the_mask(tmp_path: Path) -> None:
    files = SecretFiles(tmp_path / "data")
    assert await files.read("secret", 100) is None
    old = os.umask(0)
    try:
        await files.create("secret", b"content")
    finally:
        os.umask(old)
    assert await files.read("secret", 100) == b"content"
    assert await files.read("secret", 3) == b"con"
    assert stat.S_IMODE((tmp_path / "data" / "secret").stat().st_mode) == 0o600
    assert os.listdir(tmp_path / "data") == ["secret"]


async def test_what_a_power_cut_left_half_made_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "secret.new").write_bytes(b"con")
    files = SecretFiles(tmp_path)
    assert await files.read("secret", 100) is None
    await files.create("secret", b"content")
    assert await files.read("secret", 100) == b"content"
    assert os.listdir(tmp_path) == ["secret"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o620])
async def test_what_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "secret").write_bytes(b"content")
    (tmp_path / "secret").chmod(mode)
    with pytest.raises(SecretFileError, match=rf"mode {mode:04o}\): .* chmod 600"):
        await SecretFiles(tmp_path).read("secret", 100)


def _folder(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize("make", [_folder, _pipe])
async def test_what_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "secret")
    with pytest.raises(SecretFileError, match="is no file"):
        await SecretFiles(tmp_path).read("secret", 100)


async def test_what_cannot_be_made_is_told_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")
    with pytest.raises(SecretFileError, match=r"cannot make .*secret: "):
        await SecretFiles(tmp_path / "data").create("secret", b"content")
    with pytest.raises(SecretFileError, match=r"cannot read .*secret: .* mode 0600"):
        await SecretFiles(tmp_path / "data").read("secret", 100)


async def test_a_full_disk_leaves_nothing_of_it(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", 1 << 20) as disk:
        disk.fill()
        files = SecretFiles(disk.path)
        with pytest.raises(DiskFullError, match="secret"):
            await files.create("secret", bytes(1 << 16))
        assert await files.read("secret", 100) is None
        disk.free()
        await files.create("secret", b"content")
        assert await files.read("secret", 100) == b"content"

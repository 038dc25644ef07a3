"""A file system of a few megabytes, to be filled to the last block: only root can make one."""

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

BLOCK = bytes(4096)


class SmallDisk:
    """A mounted file system, and what fills it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Leave no block free."""
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(BLOCK)
            except OSError:
                return

    def free(self) -> None:
        """Take away what `fill` wrote."""
        self._ballast.unlink()

    def freeze(self) -> None:
        """Make it read-only: nobody may have a file open to write it."""
        self._remount("ro")

    def thaw(self) -> None:
        """Let it be written again."""
        self._remount("rw")

    def _remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.path)], check=True)


@contextmanager
def mounted(path: Path, size_bytes: int) -> Generator[SmallDisk, None, None]:
    """A tmpfs at `path`; where none can be mounted, the test is skipped."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount the small file system that this fills")
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "keygrove-test", str(path)]
    made = subprocess.run(mount, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {made.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)

"""What `keygrove load` reads: files, all files of directories, standard input."""

import os
import select
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Self

from anyio.from_thread import check_cancelled

from keygrove.cli.console import counted
from keygrove.cli.options import CouldNotRun

STDIN = Path("-")
LOOK_MS = 100
"""How often a read that waits for data looks whether it still has to."""

LEFT_OUT = (
    *("metadata-*.txt", "readme*", "*.html", "*.sig", "*.part", ".*"),
    *("*.md5", "*.sha1", "*.sha256", "*.sha512", "*sum", "*sums", "*sum.txt", "*sums.txt"),
)
"""What lies beside the files of a dump, in lower case; in a directory it is not looked into."""


LEFT_OUT_TOLD = 5


class Input:
    """A file to be read, in a thread of anyio's: a read ends with the task that waits for it.

    It is opened by the first read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = 0 if path == STDIN else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            os.close(self._file)
            self._file = None

    def size(self) -> int | None:
        """How many octets there are; None for a pipe, and for what cannot be asked."""
        try:
            status = self.path.stat() if self._file is None else os.fstat(self._file)
        except OSError:
            return None  # its first read says why
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def read(self, size: int, /) -> bytes:
        """Wait for some octets, at most `size`; none at the end.

        Raises:
            OSError: it cannot be opened or read.
        """
        if self._file is None:
            # A named pipe is then opened without waiting for its writer, who is waited for below.
            self._file = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        waiting = select.poll()
        waiting.register(self._file, select.POLLIN)
        check_cancelled()
        while not waiting.poll(LOOK_MS):
            check_cancelled()
        return os.read(self._file, size)


def find(paths: Iterable[Path]) -> tuple[list[Input], list[Path]]:
    """What is to be read for these arguments, and what is left out, by its name.

    Raises:
        CouldNotRun: a directory cannot be listed, or there is no standard input.
    """
    inputs: list[Input] = []
    left_out: list[Path] = []
    for path in paths:
        if path == STDIN:
            if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] - so it is, closed
                raise CouldNotRun("standard input is closed: name files")
            inputs.append(Input(path))
        elif path.is_dir():
            for one in _files(path):
                if any(fnmatchcase(one.name.lower(), pattern) for pattern in LEFT_OUT):
                    left_out.append(one)
                else:
                    inputs.append(Input(one))
        else:
            inputs.append(Input(path))
    return inputs, left_out


def left_out_words(paths: Sequence[Path]) -> str:
    """What was left out beside a dump, for people."""
    names = ", ".join(path.name for path in paths[:LEFT_OUT_TOLD])
    more = ", …" if len(paths) > LEFT_OUT_TOLD else ""
    return f"left out: {counted(len(paths), 'file')} beside a dump: {names}{more}"


def _files(folder: Path) -> Iterator[Path]:
    """All below it, in the order of their names. Links to directories are not followed."""
    try:
        for path in sorted(folder.iterdir()):
            if not path.is_dir():
                yield path
            elif not path.is_symlink():
                yield from _files(path)
    except OSError as error:
        raise CouldNotRun(f"cannot list {error.filename}: {error.strerror}") from error

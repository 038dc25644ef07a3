"""Standard output that a command may lose: full, closed, or with nobody left to read it.

Whatever a command prints by goes through one stream, whose errors are told here and nowhere else.
"""

import errno
import io
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, TextIO

import click

from keygrove.cli.options import CouldNotRun

READER_GONE = 141
"""The exit code that shells have for a program that SIGPIPE ended."""
_STDOUT, _STDERR = 1, 2


class _Output(io.FileIO):
    """A file descriptor whose first error is raised as what ends a command; then it takes all.

    Else Python, which tries again at its end, would put its own words and exit code in place of
    ours.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._is_lost = False

    def write(self, data: Any, /) -> int:  # whatever has octets, which 3.11 has no type for
        """Write some of it.

        Raises:
            Exit: whoever read it has had enough.
            CouldNotRun: it cannot be written.
        """
        if self._is_lost:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except OSError as error:
            self._is_lost = True
            if error.errno == errno.EPIPE:
                raise click.exceptions.Exit(READER_GONE) from error
            raise CouldNotRun(f"cannot write to standard output: {error.strerror}") from error


@contextmanager
def standard_output() -> Generator[None, None, None]:
    """While the block runs, errors of standard output end the command, and so they do behind it."""
    _fill_gaps()
    if sys.stdout is not sys.__stdout__:  # somebody who tests us captures it
        yield
        return
    sys.stdout = _opened(sys.stdout)
    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except click.exceptions.Exit as gone:
            sys.exit(gone.exit_code)


def _fill_gaps() -> None:
    """Where a stream was closed before we began, nothing is to be read, and all may be written.

    Else a socket or file of ours would get its number, and what is meant for the stream.
    """
    gaps = [stream is None for stream in (sys.stdin, sys.stdout, sys.stderr)]
    for number in (number for number, is_closed in enumerate(gaps) if is_closed):
        os.open(os.devnull, os.O_RDWR)
        if number == _STDERR:
            sys.stderr = open(_STDERR, "w", closefd=False)  # noqa: SIM115 - it lives as long as we


def _opened(stdout: TextIO | None) -> TextIO:
    raw = _Output(_STDOUT)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stdout.encoding if stdout else "utf-8",
        errors=stdout.errors if stdout else "backslashreplace",
        line_buffering=raw.isatty(),
    )

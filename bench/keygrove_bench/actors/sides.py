"""One side of a comparison: a process that runs its workload each time it is told to.

On standard input it gets a line "go" for each round, and answers with one line: names and
numbers in turn, or "not-run" and the reason. Between rounds it waits, so that sides can
take turns on one core, each warm.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from types import TracebackType
from typing import Final, TypeAlias

ROUND_S: Final = 240
"""A round that takes longer is given up, and the side with it."""

NOT_RUN: Final = "not run: "

Figures: TypeAlias = Mapping[str, float]


class NotRunError(Exception):
    """A side cannot run a workload here; says why."""


class Side:
    """A running side. Leaving the block ends its process."""

    def __init__(self, command: Sequence[str]) -> None:
        self._errors = TemporaryFile(mode="w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )

    def __enter__(self) -> Side:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._errors, self._process as process:
            process.kill()

    def round(self) -> Figures:
        """Have the workload run once.

        Raises:
            NotRunError: it cannot, or it failed; nor will it later.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        alarm = Timer(ROUND_S, self._process.kill)
        alarm.start()
        try:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            alarm.cancel()
        if not answer:
            raise NotRunError(f"the program ended: {self._last_words()}")
        name, _, rest = answer.strip().partition(" ")
        if name == "not-run":
            raise NotRunError(rest)
        words = answer.split()
        return {key: float(value) for key, value in zip(words[::2], words[1::2], strict=True)}

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().split("\n")
        return next((line for line in reversed(lines) if line.strip()), "without a word")[:200]


def command(side: str, program: str, arguments: Sequence[str | int], erlang: Path) -> list[str]:
    """The command line of a side; `erlang` is where Erlang's programs were compiled to."""
    words = [str(argument) for argument in arguments]
    if side == "erlang":
        extra = [sys.executable, str(ECHO)] if program == "port" else []
        beam = ["erl", "-noshell", "+S", "1:1", "-pa", str(erlang), "-run", "kg_bench", "main"]
        return [*beam, _ERLANG.get(program, program), *extra, *words]
    return [sys.executable, "-m", "keygrove_bench.actors.worker", side, program, *words]


@contextmanager
def on_one_core(*, pinned: bool) -> Generator[None, None, None]:
    """Processes started inside run on one core, the last of those we may use."""
    before = os.sched_getaffinity(0)
    if pinned:
        os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


ECHO: Final = Path(__file__).with_name("echo.py")
"""The program behind Erlang's port."""

_ERLANG: Final = {"direct": "call"}

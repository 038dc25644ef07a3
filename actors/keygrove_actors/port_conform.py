"""What a worker must do to pass the port conformance suite, and one in Python that does.

A worker in any language serves these operations; `tests/interop/ports` then asks it all
the questions. Payloads are plain bytes, numbers in decimal, but for `count`, which shows
MessagePack: the request is an array of one integer, each result and the reply an integer.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from typing import ClassVar, Final

from keygrove_actors.work import Note, RawWork, Stream, WorkFailure
from keygrove_actors.worker import PORT_FD, Job, Table


class ConformApi:
    """The protocol of the suite's workers."""


class Echo(RawWork[ConformApi], frozen=True, tag=True):
    """Answer `data`."""

    op: ClassVar[str] = "echo"


class Sleep(RawWork[ConformApi], frozen=True, tag=True):
    """Answer `data`, a number, after so many milliseconds; before them if cancelled."""

    op: ClassVar[str] = "sleep"


class Fail(RawWork[ConformApi], frozen=True, tag=True):
    """Answer ERROR `not_found`, "no such thing", retryable."""

    op: ClassVar[str] = "fail"


class Print(RawWork[ConformApi], frozen=True, tag=True):
    """Print so many lines to stdout and to stderr, each its number, and answer `data`."""

    op: ClassVar[str] = "print"


class Ask(RawWork[ConformApi], frozen=True, tag=True):
    """Call the host's `lookup` with `data`, and answer its reply."""

    op: ClassVar[str] = "ask"


class Files(RawWork[ConformApi], frozen=True, tag=True):
    """Answer the numbers of the open files, ascending, with blanks between."""

    op: ClassVar[str] = "files"


class Spawn(RawWork[ConformApi], frozen=True, tag=True):
    """Start `sleep 1000` as a child, and answer its pid."""

    op: ClassVar[str] = "spawn"


class Die(RawWork[ConformApi], frozen=True, tag=True):
    """End in the way `data` names; see `die`."""

    op: ClassVar[str] = "die"


class Count(Stream[ConformApi, int, int], frozen=True, tag=False, array_like=True):
    """Results 0 to n-1, then n."""

    op: ClassVar[str] = "count"
    n: int


class Reload(Note[ConformApi], frozen=True, tag=True):
    """Log "reloaded" at level 1 with the field `n`: 1."""

    op: ClassVar[str] = "reload"


class Lookup(RawWork[ConformApi], frozen=True, tag=True):
    """What the host offers."""

    op: ClassVar[str] = "lookup"


WORKS: Final = (Echo, Sleep, Fail, Print, Ask, Files, Spawn, Die, Count, Reload)
table: Final = Table()


@table.on(Echo)
def echo(message: Echo, job: Job) -> bytes:
    """As it came."""
    return message.data


@table.on(Sleep)
def sleep(message: Sleep, job: Job) -> bytes:
    """Sleep in naps, to look whether anybody still waits."""
    until = time.monotonic() + int(message.data) / 1000
    while time.monotonic() < until and not job.is_cancelled():
        time.sleep(min(0.01, max(0.0, until - time.monotonic())))
    return message.data


@table.on(Fail)
def fail(message: Fail, job: Job) -> bytes:
    """An expected failure."""
    raise WorkFailure("not_found", "no such thing", is_retryable=True).error()


@table.on(Print)
def print_lines(message: Print, job: Job) -> bytes:
    """Numbers, one a line."""
    lines = "".join(f"{n}\n" for n in range(int(message.data)))
    sys.stdout.write(lines)
    sys.stderr.write(lines)
    sys.stdout.flush()
    return message.data


@table.on(Ask)
def ask(message: Ask, job: Job) -> bytes:
    """What the host says."""
    return job.call(Lookup(message.data))


@table.on(Files)
def files(message: Files, job: Job) -> bytes:
    """Look into /proc; the look itself takes a number above all others."""
    numbers = sorted(map(int, os.listdir("/proc/self/fd")))
    return " ".join(str(n) for n in numbers[:-1]).encode()


@table.on(Spawn)
def spawn(message: Spawn, job: Job) -> bytes:
    """A child that nobody waits for."""
    return str(subprocess.Popen(["sleep", "1000"]).pid).encode()  # noqa: S607 - wherever it is


@table.on(Die)
def die(message: Die, job: Job) -> bytes:
    """`exit N`, `leave` (code 0, no BYE), `bye` (in order), or one of `DEATHS`."""
    word, _, number = message.data.decode().partition(" ")
    if word == "exit":
        sys.stderr.write("last words\n")
        sys.exit(int(number))
    if word == "leave":
        sys.exit(0)
    if word == "bye":
        job.leave()
    else:
        DEATHS[word]()
    return b""


@table.stream(Count)
def count(message: Count, job: Job) -> Generator[int, None, int]:
    """One after the other."""
    yield from range(message.n)
    return message.n


@table.on_note(Reload)
def reload(message: Reload, job: Job) -> None:
    """Say so."""
    job.log(1, "reloaded", n=1)


def _write(frame: str) -> Callable[[], None]:
    def write() -> None:
        os.write(PORT_FD, bytes.fromhex(frame))
        time.sleep(60)

    return write


def _hang() -> None:
    time.sleep(60)


def _close() -> None:
    os.close(PORT_FD)
    time.sleep(60)


def _segv() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


DEATHS: Final[dict[str, Callable[[], None]]] = {
    "segv": _segv,
    "hang": _hang,
    "close": _close,
    "garbage": _write("0000000291a0"),
    "big": _write("ffffffff"),
    "unknown": _write("0000000593037bc400"),
}
"""`segv` by that signal; `hang` for a minute; `close` fd 3 and live on; `garbage` and `big`
break the wire's rules; `unknown` answers a call that was never made."""

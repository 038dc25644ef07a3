"""Work spread over processes forked from this one, each with one piece of it in hand.

So it is known at each moment who does what, and no more is given out than is being done. When a
process dies (a bug in C, the kernel short of memory) its piece is named, another process takes its
place, and the rest is done; an executor of `concurrent.futures` would break as a whole.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import Final, Generic, TypeVar

import msgspec

I = TypeVar("I")  # noqa: E741 - an item
R = TypeVar("R")

_FORK: Final = multiprocessing.get_context("fork")
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Died(msgspec.Struct, frozen=True):
    """A process that ended with work in hand; `code` as `Process.exitcode` has it."""

    code: int

    def text(self) -> str:
        """What became of it."""
        if self.code >= 0:
            return f"ended with exit code {self.code}"
        name = signal.Signals(-self.code).name
        why = ", as by the kernel when memory is short" if name == "SIGKILL" else ""
        return f"was killed by {name}{why}"


def spread(
    work: Callable[[I], R], items: Iterable[I], jobs: int
) -> Generator[tuple[I, R | Died], None, None]:
    """Do `work` on each item, on at most `jobs` processes; what came of each, as they are done.

    Items are taken as processes are free. Left early, it ends them all at once.

    Raises:
        OSError: a process cannot be started.
    """
    left = iter(items)
    busy: list[_Worker[I, R]] = []
    try:
        for item in islice(left, jobs):
            busy.append(_Worker(work, item, busy))
        while busy:
            for worker in _ready(busy):
                done = worker.item, worker.answer()
                following = list(islice(left, 1))
                if following and not isinstance(done[1], Died):
                    worker.give(following[0])
                else:
                    worker.end()
                    busy.remove(worker)
                    busy.extend([_Worker(work, item, busy) for item in following])
                yield done
    finally:
        for worker in busy:
            worker.end()


def _ready(busy: Iterable[_Worker[I, R]]) -> list[_Worker[I, R]]:
    """Those that have an answer, or are dead.

    A pipe alone would not tell of a death: what the process started may hold it open.
    """
    signs: dict[object, _Worker[I, R]] = {}
    for worker in busy:
        signs |= {worker.pipe: worker, worker.process.sentinel: worker}
    ready = wait([sign for worker in busy for sign in (worker.pipe, worker.process.sentinel)])
    return list(dict.fromkeys(signs[sign] for sign in ready))


class _Worker(Generic[I, R]):
    """One process, and what it has in hand."""

    def __init__(self, work: Callable[[I], R], item: I, others: Iterable[_Worker[I, R]]) -> None:
        self.pipe, there = _FORK.Pipe()
        inherited = [self.pipe, *(other.pipe for other in others)]
        self.process = _FORK.Process(target=_serve, args=(work, there, inherited), daemon=True)
        # Until it has handlers of its own, a signal would run this process's handlers there.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            self.process.start()
        except BaseException:
            self.pipe.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            there.close()
        self.give(item)

    def give(self, item: I) -> None:
        """Have it do this next."""
        self.item = item
        with suppress(BrokenPipeError):  # it is dead, as its answer will say
            self.pipe.send(item)

    def answer(self) -> R | Died:
        """What came of the item."""
        with suppress(EOFError, OSError):
            if self.pipe.poll():
                answer: R = self.pipe.recv()
                return answer
        self.process.join()
        assert self.process.exitcode is not None
        return Died(self.process.exitcode)

    def end(self) -> None:
        """End it, whatever it is doing."""
        self.process.kill()
        self.process.join()
        self.process.close()
        self.pipe.close()


def _serve(work: Callable[[I], R], pipe: Connection, inherited: Iterable[Connection]) -> None:
    """Do what is asked for until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started this
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    for one in inherited:
        one.close()
    with suppress(EOFError, BrokenPipeError):
        while True:
            pipe.send(work(pipe.recv()))

"""A stream for logs that never makes its writer wait, and never fails it.

Whoever reads the log may stop reading, or go away, or its disk may be full: none of this may
hold up or end the server. Lines go through a bounded queue to a thread; what does not fit, or
cannot be written, is dropped and counted.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TextIO

LINES_MAX = 10_000
DRAIN_S = 1.0


def write_through(stream: TextIO, text: str) -> bool:
    """Write past the stream's buffer, or say that it cannot be done.

    What a broken stream keeps in its buffer makes Python end with 120, whatever else was done.
    """
    data = text.encode(errors="replace")
    try:
        while data:
            data = data[os.write(stream.fileno(), data) :]
    except OSError:
        return False
    return True


class BackgroundStream:
    """Passes what is written on to `stream`, from a thread of its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._is_over = Event()
        self.dropped = 0

    def write(self, text: str) -> int:
        """Queue it, if there is room."""
        if self._lines.qsize() >= LINES_MAX:
            self.dropped += 1
        else:
            self._lines.put(text)
        return len(text)

    def flush(self) -> None:
        """The thread does."""

    def isatty(self) -> bool:
        """Whether a person reads it."""
        return self._stream.isatty()

    def run(self) -> None:
        """Write what is queued, until it is over and nothing is left."""
        while True:
            try:
                text = self._lines.get(timeout=0.1)
            except Empty:
                if self._is_over.is_set():
                    return
                continue
            if not write_through(self._stream, text):
                self.dropped += 1

    def end(self) -> None:
        """Let the thread finish."""
        self._is_over.set()


@contextmanager
def in_background(stream: TextIO) -> Generator[BackgroundStream, None, None]:
    """A background stream; at the end it has a second to write what is queued."""
    background = BackgroundStream(stream)
    # A daemon: a reader that does not read must not keep the process alive.
    thread = Thread(target=background.run, name="log", daemon=True)
    thread.start()
    try:
        yield background
    finally:
        background.end()
        thread.join(DRAIN_S)

"""What fuzzing finds, and how far it is: inputs as files, figures as one."""

import hashlib
import traceback
from collections.abc import Callable
from os import sysconf
from pathlib import Path
from time import monotonic

import msgspec

from keygrove_bench.fuzz.law import LawError
from keygrove_bench.fuzz.laws import check

TOLD_S = 0.5
"""Between two tellings."""


class Tally(msgspec.Struct):
    """How far one engine is."""

    executions: int = 0
    findings: tuple[str, ...] = ()
    """What broke, where, and in which file it is."""
    memory_bytes: tuple[int, ...] = ()
    """Of the process, at each telling."""


class Watch:
    """Tries inputs, and keeps the first that breaks anything at each place.

    `law` is what is to hold of each: it raises where it does not.
    """

    def __init__(self, folder: Path, tally: Path, law: Callable[[bytes], None] = check) -> None:
        self._folder = folder
        self._file = tally
        self._law = law
        self._places: set[str] = set()
        self._told_at = 0.0
        self.tally = Tally()

    def try_one(self, data: bytes) -> None:
        """Try an input, and keep it if it breaks a law."""
        try:
            self.attempt(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            self.keep(data, error)

    def attempt(self, data: bytes) -> None:
        """Try an input. Raises what the law raises."""
        self.tally.executions += 1
        if monotonic() - self._told_at >= TOLD_S:
            self.tell()
        self._law(data)

    def keep(self, data: bytes, error: Exception) -> None:
        """Keep an input, unless there is one that broke at the same place."""
        place = _place(error)
        if place in self._places:
            return
        self._places.add(place)
        name = f"{hashlib.sha256(data).hexdigest()[:12]}.pgp"
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / name).write_bytes(data)
        self.tally.findings += (f"{name}: {place}",)
        self.tell()

    def tell(self) -> None:
        """Write how far it is."""
        self._told_at = monotonic()
        self.tally.memory_bytes += (_memory_bytes(),)
        self._file.write_bytes(msgspec.json.encode(self.tally))


def _place(error: Exception) -> str:
    """The law, or where it escaped from."""
    if isinstance(error, LawError):
        return error.law
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).stem}.{frame.name}"


def _memory_bytes() -> int:
    """Of this process, that is in memory."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * sysconf("SC_PAGE_SIZE")

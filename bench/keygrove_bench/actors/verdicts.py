"""Running probes: each in a loop or thread of its own, and none for longer than a moment."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import redirect_stdout
from importlib import import_module
from typing import Any, Final, TypeAlias

import msgspec

Probe: TypeAlias = Callable[[], Awaitable[None] | None]
"""Returns if the statement is kept, raises `AssertionError` with the reason if not."""

PROBE_S: Final = 4.0


class Outcome(msgspec.Struct, frozen=True):
    """What a probe found. `keeps` is None where the library has nothing of the kind."""

    keeps: bool | None
    why: str = ""

    def text(self) -> str:
        """For a table."""
        if self.keeps is None:
            return "nothing of the kind"
        return "yes" if self.keeps else f"no: {self.why}"


def probed(library: str, statements: Iterable[str]) -> dict[str, Outcome]:
    """The outcome of each statement.

    Raises:
        NotRunError: the library is not installed.
    """
    module = import_module(f"keygrove_bench.actors.probes_{library}")
    probes: Mapping[str, Probe] = module.PROBES
    absent: Mapping[str, tuple[str, ...]] = module.ABSENT
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(sys.stderr):
            return {
                statement: _absent(module.NAMES, absent[statement])
                if statement in absent
                else _outcome(probes[statement])
                for statement in statements
            }
    finally:
        logging.disable(logging.NOTSET)


def _absent(names: Iterable[str], words: tuple[str, ...]) -> Outcome:
    """A library without any public name that has one of `words` in it has no such thing."""
    public = [name.lower() for name in names if not name.startswith("_")]
    found = [name for name in public if any(word in name for word in words)]
    assert not found, f"{found} may be what was thought absent"
    return Outcome(None)


def _outcome(probe: Probe) -> Outcome:
    """Run the probe in a thread: one that never returns is left behind."""
    result: list[Outcome] = []

    def run() -> None:
        try:
            pending = probe()
            if pending is not None:
                asyncio.run(_limited(pending))
        except AssertionError as error:
            result.append(Outcome(keeps=False, why=str(error) or "otherwise"))
        except Exception as error:  # noqa: BLE001 - whatever else a library does
            result.append(Outcome(keeps=False, why=f"{type(error).__name__}"))
        else:
            result.append(Outcome(keeps=True))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PROBE_S + 1)
    return result[0] if result else Outcome(keeps=False, why="waits for ever")


async def _limited(pending: Awaitable[Any]) -> None:
    try:
        await asyncio.wait_for(pending, PROBE_S)
    except TimeoutError:
        raise AssertionError("waits for ever") from None

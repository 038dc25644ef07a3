"""What runs a history against a store on a disk of its own."""

import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, TypeVar


class Machine(Protocol):
    """Is started before the first operation and stopped behind the last one."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


M = TypeVar("M", bound=Machine)


@asynccontextmanager
async def started(make: Callable[[Path], M]) -> AsyncGenerator[M, None]:
    """Start one in an empty folder."""
    with tempfile.TemporaryDirectory() as root:
        machine = make(Path(root))
        await machine.start()
        try:
            yield machine
        finally:
            await machine.stop()

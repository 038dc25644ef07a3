"""Event loops whose clocks jump to the next timer when nothing else is left to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar, TypeVarTuple

import trio
from trio.testing import MockClock

from keygrove_actors.testkit import VirtualLoop

T = TypeVar("T")
Args = TypeVarTuple("Args")

Backend: TypeAlias = tuple[str, dict[str, Any]]
"""What a fixture `anyio_backend` is."""


def virtual_trio() -> Backend:
    return "trio", {"clock": MockClock(autojump_threshold=0)}


def virtual_asyncio() -> Backend:
    return "asyncio", {"loop_factory": VirtualLoop}


def run_on_trio(main: Callable[[*Args], Awaitable[T]], *args: *Args) -> T:
    result: T = trio.run(main, *args, clock=MockClock(autojump_threshold=0))
    return result


def run_on_asyncio(main: Callable[[*Args], Awaitable[T]], *args: *Args) -> T:
    async def whole() -> T:
        return await main(*args)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(whole())

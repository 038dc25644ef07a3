"""One scenario in a runtime of its own, on either loop, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

import trio
from hypothesis import strategies as st
from trio.testing import MockClock

from keygrove_actors import Report, Runtime, SupSpec, run
from keygrove_actors.testkit import VirtualLoop, leak_gate, seed_trio

T = TypeVar("T")


class Loop(NamedTuple):
    """Where a scenario is played. `seed` decides the order of tasks on trio."""

    is_on_trio: bool
    direct: bool
    seed: int


loops = st.builds(Loop, st.booleans(), st.booleans(), st.integers(0, 2**16))


def played(
    scenario: Callable[[Runtime], Awaitable[T]],
    spec: SupSpec,
    loop: Loop,
    reports: list[Report] | None = None,
) -> T:
    """What `scenario` returns; nothing of the runtime is left when it has."""

    async def main() -> T:
        observe = None if reports is None else reports.append
        block = run(spec, observe=observe, direct=loop.direct, check_replies=True)
        async with leak_gate() as gate, block as runtime:
            gate.append(runtime)
            return await scenario(runtime)

    if loop.is_on_trio:
        seed_trio(loop.seed)
        result: T = trio.run(main, clock=MockClock(autojump_threshold=0))
        return result
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())

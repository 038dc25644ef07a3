"""One scenario in a runtime of its own, on either loop, in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from hypothesis import strategies as st

from keygrove_actors import Report, Runtime, SupSpec, run
from keygrove_actors.testkit import leak_gate, seed_trio
from tests.loops import run_on_asyncio, run_on_trio

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
        return run_on_trio(main)
    return run_on_asyncio(main)

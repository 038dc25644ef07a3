"""A service that looks at the real clock, and what simulates it."""

from collections.abc import Iterable
from time import monotonic

import anyio

from keygrove_chaos.world import World


async def scenario(world: World) -> Iterable[str]:
    """Measures what takes no time."""
    begun = monotonic()
    await anyio.sleep(1)
    world.note("measured")
    return [] if monotonic() >= begun else ["time went back"]

"""A service whose library looks at the real clock, and what simulates it."""

from collections.abc import Iterable
from email.utils import formatdate

import anyio

from keygrove_chaos.world import World


async def scenario(world: World) -> Iterable[str]:
    """Dates a mail, and does nothing with that."""
    date = formatdate()
    await anyio.sleep(1)
    world.note("dated")
    return [] if date else ["no date"]

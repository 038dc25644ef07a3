"""Every test here runs on asyncio and on trio, both with a clock that jumps."""

from collections.abc import AsyncGenerator

import pytest

from keygrove_chaos.network import Network
from tests.loops import Backend, virtual_asyncio, virtual_trio
from tests.simulation.world.timeline import LoopTimeline, running


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    if request.param == "trio":
        return virtual_trio()
    return virtual_asyncio()


@pytest.fixture
async def timeline(anyio_backend: object) -> AsyncGenerator[LoopTimeline, None]:
    async with running(seed=1) as timeline:
        yield timeline


@pytest.fixture
def network(timeline: LoopTimeline) -> Network:
    return Network(timeline, ["a", "b", "c", "d", "e"])

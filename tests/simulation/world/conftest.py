"""Every test here runs on asyncio and on trio, both with a clock that jumps."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from trio.testing import MockClock

from keygrove_actors.testkit import VirtualLoop
from keygrove_chaos.network import Network
from tests.simulation.world.timeline import LoopTimeline, running


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    if request.param == "trio":
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return "asyncio", {"loop_factory": VirtualLoop}


@pytest.fixture
async def timeline(anyio_backend: object) -> AsyncGenerator[LoopTimeline, None]:
    async with running(seed=1) as timeline:
        yield timeline


@pytest.fixture
def network(timeline: LoopTimeline) -> Network:
    return Network(timeline, ["a", "b", "c", "d", "e"])

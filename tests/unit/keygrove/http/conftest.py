"""A whole node in memory, and a client at its door."""

from collections.abc import AsyncGenerator

import pytest

from keygrove.settings import HttpSettings, ReconPartner, ReconSettings, Settings, StorageSettings
from keygrove_chaos.node import SimulatedNode, simulated_node
from tests.loops import Backend, virtual_trio


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_trio()


@pytest.fixture
def short_ids() -> bool:
    return False


@pytest.fixture
def word_search() -> bool:
    return True


@pytest.fixture
def settings(*, short_ids: bool, word_search: bool) -> Settings:
    return Settings(
        http=HttpSettings(short_ids=short_ids, word_search=word_search),
        storage=StorageSettings(shards=2),
        recon=ReconSettings(
            listen=("h:11370",), partner=(ReconPartner("friend", "f:11370", "f:11371"),)
        ),
    )


@pytest.fixture
async def node(settings: Settings) -> AsyncGenerator[SimulatedNode, None]:
    async with simulated_node(settings) as running:
        yield running

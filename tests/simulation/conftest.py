"""Simulation runs on trio's virtual clock."""

import pytest

from tests.loops import Backend, virtual_trio


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_trio()

"""Ingest is tested on trio with a clock that jumps."""

import pytest

from tests.loops import Backend, virtual_trio


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_trio()

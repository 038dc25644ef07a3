"""Fixtures for all tests: which event loop `anyio` tests run on, and where vectors are."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def vector() -> Callable[[str], bytes]:
    """The octets of a file of `tests/vectors/openpgp`."""
    folder = Path(__file__).parent / "vectors" / "openpgp"
    return lambda name: (folder / name).read_bytes()

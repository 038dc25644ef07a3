"""Fixtures for all tests: which event loop `anyio` tests run on, and where vectors are."""

import gc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# Deadlines would measure the machine; ./tests/run chooses one of these by its name.
settings.register_profile("full", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=15)
settings.register_profile("nightly", deadline=None, max_examples=2_000)
settings.load_profile("full")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seeds",
        type=int,
        default=1,
        help="schedules in which the tests of actors run on trio; 1 unless given",
    )


def pytest_collection_finish() -> None:
    """Leave out what pytest has made so far when a test collects garbage: that took 80 ms each."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def vector() -> Callable[[str], bytes]:
    """The octets of a file of `tests/vectors/openpgp`."""
    folder = Path(__file__).parent / "vectors" / "openpgp"
    return lambda name: (folder / name).read_bytes()

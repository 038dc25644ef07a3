"""Every test here runs on asyncio and on trio, both with a clock that jumps."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import pytest
from trio.testing import MockClock

from keygrove_actors import ChildSpec, Report, Runtime, Strategy, SupSpec, run
from keygrove_actors.testkit import VirtualLoop, leak_gate, seed_trio

Running: TypeAlias = Callable[..., AbstractAsyncContextManager[Runtime]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Once on asyncio, and on trio with as many schedules as `--seeds` says."""
    if "anyio_backend" in metafunc.fixturenames:
        seeds = range(metafunc.config.option.seeds)
        ids = ["asyncio", *(f"trio{seed or ''}" for seed in seeds)]
        metafunc.parametrize("anyio_backend", [None, *seeds], ids=ids, indirect=True)


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    if request.param is None:
        return "asyncio", {"loop_factory": VirtualLoop}
    seed_trio(request.param)
    return "trio", {"clock": MockClock(autojump_threshold=0)}


@pytest.fixture
def reports() -> list[Report]:
    return []


@pytest.fixture
def log() -> list[str]:
    """For actors to write into what they do."""
    return []


@pytest.fixture(params=[True, False], ids=["direct", "queued"])
def direct(request: pytest.FixtureRequest) -> bool:
    """Whether calls may run on their caller's stack: no test may tell the difference."""
    value: bool = request.param
    return value


@pytest.fixture
def running(reports: list[Report], direct: bool) -> Running:
    @asynccontextmanager
    async def start(
        *children: ChildSpec,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: int = 1,
        period: float = 5.0,
        **options: Any,
    ) -> AsyncGenerator[Runtime, None]:
        spec = SupSpec(children=children, strategy=strategy, intensity=intensity, period=period)
        usual: dict[str, Any] = {"direct": direct, "check_replies": True, "observe": reports.append}
        block = run(spec, **{**usual, **options})
        async with leak_gate() as gate, block as runtime:
            gate.append(runtime)
            yield runtime

    return start

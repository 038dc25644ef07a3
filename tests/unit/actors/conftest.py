"""Every test here runs on asyncio and on trio, both with a clock that jumps."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import pytest

from keygrove_actors import ChildSpec, Report, Runtime, Strategy, SupSpec, run
from keygrove_actors.testkit import leak_gate, seed_trio
from tests.loops import Backend, virtual_asyncio, virtual_trio

Running: TypeAlias = Callable[..., AbstractAsyncContextManager[Runtime]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Once on asyncio, and on trio with as many schedules as `--seeds` says.

    With direct calls and queued ones, in all four pairs; two pairs see each, for the quick run.
    """
    if "anyio_backend" not in metafunc.fixturenames:
        return
    loops = {"asyncio": None, **{f"trio{n or ''}": n for n in range(metafunc.config.option.seeds)}}
    if "direct" not in metafunc.fixturenames:
        metafunc.parametrize("anyio_backend", loops.values(), ids=loops, indirect=True)
        return
    pairs = [
        pytest.param(
            seed,
            is_direct,
            id=f"{loop}-{'direct' if is_direct else 'queued'}",
            marks=pytest.mark.slow if is_direct != (seed is None) else (),
        )
        for loop, seed in loops.items()
        for is_direct in (True, False)
    ]
    metafunc.parametrize(("anyio_backend", "direct"), pairs, indirect=True)


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    if request.param is None:
        return virtual_asyncio()
    seed_trio(request.param)
    return virtual_trio()


@pytest.fixture
def reports() -> list[Report]:
    return []


@pytest.fixture
def log() -> list[str]:
    """For actors to write into what they do."""
    return []


@pytest.fixture
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

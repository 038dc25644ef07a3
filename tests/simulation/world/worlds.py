"""Tests in a simulated world."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import pytest

from keygrove_chaos.network import Network
from keygrove_chaos.running import run
from keygrove_chaos.world import ENGINES, EngineName, Options, World

HOSTS = ("a", "b", "c", "d", "e")
YEAR_S = 365 * 86_400.0


def in_a_world(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test in a world, on each engine; it may take the `world` and its `network` of hosts."""
    wanted = inspect.signature(test).parameters

    @wraps(test)
    def whole(engine: EngineName, **others: Any) -> None:
        async def main(world: World) -> None:
            here = {"world": world, "network": Network(world, HOSTS)}
            await test(**{name: here[name] for name in here if name in wanted}, **others)

        run(main, seed=1, options=Options(engine=engine, limit_s=YEAR_S))

    own = inspect.Parameter("engine", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    others = [one for name, one in wanted.items() if name not in {"world", "network"}]
    whole.__dict__["__signature__"] = inspect.Signature([own, *others])
    marked: Callable[..., None] = pytest.mark.parametrize("engine", ENGINES)(whole)
    return marked

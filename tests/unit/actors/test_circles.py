"""Calls that could only wait for themselves are refused at once."""

from __future__ import annotations

import anyio
import pytest

from keygrove_actors import (
    Actor,
    Call,
    CallCycle,
    CallingSelf,
    ChildSpec,
    Ctx,
    on,
)
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


class RingApi:
    pass


class Pass(Call[RingApi, str], frozen=True, tag=True):
    """Makes the receiver call the first of `names`, that one the next, and so on."""

    names: tuple[str, ...]


class Runner(Actor[RingApi]):
    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on(Pass)
    async def pass_on(self, message: Pass) -> str:
        if not message.names:
            return "arrived"
        first, *rest = message.names
        try:
            return await self.ctx.whereis(first, RingApi).call(Pass(tuple(rest)))
        except CallCycle as error:
            return " -> ".join(error.chain)
        except CallingSelf as error:
            return f"{error.target} calls itself"


RUNNERS = [ChildSpec(name, Runner, name=name) for name in "abcd"]


@pytest.mark.parametrize(
    ("names", "outcome"),
    [
        ("a", "a calls itself"),
        ("ba", "b -> a -> b"),
        ("bca", "c -> a -> b -> c"),
        ("bcb", "c -> b -> c"),
        ("bcd", "arrived"),
    ],
)
async def test_a093_a_circle_is_refused_at_once_and_a_chain_is_none(
    running: Running, names: str, outcome: str
) -> None:
    async with running(*RUNNERS) as runtime:
        start = anyio.current_time()
        assert await runtime.whereis("a", RingApi).call(Pass(tuple(names))) == outcome
        assert anyio.current_time() == start


async def test_a093_who_called_in_vain_waits_for_nobody(running: Running) -> None:
    async with running(*RUNNERS) as runtime:
        a, b = runtime.whereis("a", RingApi), runtime.whereis("b", RingApi)
        assert await a.call(Pass(("b", "a"))) == "b -> a -> b"
        assert await b.call(Pass(("a",))) == "arrived"


def test_a093_the_error_shows_the_circle() -> None:
    assert "a -> b -> a" in str(CallCycle("b", "Get", ("a", "b", "a")))
    assert CallingSelf("a", "Get").target == "a"

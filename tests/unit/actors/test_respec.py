"""A supervisor goes by another spec while it runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeAlias

import anyio
import pytest

from keygrove_actors import (
    Actor,
    BadSpec,
    ChildSpec,
    Runtime,
    StartFailed,
    State,
    Strategy,
    SupSpec,
)
from tests.unit.actors.peers import Crashes, Fails, Peer, PeerApi, Slow, Who, dynamic, ids

Running_: TypeAlias = Callable[..., AbstractAsyncContextManager[Runtime]]
pytestmark = pytest.mark.anyio


async def test_a144_a_new_spec_is_merged_by_id_and_reconciled_when_asked(
    running: Running_, log: list[str]
) -> None:
    def slow(name: str, said: str) -> ChildSpec:
        return ChildSpec(name, partial(Slow, log, said), name=name)

    old = SupSpec(children=(slow("a", "a1"), slow("b", "b1"), slow("c", "c1")), intensity=9)
    new = SupSpec(children=(slow("d", "d2"), slow("b", "b2"), slow("e", "e2")), intensity=9)
    async with running(ChildSpec("sub", old)) as runtime:
        sub = runtime.supervisor("sub", PeerApi)
        await sub.replace_spec(new)
        assert ids(sub) == ["d", "b", "e", "a", "c"]
        assert [c.ref is not None for c in sub.which_children()] == [False, True, False, True, True]
        for name in "ab":
            runtime.whereis(name, PeerApi).kill()
        await anyio.sleep(0.1)
        said = [await runtime.whereis(n, PeerApi).call(Who()) for n in "abc"]
        assert said == ["a1", "b2", "c1"], "the left out keep running by the old spec"
        log.clear()
        await sub.reconcile()
        assert log == ["c1 ends", "a1 ends", "d2 begins", "e2 begins"]
        await sub.reconcile()
        assert ids(sub) == ["d", "b", "e"]


async def test_a144_a_dynamic_template_is_replaced_for_later_starts(running: Running_) -> None:
    async with running(dynamic(partial(Peer, "old"), intensity=9)) as runtime:
        peers = runtime.supervisor("peers", PeerApi)
        one = await peers.spawn("one")
        template = ChildSpec("peer", partial(Peer, "new"))
        await peers.replace_spec(SupSpec(strategy=Strategy.DYNAMIC, template=template))
        assert await one.call(Who()) == "old one"
        assert await (await peers.spawn("two")).call(Who()) == "new two"
        one.cast(Crashes())
        await anyio.sleep(0.1)
        ref = peers.which_children()[0].ref
        assert ref is not None
        assert await ref.call(Who()) == "new one"
        with pytest.raises(BadSpec, match="turn dynamic"):
            await peers.replace_spec(SupSpec())


async def test_a144_a_reconcile_that_fails_goes_on_when_asked_again(running: Running_) -> None:
    starts = iter([True, False])

    def flaky() -> Actor[Any]:
        return Fails() if next(starts) else Peer()

    async with running(ChildSpec("sub", SupSpec())) as runtime:
        sub = runtime.supervisor("sub")
        await sub.replace_spec(SupSpec(children=(ChildSpec("x", flaky), ChildSpec("y", Peer))))
        with pytest.raises(StartFailed, match="x crashed"):
            await sub.reconcile()
        assert [c.state for c in sub.which_children()] == [State.DOWN, State.DOWN]
        await sub.reconcile()
        assert [c.state for c in sub.which_children()] == [State.UP, State.UP]

"""Significant children: whose own end ends their supervisor."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import anyio
import pytest

from keygrove_actors import (
    AutoShutdown,
    ChildSpec,
    ChildTerminated,
    Report,
    Restart,
    Runtime,
    Shutdown,
    State,
    SupSpec,
)
from tests.unit.actors.peers import Crashes, Ends, Peer, PeerApi, Who

Running_: TypeAlias = Callable[..., AbstractAsyncContextManager[Runtime]]
pytestmark = pytest.mark.anyio


def significant(name: str, restart: Restart = Restart.TRANSIENT) -> ChildSpec:
    return ChildSpec(name, Peer, name=name, restart=restart, significant=True)


@pytest.mark.parametrize(
    ("mode", "ending", "is_over"),
    [
        (AutoShutdown.ANY_SIGNIFICANT, "a", True),
        (AutoShutdown.ALL_SIGNIFICANT, "a", False),
        (AutoShutdown.ALL_SIGNIFICANT, "ab", True),
        (AutoShutdown.ANY_SIGNIFICANT, "c", False),
    ],
)
async def test_a048_a_supervisor_ends_with_its_significant_children(
    running: Running_, reports: list[Report], mode: AutoShutdown, ending: str, *, is_over: bool
) -> None:
    children = significant("a"), significant("b", Restart.TEMPORARY), ChildSpec("c", Peer, name="c")
    sub = SupSpec(children=children, auto_shutdown=mode)
    async with running(ChildSpec("sub", sub, restart=Restart.TRANSIENT)) as runtime:
        for name in ending:
            runtime.whereis(name, PeerApi).cast(Ends())
            await anyio.sleep(0.1)
        assert [c.state for c in runtime.tree().children] == [State.DOWN if is_over else State.UP]
    if is_over:
        assert ("sub", Shutdown()) in [
            (r.path, r.reason) for r in reports if isinstance(r, ChildTerminated)
        ]


async def test_a048_an_abnormal_end_of_a_transient_significant_child_is_a_restart(
    running: Running_,
) -> None:
    sub = SupSpec(children=(significant("a"),), auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)
    async with running(ChildSpec("sub", sub)) as runtime:
        runtime.whereis("a", PeerApi).cast(Crashes())
        await anyio.sleep(0.1)
        assert await runtime.whereis("a", PeerApi).call(Who()) == ""
        assert runtime.tree().children[0].restarts == 0


async def test_a032_terminate_child_of_a_significant_one_triggers_nothing(
    running: Running_,
) -> None:
    sub = SupSpec(children=(significant("a"),), auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)
    async with running(ChildSpec("sub", sub)) as runtime:
        await runtime.supervisor("sub").terminate_child("a")
        assert [c.state for c in runtime.tree().children] == [State.UP]

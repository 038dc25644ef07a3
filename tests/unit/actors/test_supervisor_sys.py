"""A supervisor is an actor: what the runtime can ask of any, it can ask of one."""

from __future__ import annotations

import anyio
import pytest

from keygrove_actors import (
    Actor,
    BadSpec,
    Cast,
    ChildSpec,
    Crash,
    Ctx,
    Ref,
    SupApi,
    SupSpec,
    on_cast,
    sysapi,
)
from keygrove_actors.watch import TraceEvent
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


class LeafApi:
    pass


class LinkTo(Cast[LeafApi], frozen=True, tag=True):
    ref: Ref[SupApi]


class Leaf(Actor[LeafApi]):
    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on_cast(LinkTo)
    def link(self, message: LinkTo) -> None:
        self.ctx.link(message.ref)


def tree() -> ChildSpec:
    return ChildSpec("sup", SupSpec(children=(ChildSpec("leaf", Leaf, name="leaf"),)), name="sup")


async def test_a140_a_suspended_supervisor_restarts_nobody_until_it_goes_on(
    running: Running,
) -> None:
    async with running(tree()) as runtime:
        sup, leaf = runtime.whereis("sup", SupApi), runtime.whereis("leaf", LeafApi)
        await sysapi.suspend(sup)
        leaf.exit(Crash("Boom", "", "", ""))
        await anyio.sleep(10)
        assert not leaf.alive()
        await sysapi.resume(sup)
        await anyio.sleep(0.01)
        assert leaf.alive()


async def test_a140_a_suspended_supervisor_queues_what_it_is_asked(running: Running) -> None:
    async with running(tree()) as runtime, anyio.create_task_group() as tasks:
        sup, leaf = runtime.whereis("sup", SupApi), runtime.whereis("leaf", LeafApi)
        await sysapi.suspend(sup)
        tasks.start_soon(runtime.supervisor("sup").terminate_child, "leaf")
        await anyio.sleep(10)
        assert leaf.alive()
        await sysapi.resume(sup)
        await anyio.sleep(0.01)
        assert not leaf.alive()


async def test_a117_a_stop_reaches_a_suspended_supervisor(running: Running) -> None:
    async with running(tree()) as runtime:
        await sysapi.suspend(runtime.whereis("sup", SupApi))
    assert not any(runtime.leftovers().values())


async def test_a117_a_kill_reaches_a_suspended_supervisor(running: Running) -> None:
    async with running(tree()) as runtime:
        sup = runtime.whereis("sup", SupApi)
        await sysapi.suspend(sup)
        old = runtime.tree().children[0].actor
        sup.kill()
        await anyio.sleep(0.01)
        assert runtime.tree().children[0].actor != old
        assert runtime.whereis("leaf", LeafApi).alive()


async def test_a146_what_a_supervisor_is_asked_can_be_traced(running: Running) -> None:
    events: list[TraceEvent] = []
    async with running(tree()) as runtime:
        await sysapi.trace(runtime.whereis("sup", SupApi), events.append)
        await runtime.supervisor("sup").start_child(ChildSpec("more", Leaf))
        await sysapi.trace(runtime.whereis("sup", SupApi), None)
    assert [e.about for e in events][:1] == ["StartChild"]


async def test_a074_a_supervisor_survives_the_crash_of_who_linked_itself_to_it(
    running: Running,
) -> None:
    async with running(tree()) as runtime:
        sup, leaf = runtime.whereis("sup", SupApi), runtime.whereis("leaf", LeafApi)
        before = runtime.tree().children[0].actor
        leaf.cast(LinkTo(sup))
        await anyio.sleep(0.01)
        leaf.exit(Crash("Boom", "", "", ""))
        await anyio.sleep(0.01)
        assert runtime.tree().children[0].actor == before
        assert leaf.alive()


async def test_a144_a_supervisor_is_changed_by_its_spec_only(running: Running) -> None:
    async with running(tree()) as runtime:
        sup = runtime.whereis("sup", SupApi)
        await sysapi.suspend(sup)
        with pytest.raises(BadSpec, match="replace_spec"):
            await sysapi.change_code(sup, Leaf)
        with pytest.raises(BadSpec, match="replace_spec"):
            await sysapi.replace_state(sup, lambda state: state)
        await sysapi.resume(sup)

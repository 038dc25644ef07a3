"""While a supervisor waits for a child: who may ask it what, and who would wait for ever."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TypeAlias

import anyio
import pytest

from keygrove_actors import (
    Actor,
    ChildSpec,
    Ctx,
    NoProc,
    NotFound,
    Reason,
    Ref,
    Runtime,
    ShuttingDown,
    State,
    SupRef,
    SupSpec,
    WouldDeadlock,
    on,
    on_cast,
)
from tests.unit.actors.peers import Ends, Peer, PeerApi, Slow, Who, dynamic, ids

Running_: TypeAlias = Callable[..., AbstractAsyncContextManager[Runtime]]
pytestmark = pytest.mark.anyio


async def test_a015_requests_wait_while_a_child_starts_and_end_with_their_deadline(
    running: Running_, log: list[str]
) -> None:
    async with running() as runtime:
        root = runtime.supervisor("", PeerApi)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(root.start_child, ChildSpec("a", partial(Slow, log, "a", 5.0)))
            await anyio.sleep(1.0)
            with pytest.raises(TimeoutError):
                await root.start_child(ChildSpec("b", Peer), timeout=1.0)
            assert (await root.start_child(ChildSpec("c", Peer))).alive()
            assert anyio.current_time() >= 5.0
        assert ids(root) == ["a", "c"]


@pytest.mark.parametrize("moment", ["init", "terminate"])
@pytest.mark.parametrize("path", ["", "sub"], ids=["grandparent", "parent"])
async def test_a015_a_child_that_starts_or_stops_cannot_ask_who_waits_for_it(
    running: Running_, moment: str, path: str
) -> None:
    errors: list[BaseException] = []

    class Asks(Actor[PeerApi]):
        async def init(self, ctx: Ctx) -> None:
            self.ctx = ctx
            if moment == "init":
                await self.ask()

        async def terminate(self, reason: Reason) -> None:
            if moment == "terminate":
                await self.ask()

        async def ask(self) -> None:
            try:
                await self.ctx.supervisor(path).delete_child("x")
            except WouldDeadlock as error:
                errors.append(error)

    async with running(ChildSpec("sub", SupSpec(children=(ChildSpec("asks", Asks),)))):
        pass
    assert len(errors) == 1
    assert "waits for sub/asks to start or stop" in str(errors[0])


class Relay(Actor[PeerApi]):
    """Asks a supervisor for something when it is asked, and says how that went."""

    def __init__(self, path: str) -> None:
        self.path = path

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on(Who)
    async def who(self, message: Who) -> str:
        return await self.ask()

    async def ask(self) -> str:
        try:
            await self.ctx.supervisor(self.path).delete_child("x")
        except (WouldDeadlock, NotFound) as error:
            return str(error)
        return "deleted"


class ViaRelay(Actor[PeerApi]):
    """Has the relay ask, in its `init` or `terminate`, after a while."""

    def __init__(self, moment: str, log: list[str]) -> None:
        self.moment, self.log = moment, log

    async def init(self, ctx: Ctx) -> None:
        self.ctx = ctx
        if self.moment == "init":
            await self.ask()

    async def terminate(self, reason: Reason) -> None:
        if self.moment == "terminate":
            await self.ask()

    async def ask(self) -> None:
        await anyio.sleep(1.0)
        try:
            self.log.append(await self.ctx.whereis("relay", PeerApi).call(Who()))
        except WouldDeadlock as error:
            self.log.append(f"at the child: {error}")


@pytest.mark.parametrize("moment", ["init", "terminate"])
@pytest.mark.parametrize("path", ["", "sub"], ids=["grandparent", "parent"])
async def test_a015_nor_may_it_ask_through_another(
    running: Running_, log: list[str], moment: str, path: str
) -> None:
    relay = ChildSpec("relay", partial(Relay, path), name="relay")
    sub = ChildSpec("sub", SupSpec(children=(ChildSpec("asks", partial(ViaRelay, moment, log)),)))
    async with running(relay, sub) as runtime:
        if moment == "terminate":
            how = "sub/asks" if path else "sub"
            await runtime.supervisor(path).terminate_child(how.rpartition("/")[2])
    assert len(log) == 1
    assert f"{path or 'root'} waits for sub/asks to start or stop" in log[0]


@pytest.mark.parametrize("path", ["", "sub"], ids=["grandparent", "parent"])
async def test_a015_nor_may_it_ask_one_that_asks_already(
    running: Running_, log: list[str], path: str
) -> None:
    class Relays(Relay):
        def init(self, ctx: Ctx) -> None:
            super().init(ctx)
            ctx.self_ref.cast(Ends())

        @on_cast(Ends)
        async def end(self, message: Ends) -> None:
            await anyio.sleep(0.5)
            log.append(await self.ask())

    relay = ChildSpec("relay", partial(Relays, path), name="relay")
    sub = ChildSpec("sub", SupSpec(children=(ChildSpec("asks", partial(ViaRelay, "init", log)),)))
    async with running(relay, sub):
        await anyio.sleep(0.1)
    at_child, at_relay = log
    assert at_child.startswith("at the child: ")
    assert "waits for sub/asks to start or stop" in at_child
    assert at_relay == "no child x: look at which_children for those there are"


async def test_a015_a_handler_may_ask_its_own_supervisor(running: Running_) -> None:
    class Asks(Actor[PeerApi]):
        async def init(self, ctx: Ctx) -> None:
            self.ctx = ctx

        @on(Who)
        async def who(self, message: Who) -> str:
            ref = await self.ctx.supervisor("", PeerApi).start_child(ChildSpec("b", Peer))
            return str(ref.alive())

    async with running(ChildSpec("asks", Asks, name="asks")) as runtime:
        assert await runtime.whereis("asks", PeerApi).call(Who()) == "True"


async def test_a015_a_child_may_terminate_itself(running: Running_) -> None:
    class Leaves(Actor[PeerApi]):
        async def init(self, ctx: Ctx) -> None:
            self.ctx = ctx

        @on_cast(Ends)
        async def end(self, message: Ends) -> None:
            await self.ctx.supervisor("").terminate_child("leaves")

    async with running(ChildSpec("leaves", Leaves, name="leaves")) as runtime:
        runtime.whereis("leaves", PeerApi).cast(Ends())
        await anyio.sleep(0.1)
        assert [c.state for c in runtime.tree().children] == [State.DOWN]


async def test_a038_a_supervisor_that_stops_starts_nobody(
    running: Running_, log: list[str]
) -> None:
    async with running(ChildSpec("slow", partial(Slow, log, "slow", 0.0, 2.0))) as runtime:
        root = runtime.supervisor("")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runtime.stop)
            await anyio.sleep(1.0)
            with pytest.raises(ShuttingDown):
                await root.start_child(ChildSpec("b", Peer))
        with pytest.raises(NoProc):
            root.which_children()


async def test_a038_a_child_whose_init_runs_when_the_stop_comes_is_stopped_in_its_turn(
    running: Running_, log: list[str]
) -> None:
    for kind in (dynamic(partial(Slow, log, "late")), ChildSpec("peers", SupSpec())):
        log.clear()
        async with running(kind) as runtime:
            peers = runtime.supervisor("peers", PeerApi)

            async def start(peers: SupRef[PeerApi], *, is_dynamic: bool) -> Ref[PeerApi]:
                if is_dynamic:
                    return await peers.spawn(1.0)
                return await peers.start_child(ChildSpec("l", partial(Slow, log, "late", 1.0)))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(start, peers, is_dynamic=kind.start != SupSpec()))
                await anyio.sleep(0.5)
                tasks.start_soon(runtime.stop)
        assert log == ["late begins", "late ends"]

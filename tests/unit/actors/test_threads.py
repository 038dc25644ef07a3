"""What comes from another thread than the loop's own is refused, before it harms anything."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from keygrove_actors import (
    DEFER,
    MonitorId,
    Normal,
    Ref,
    ReplyTo,
    Runtime,
    State,
    WrongThread,
    on,
    sysapi,
)
from tests.unit.actors.jobs import Add, Base, JobApi, Read, Work, child

Running: TypeAlias = Callable[..., AbstractAsyncContextManager[Runtime]]
pytestmark = pytest.mark.anyio


class Keeper(Base):
    """Answers later, and by whoever has hold of it."""

    reply_to: ReplyTo[int]

    @on(Work)
    def keep(self, message: Work) -> Any:
        self.reply_to = self.ctx.reply_to
        return DEFER


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """With clocks that do not jump: threads take their own time."""
    return "asyncio" if request.param is None else "trio"


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


async def sleep_long() -> None:
    await anyio.sleep(60)


ASKED: dict[str, Callable[[Keeper, Ref[JobApi]], Any]] = {
    "cast": lambda _, ref: ref.cast(Add(1)),
    "exit": lambda _, ref: ref.exit(Normal()),
    "kill": lambda _, ref: ref.kill(),
    "call": lambda _, ref: anyio.run(ref.call, Read()),
    "send": lambda _, ref: anyio.run(ref.send, Add(1)),
    "suspend": lambda _, ref: anyio.run(sysapi.suspend, ref),
    "timer": lambda keeper, _: keeper.ctx.send_after(1.0, Add(1)),
    "task": lambda keeper, _: keeper.ctx.start_soon(sleep_long),
    "reply": lambda keeper, _: keeper.reply_to.send(1),
    "own exit": lambda keeper, _: keeper.ctx.exit(Normal()),
    "link": lambda keeper, ref: keeper.ctx.link(ref),
    "unlink": lambda keeper, ref: keeper.ctx.unlink(ref),
    "monitor": lambda keeper, ref: keeper.ctx.monitor(ref),
    "demonitor": lambda keeper, _: keeper.ctx.demonitor(MonitorId(1)),
    "alias": lambda keeper, _: keeper.ctx.alias("other"),
    "join": lambda keeper, _: keeper.ctx.join("group"),
    "leave": lambda keeper, _: keeper.ctx.leave("group"),
    "monitor a group": lambda keeper, _: keeper.ctx.monitor_group("group"),
    "demonitor a group": lambda keeper, _: keeper.ctx.demonitor_group("group"),
    "stash": lambda keeper, _: keeper.ctx.stash(Add(1)),
    "unstash": lambda keeper, _: keeper.ctx.unstash_all(),
}
TREE: dict[str, Callable[[Runtime], Any]] = {
    "stop": lambda runtime: anyio.run(runtime.stop),
    "stop with a deadline": lambda runtime: anyio.run(runtime.stop, 1.0),
    "kill": lambda runtime: runtime.kill(),
    "wait": lambda runtime: anyio.run(runtime.wait),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
async def test_another_thread_is_refused_and_changes_nothing(
    running: Running, keeper: Keeper, ask: Callable[[Keeper, Ref[JobApi]], Any]
) -> None:
    async with running(child(lambda: keeper), direct=False) as runtime:
        ref = runtime.whereis("a", JobApi)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ref.call, Work(1.0))
            while not hasattr(keeper, "reply_to"):
                await anyio.lowlevel.checkpoint()
            with pytest.raises(WrongThread, match=r"a was given .* anyio\.from_thread\.run"):
                await anyio.to_thread.run_sync(ask, keeper, ref)
            keeper.reply_to.send(2)
        assert await ref.call(Read()) == ()
        leftovers = runtime.leftovers()
    assert leftovers["deadlines"] == 0


@pytest.mark.parametrize("ask", TREE.values(), ids=TREE)
async def test_the_tree_is_not_stopped_from_another_thread(
    running: Running, keeper: Keeper, ask: Callable[[Runtime], Any]
) -> None:
    async with running(child(lambda: keeper)) as runtime:
        with pytest.raises(WrongThread, match=r"root was given .* anyio\.from_thread\.run"):
            await anyio.to_thread.run_sync(ask, runtime)
        assert await runtime.whereis("a", JobApi).call(Read()) == ()


async def test_a_tree_is_stopped_from_another_thread_as_the_error_says(
    running: Running, keeper: Keeper
) -> None:
    def elsewhere() -> tuple[str, ...]:
        return anyio.from_thread.run(runtime.stop)

    async with running(child(lambda: keeper)) as runtime:
        late = await anyio.to_thread.run_sync(elsewhere)
        assert (late, runtime.tree().state) == ((), State.DOWN)


async def test_a_direct_call_from_another_thread_is_refused_before_long(
    running: Running, keeper: Keeper
) -> None:
    async def many(ref: Ref[JobApi]) -> None:
        for _ in range(128):
            await ref.call(Read())

    async with running(child(lambda: keeper), direct=True) as runtime:
        with pytest.raises(WrongThread):
            await anyio.to_thread.run_sync(anyio.run, many, runtime.whereis("a", JobApi))


async def test_the_way_that_the_error_names_leads_there(running: Running, keeper: Keeper) -> None:
    def elsewhere(ref: Ref[JobApi]) -> tuple[Any, ...]:
        anyio.from_thread.run_sync(ref.cast, Add(1))
        return anyio.from_thread.run(ref.call, Read())

    async with running(child(lambda: keeper)) as runtime:
        assert await anyio.to_thread.run_sync(elsewhere, runtime.whereis("a", JobApi)) == (1,)

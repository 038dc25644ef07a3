"""What comes from another thread than the loop's own is refused, before it harms anything."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from keygrove_actors import DEFER, Normal, Ref, ReplyTo, Runtime, WrongThread, on, sysapi
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
            with pytest.raises(WrongThread, match=r"a was given .* anyio\.from_thread\.run_sync"):
                await anyio.to_thread.run_sync(ask, keeper, ref)
            keeper.reply_to.send(2)
        assert await ref.call(Read()) == ()
        leftovers = runtime.leftovers()
    assert leftovers["deadlines"] == 0


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

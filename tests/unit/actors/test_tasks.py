"""Tasks of an actor that have a result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from keygrove_actors import (
    Actor,
    Call,
    CalleeExit,
    ChildSpec,
    ChildTerminated,
    Crash,
    Ctx,
    Killed,
    Report,
    Restart,
    Task,
    TaskDone,
    on,
)
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


class CrewApi:
    pass


class Ask(Call[CrewApi, Any], frozen=True, tag=True):
    how: Callable[[Crew], Any]


async def double(number: int, seconds: float) -> int:
    await anyio.sleep(seconds)
    if number < 0:
        raise ValueError("negative")
    return 2 * number


class Crew(Actor[CrewApi]):
    def __init__(self) -> None:
        self.told: list[TaskDone] = []
        self.kept: list[Task[int]] = []

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on(Ask)
    async def ask(self, message: Ask) -> Any:
        return await message.how(self)

    def on_info(self, message: Any) -> None:
        self.told.append(message)


CREW = ChildSpec("crew", Crew, name="crew", restart=Restart.TEMPORARY)


async def test_a037_tasks_run_side_by_side_and_give_their_results(running: Running) -> None:
    async def both(crew: Crew) -> int:
        one, two = crew.ctx.tasks.run(double, 1, 2.0), crew.ctx.tasks.run(double, 2, 1.0)
        first = await one
        assert two.done()
        return first + await two

    async with running(CREW) as runtime:
        start = anyio.current_time()
        assert await runtime.whereis("crew", CrewApi).call(Ask(both)) == 6
        assert anyio.current_time() - start < 2.1


async def test_a037_a_linked_tasks_failure_is_the_actors_crash(
    running: Running, reports: list[Report]
) -> None:
    async def fail(crew: Crew) -> int:
        try:
            return await crew.ctx.tasks.run(double, -1, 0.1)
        except ValueError:
            return await crew.ctx.tasks.run(double, 1, 0.1)

    async with running(CREW) as runtime:
        with pytest.raises(CalleeExit, match="ValueError: negative"):
            await runtime.whereis("crew", CrewApi).call(Ask(fail))
    (end,) = [r.reason for r in reports if isinstance(r, ChildTerminated)]
    assert isinstance(end, Crash)
    assert end.exc == "ValueError"


async def test_a037_an_isolated_tasks_failure_is_told_to_whoever_awaits_it(
    running: Running,
) -> None:
    async def attempt(crew: Crew) -> tuple[str, int, list[TaskDone]]:
        try:
            await crew.ctx.tasks.run(double, -1, 0.1, isolated=True)
        except ValueError as error:
            fine = await crew.ctx.tasks.run(double, 1, 0.1, isolated=True)
            return str(error), fine, crew.told
        return "", 0, []

    async with running(CREW) as runtime:
        assert await runtime.whereis("crew", CrewApi).call(Ask(attempt)) == ("negative", 2, [])


async def test_a037_an_isolated_task_that_nobody_awaits_tells_its_outcome_as_mail(
    running: Running,
) -> None:
    async def start(crew: Crew) -> None:
        crew.kept += [crew.ctx.tasks.run(double, n, 0.1, isolated=True) for n in (1, -1)]

    async def look(crew: Crew) -> tuple[Any, ...]:
        good, bad = sorted(crew.told, key=lambda done: done.crash is not None)
        assert bad.crash is not None
        return good.task, good.result, bad.crash.exc, await crew.kept[0]

    async with running(CREW) as runtime:
        ref = runtime.whereis("crew", CrewApi)
        await ref.call(Ask(start))
        await anyio.sleep(1.0)
        assert await ref.call(Ask(look)) == ("double", 2, "ValueError", 2)


async def test_a037_the_actors_end_cancels_its_tasks_and_tells_who_awaits_them(
    running: Running,
) -> None:
    seen: list[str] = []
    tasks: list[Task[int]] = []

    async def forever() -> int:
        try:
            await anyio.sleep_forever()
        finally:
            seen.append("cancelled")
        return 0

    async def start(crew: Crew) -> None:
        tasks.append(crew.ctx.tasks.run(forever))

    async with running(CREW) as runtime:
        ref = runtime.whereis("crew", CrewApi)
        await ref.call(Ask(start))

        async def wait() -> None:
            with pytest.raises(CalleeExit) as caught:
                await tasks[0]
            seen.append(f"{caught.value.target} {caught.value.reason}")

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.sleep(0.1)
            ref.kill()
    assert seen == ["cancelled", f"crew {Killed()}"]

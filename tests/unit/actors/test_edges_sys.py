"""What is rare between actors and the runtime, and has to come out right all the same."""

from __future__ import annotations

import enum
from functools import partial
from typing import Any, ClassVar

import anyio
import pytest

from keygrove_actors import (
    CallTimeout,
    ChildSpec,
    Hibernate,
    Idle,
    Ref,
    Report,
    Restart,
    StateActor,
    SupApi,
    SupSpec,
    on_cast,
    sysapi,
)
from keygrove_actors.census import tree_snapshot
from tests.unit.actors.conftest import Running
from tests.unit.actors.odd import LOG, Ask, Do, High, Laned, Nap, Odd, OddApi, note, odd

pytestmark = pytest.mark.anyio


async def test_a147_a_request_given_up_is_not_carried_out_later(running: Running) -> None:
    async with running(odd()) as runtime:
        ref = runtime.whereis("odd", OddApi)
        ref.cast(Nap(2.0))
        await anyio.sleep(0.1)
        with pytest.raises(CallTimeout):
            await sysapi.suspend(ref, timeout=1.0)
        await anyio.sleep(2.0)
        assert await ref.call(LOG) == ["napped"]


async def test_a117_requests_that_wait_for_a_handler_are_served_in_order(running: Running) -> None:
    seen: list[str] = []

    async def ask(what: str, request: Any) -> None:
        await request
        seen.append(what)

    async with running(odd()) as runtime:
        ref = runtime.whereis("odd", OddApi)
        ref.cast(Nap(1.0))
        await anyio.sleep(0.1)
        ref.cast(note("mail"))
        async with anyio.create_task_group() as tasks:
            for what in ("suspend", "get_state", "resume"):
                tasks.start_soon(ask, what, getattr(sysapi, what)(ref))
                await anyio.sleep(0.01)
            await anyio.sleep(1.0)
        assert sorted(seen) == ["get_state", "resume", "suspend"], "the last one let it go on"
        assert await ref.call(LOG) == ["napped", "mail"]


async def test_a117_a_request_to_one_that_is_starting_waits_for_its_init(running: Running) -> None:
    async with running() as runtime, anyio.create_task_group() as tasks:
        tasks.start_soon(runtime.supervisor("").start_child, odd(kind=partial(Odd, 1.0)))
        await anyio.sleep(0.5)
        state = await sysapi.get_state(runtime.whereis("odd", OddApi))
        assert state["init_s"] == 1.0
        assert anyio.current_time() >= 1.0


@pytest.mark.parametrize("kind", [Odd, Laned])
async def test_a117_requests_come_before_every_lane(running: Running, kind: type[Odd]) -> None:
    async with running(odd(kind=kind)) as runtime:
        ref: Ref[Any] = runtime.whereis("odd", OddApi)
        ref.cast(Nap(1.0))
        await anyio.sleep(0.1)
        if kind is Laned:
            ref.cast(High(1))
        ref.cast(note(2))
        seen: list[Any] = []

        async def look() -> None:
            seen.append((await sysapi.get_state(ref))["log"])

        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(look)
        assert seen == ["['napped']"] * 2
        assert await ref.call(LOG) == ["napped", *([1] if kind is Laned else []), 2]


async def test_a143_a_class_with_lanes_takes_over_what_is_queued(running: Running) -> None:
    async with running(odd()) as runtime:
        ref = runtime.whereis("odd", OddApi)
        await sysapi.suspend(ref)
        for value in (1, 2):
            ref.cast(note(value))
        await sysapi.change_code(ref, Laned)
        ref.cast(High(3))
        await sysapi.resume(ref)
        await anyio.sleep(0.1)
        assert await ref.call(LOG) == [3, 1, 2]


async def test_a146_a_filter_sees_timers_too(running: Running, reports: list[Report]) -> None:
    async with running(odd()) as runtime:
        ref = runtime.whereis("odd", OddApi)
        await ref.call(Ask(lambda actor: str(actor.ctx.send_after(0.5, note("due")))))
        await sysapi.install(ref, lambda message: not isinstance(message, Do))
        await anyio.sleep(1.0)
        assert await sysapi.statistics(ref) is None, "nobody asked for them"
        assert await ref.call(LOG) == []


async def test_a112_a_long_handler_is_no_quiet_time(running: Running) -> None:
    class Dozy(Odd):
        idle_after: ClassVar = 1.0

        def on_idle(self, idle: Idle) -> None:
            self.log.append("idle")

    async with running(odd(kind=Dozy)) as runtime:
        ref = runtime.whereis("odd", OddApi)
        ref.cast(Nap(3.0))
        await anyio.sleep(3.5)
        assert await ref.call(LOG) == ["napped"]


async def test_a115_who_has_mail_does_not_fall_asleep(running: Running) -> None:
    class Sleepy(Odd):
        @on_cast(Nap)
        def nap(self, message: Nap) -> Hibernate:  # pyright: ignore[reportIncompatibleMethodOverride]
            return Hibernate.HIBERNATE

        def on_hibernate(self) -> None:
            self.log.append("asleep")

    async with running(odd(kind=Sleepy)) as runtime:
        ref = runtime.whereis("odd", OddApi)
        ref.cast(Nap(0.0))
        for value in range(300):
            ref.cast(note(value))
        await anyio.sleep(0.1)
        assert "asleep" not in await ref.call(LOG)


async def test_a117_a_supervisor_answers_the_runtime_while_a_child_starts(
    running: Running,
) -> None:
    async with running(ChildSpec("sub", SupSpec(), name="sub")) as runtime:
        ref = runtime.whereis("sub", SupApi)
        sub = runtime.supervisor("sub")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sub.start_child, odd(kind=partial(Odd, 1.0)))
            await anyio.sleep(0.5)
            start = anyio.current_time()
            await sysapi.count_statistics(ref, on=True)
            assert anyio.current_time() == start
        await sysapi.install(ref, lambda _: False)
        with pytest.raises(CallTimeout):
            await sub.delete_child("odd", timeout=0.5)


async def test_a144_what_a_spec_leaves_out_and_another_takes_back_stays(running: Running) -> None:
    kept, other = odd("kept", restart=Restart.PERMANENT), odd("other", restart=Restart.PERMANENT)
    async with running(ChildSpec("sub", SupSpec(children=(kept, other)))) as runtime:
        sub = runtime.supervisor("sub")
        await sub.replace_spec(SupSpec(children=(other,)))
        await sub.replace_spec(SupSpec(children=(kept, other)))
        await sub.reconcile()
        assert [(c.id, c.ref is not None) for c in sub.which_children()] == [
            ("kept", True),
            ("other", True),
        ]
        assert repr(sub) == "<SupRef sub>"


async def test_a148_the_snapshot_shows_children_that_are_down(running: Running) -> None:
    async with running(odd(restart=Restart.TRANSIENT)) as runtime:
        await runtime.supervisor("").terminate_child("odd")
        (gone,) = (await tree_snapshot(runtime)).children
        assert (gone.state.value, gone.actor, gone.name) == ("down", None, "odd")


class Mood(enum.Enum):
    CALM = 1
    TENSE = 2


async def test_a133_a_notice_passed_on_to_the_base_class_is_one_event(running: Running) -> None:
    entered: list[tuple[Mood, Mood | None]] = []

    class Moody(StateActor[OddApi, Mood]):
        initial: ClassVar = Mood.CALM

        def on_info(self, message: Any) -> None:
            self.go(Mood.TENSE)

    class Moodier(Moody):
        def on_info(self, message: Any) -> None:
            super().on_info(message)
            entered.append((self.state, None))

    async with running(odd(kind=Moodier)) as runtime:
        ref = runtime.whereis("odd", OddApi)
        for _ in range(2):
            ref.cast(Nap(0.0))
        await anyio.sleep(0.1)
    assert entered == [(Mood.CALM, None), (Mood.TENSE, None)], "the state changes in the end"

"""Observing one actor: statistics, traces, logs and filters."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from keygrove_actors import (
    CallTimeout,
    Cause,
    ChildSpec,
    DeadLetter,
    Report,
    on_cast,
    sysapi,
)
from keygrove_actors.census import tree_snapshot
from keygrove_actors.watch import Direction, TraceEvent
from tests.unit.actors.bank import BANK, Add, Bank, BankApi, Look, Total
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


async def test_a145_statistics_count_by_message_type(running: Running) -> None:
    class Echo(Bank):
        @on_cast(Look)
        def look(self, message: Look) -> None:
            self.ctx.self_ref.cast(Add(1))

    async with running(ChildSpec("bank", Echo, name="bank")) as runtime:
        ref = runtime.whereis("bank", BankApi)
        assert await sysapi.statistics(ref) is None
        await sysapi.count_statistics(ref, on=True)
        for _ in range(3):
            ref.cast(Look())
        assert await ref.call(Total()) in range(4)
        await anyio.sleep(0.1)
        found = await sysapi.statistics(ref)
        assert found is not None
        assert (found.messages_in, found.messages_out) == (7, 3)
        assert {k: f.count for k, f in found.kinds.items()} == {"Look": 3, "Total": 1, "Add": 3}
        node = (await tree_snapshot(runtime)).children[0]
        assert node.busy is not None
        await sysapi.count_statistics(ref, on=False)
        assert await sysapi.statistics(ref) is None
        assert runtime.leftovers()["taps"] == 0


async def test_a146_trace_and_log_see_every_event(running: Running) -> None:
    class Echo(Bank):
        @on_cast(Look)
        async def look(self, message: Look) -> None:
            await self.ctx.whereis("other", BankApi).call(Total())
            self.ctx.send_after(0.5, Add(1))

    events: list[TraceEvent] = []
    other = ChildSpec("other", Bank, name="other")
    async with running(ChildSpec("bank", Echo, name="bank"), other) as runtime:
        ref = runtime.whereis("bank", BankApi)
        await sysapi.trace(ref, events.append)
        await sysapi.keep_log(ref, 2)
        ref.cast(Look())
        await anyio.sleep(0.1)
        await ref.call(Total())
        await anyio.sleep(1.0)
        assert [(e.what, e.about, e.target) for e in events] == [
            (Direction.IN, "Look", None),
            (Direction.OUT, "Total", "other"),
            (Direction.IN, "Total", None),
            (Direction.REPLY, "Total", None),
            (Direction.TIMER, "Add", None),
            (Direction.IN, "Add", None),
        ]
        assert [e.what for e in await sysapi.log(ref)] == [Direction.TIMER, Direction.IN]
        await sysapi.trace(ref, None)
        await sysapi.keep_log(ref, 0)
        await ref.call(Total())
        assert len(events) == 6
        assert await sysapi.log(ref) == ()


async def test_a146_a_sink_that_raises_is_not_told_again(running: Running) -> None:
    def sink(event: TraceEvent) -> None:
        told.append(event)
        raise RuntimeError("full")

    told: list[TraceEvent] = []
    async with running(BANK) as runtime:
        ref = runtime.whereis("bank", BankApi)
        await sysapi.trace(ref, sink)
        for _ in range(3):
            await ref.call(Total())
    assert len(told) == 1


async def test_a146_a_filter_takes_messages_away_until_it_raises(
    running: Running, reports: list[Report]
) -> None:
    def keep(message: Any) -> bool:
        if isinstance(message, Look):
            raise KeyError("what is this")
        return not (isinstance(message, Add) and message.value > 1)

    async with running(BANK) as runtime:
        ref = runtime.whereis("bank", BankApi)
        await sysapi.install(ref, keep)
        ref.cast(Add(1))
        ref.cast(Add(2))
        assert await ref.call(Total()) == 1
        await sysapi.install(ref, lambda m: not isinstance(m, Total))
        with pytest.raises(CallTimeout):
            await ref.call(Total(), timeout=0.5)
        ref.cast(Look())
        ref.cast(Add(2))
        await anyio.sleep(0.1)
        assert (await sysapi.get_state(ref))["total"] == 3
    letters = [
        r.message for r in reports if isinstance(r, DeadLetter) and r.cause is Cause.FILTERED
    ]
    assert letters == ["Add", "Total"]


async def test_a146_a_filter_can_be_removed(running: Running) -> None:
    def nothing(message: Any) -> bool:
        return False

    async with running(BANK) as runtime:
        ref = runtime.whereis("bank", BankApi)
        await sysapi.install(ref, nothing)
        ref.cast(Add(1))
        await anyio.sleep(0.1)
        await sysapi.remove(ref, nothing)
        assert await ref.call(Total()) == 0
        assert runtime.leftovers()["taps"] == 0

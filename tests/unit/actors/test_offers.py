"""What a host answers to the calls of its worker."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import ClassVar

import anyio
import msgspec
import pytest

from keygrove_actors import (
    ChildSpec,
    ChildTerminated,
    Crash,
    Ctx,
    Port,
    PortSpec,
    Report,
    Restart,
    Work,
    WorkFailure,
)
from keygrove_actors import port_wire as wire
from keygrove_actors.port_offers import OFFERS_MAX
from keygrove_actors.port_process import Exit, Process, Sink
from keygrove_actors.port_spec import Offer
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio

HELLO = wire.Hello(1, 1, wire.MAGIC, 1, (), wire.FRAME_BYTES_MAX, 64)
encode = msgspec.msgpack.encode


class HostApi:
    pass


class Look(Work[HostApi, int], frozen=True, tag=True):
    op: ClassVar[str] = "look"
    n: int


class Asker:
    """A worker in memory that asks its host these questions, and keeps what it is answered."""

    pid = 1
    backlog = 0

    def __init__(self, *calls: wire.Call) -> None:
        self.answers: list[wire.Frame] = []
        self._calls = calls
        self._decoder = wire.Decoder()

    @asynccontextmanager
    async def launch(self, ctx: Ctx, spec: PortSpec, sink: Sink) -> AsyncGenerator[Process, None]:
        self._sink = sink
        ctx.start_soon(self._begin)
        yield self

    async def _begin(self) -> None:
        frames: tuple[wire.Frame, ...] = (HELLO, *self._calls)
        for frame in frames:
            self._sink.received(wire.encode(frame), ())

    def write(self, data: bytes) -> None:
        self.answers += self._decoder.feed(data)

    def memory_bytes(self) -> int:
        return 0

    def signal(self, number: int) -> None:
        self._sink.ended(Exit(0, number))


async def look(message: Look) -> int:
    match message.n:
        case 0:
            raise WorkFailure("not_found", "nothing there").error()
        case 1:
            raise ValueError("a bug")
        case _:
            await anyio.sleep(message.n / 100)
            return message.n * 2


def port_of(asker: Asker) -> ChildSpec:
    spec = PortSpec(api=HostApi, works=(), argv=("none",), offers=(Offer(Look, look),), drain_s=0.1)
    return Port.child("port", spec, launch=asker.launch, restart=Restart.TEMPORARY)


def call(number: int, n: object) -> wire.Call:
    return wire.Call(number, "look", encode({"type": "Look", "n": n}), 0)


async def answers(running: Running, asker: Asker) -> list[wire.Frame]:
    async with running(port_of(asker)):
        await anyio.sleep(2)
    return [one for one in asker.answers if isinstance(one, wire.Reply | wire.Error)]


async def test_each_call_has_its_own_answer_in_its_own_time(running: Running) -> None:
    asker = Asker(call(1, 5), call(2, 0), call(3, 6))
    assert await answers(running, asker) == [
        wire.Error(2, "not_found", "nothing there", retryable=False),
        wire.Reply(1, encode(10)),
        wire.Reply(3, encode(12)),
    ]


async def test_a_call_that_cannot_be_read_is_refused(running: Running) -> None:
    (error,) = await answers(running, Asker(call(1, "five")))
    assert isinstance(error, wire.Error)
    assert (error.id, error.code, error.retryable) == (1, "bad_request", False)
    assert "Expected `int`, got `str`" in error.text


async def test_more_calls_than_are_served_at_once_are_to_be_tried_again(running: Running) -> None:
    asker = Asker(*(call(n, n + 1) for n in range(1, OFFERS_MAX + 3)))
    first, second, *served = await answers(running, asker)
    assert (first, second) == tuple(
        wire.Error(OFFERS_MAX + n, "overloaded", "", retryable=True) for n in (1, 2)
    )
    assert len(served) == OFFERS_MAX
    assert all(isinstance(one, wire.Reply) for one in served)


async def test_a_bug_in_an_offer_ends_the_port(running: Running, reports: list[Report]) -> None:
    assert await answers(running, Asker(call(1, 1))) == []
    ends = [r.reason for r in reports if isinstance(r, ChildTerminated)]
    assert [end.exc for end in ends if isinstance(end, Crash)] == ["ValueError"]


async def test_an_operation_that_is_not_offered_is_unknown(running: Running) -> None:
    asker = Asker(wire.Call(1, "other", b"", 0))
    assert await answers(running, asker) == [wire.Error(1, "unknown_op", "other", retryable=False)]

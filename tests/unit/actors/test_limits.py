"""Each mailbox policy around its limit, and what no limit holds back."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from keygrove_actors import (
    Actor,
    Call,
    Cast,
    Cause,
    ChildSpec,
    Ctx,
    DeadLetter,
    Down,
    Exit,
    MailboxFull,
    MailboxSpec,
    Overflow,
    Ref,
    Report,
    Restart,
    on,
    on_cast,
)
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio
LIMIT = 3


class BinApi:
    pass


class Put(Cast[BinApi], frozen=True, tag=True):
    value: int


class Nap(Cast[BinApi], frozen=True, tag=True):
    pass


class Read(Call[BinApi, tuple[Any, ...]], frozen=True, tag=True):
    pass


class Watch(Call[BinApi, None], frozen=True, tag=True):
    ref: Ref[Any]


class Bin(Actor[BinApi]):
    trap_exit = True

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on_cast(Put)
    def put(self, message: Put) -> None:
        self.seen.append(message.value)

    @on_cast(Nap)
    async def nap(self, message: Nap) -> None:
        await anyio.sleep(1.0)

    @on(Read)
    def read(self, message: Read) -> tuple[Any, ...]:
        return tuple(self.seen)

    @on(Watch)
    def watch(self, message: Watch) -> None:
        self.ctx.monitor(message.ref)
        self.ctx.link(message.ref)

    def on_down(self, down: Down) -> None:
        self.seen.append("down")

    def on_exit(self, exit: Exit) -> None:  # noqa: A002 - OTP's word
        self.seen.append("exit")


def bin_with(mailbox: MailboxSpec) -> ChildSpec:
    return ChildSpec("bin", Bin, name="bin", mailbox=mailbox)


KEPT = {
    Overflow.REJECT: (0, 1, 2),
    Overflow.BLOCK: (0, 1, 2),
    Overflow.DROP_NEWEST: (0, 1, 2),
    Overflow.DROP_OLDEST: (1, 2, 3),
}


@pytest.mark.parametrize("overflow", list(Overflow))
@pytest.mark.parametrize("sent", [LIMIT - 1, LIMIT, LIMIT + 1])
async def test_a161_each_policy_takes_as_many_as_its_limit_says(
    running: Running, reports: list[Report], overflow: Overflow, sent: int
) -> None:
    async with running(bin_with(MailboxSpec(LIMIT, overflow))) as runtime:
        ref = runtime.whereis("bin", BinApi)
        for value in range(sent):
            ref.cast(Put(value))
        await anyio.sleep(0.1)
        kept = KEPT[overflow] if sent > LIMIT else tuple(range(sent))
        assert await ref.call(Read()) == kept
        assert runtime.counters.dropped == ({overflow.value: 1} if sent > LIMIT else {})
    lost = [r.cause for r in reports if isinstance(r, DeadLetter)]
    assert lost == ([Cause.OVERFLOW] if sent > LIMIT else [])


@pytest.mark.parametrize("overflow", list(Overflow))
@pytest.mark.parametrize("sent", [LIMIT - 1, LIMIT, LIMIT + 1])
async def test_a161_only_a_policy_that_refuses_tells_a_strict_sender(
    running: Running, overflow: Overflow, sent: int
) -> None:
    refused: list[str] = []
    async with running(bin_with(MailboxSpec(LIMIT, overflow))) as runtime:
        ref = runtime.whereis("bin", BinApi)
        for value in range(sent):
            try:
                ref.cast(Put(value), strict=True)
            except MailboxFull as full:
                refused.append(str(full))
    tells = overflow in {Overflow.REJECT, Overflow.BLOCK}
    assert len(refused) == (sent > LIMIT and tells)
    assert all(f"{LIMIT} messages waiting" in text for text in refused)


@pytest.mark.parametrize("overflow", [Overflow.REJECT, Overflow.DROP_NEWEST])
async def test_a162_a_call_that_finds_no_room_is_told_at_once(
    running: Running, overflow: Overflow
) -> None:
    async with running(bin_with(MailboxSpec(LIMIT, overflow))) as runtime:
        ref = runtime.whereis("bin", BinApi)
        for value in range(LIMIT):
            ref.cast(Put(value))
        start = anyio.current_time()
        with pytest.raises(MailboxFull):
            await ref.call(Read())
        assert anyio.current_time() == start


async def test_a160_a_mailbox_is_without_bound_only_where_its_spec_says_so(
    running: Running, reports: list[Report]
) -> None:
    bounded = ChildSpec("bounded", Bin, name="bounded")
    async with running(bounded, bin_with(MailboxSpec(limit=None))) as runtime:
        for name in ("bounded", "bin"):
            ref = runtime.whereis(name, BinApi)
            for value in range(10_001):
                ref.cast(Put(value))
        await anyio.sleep(0.1)
        assert len(await runtime.whereis("bin", BinApi).call(Read())) == 10_001
        assert len(await runtime.whereis("bounded", BinApi).call(Read())) == 10_000
    assert [r.target for r in reports if isinstance(r, DeadLetter)] == ["bounded"]


@pytest.mark.parametrize("overflow", list(Overflow))
async def test_a165_a_full_mailbox_loses_no_signal(running: Running, overflow: Overflow) -> None:
    other = ChildSpec("other", Bin, name="other", restart=Restart.TEMPORARY)
    async with running(bin_with(MailboxSpec(1, overflow)), other) as runtime:
        ref, dying = runtime.whereis("bin", BinApi), runtime.whereis("other", BinApi)
        await ref.call(Watch(dying))
        ref.cast(Nap())
        await anyio.sleep(0.1)
        ref.cast(Put(1))
        dying.kill()
        await anyio.sleep(0.1)
        ref.cast(Put(2))
        await anyio.sleep(2.0)
        seen = await ref.call(Read())
    kept = 2 if overflow is Overflow.DROP_OLDEST else 1
    assert sorted(map(str, seen)) == sorted([str(kept), "exit", "down"])

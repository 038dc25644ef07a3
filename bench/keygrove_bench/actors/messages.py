"""W1 to W4 and W12 on our runtime: casts, calls, and a ring."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from keygrove_actors import (
    Actor,
    Call,
    Cast,
    ChildSpec,
    Ctx,
    MailboxSpec,
    Ref,
    SupSpec,
    on,
    on_cast,
)
from keygrove_bench.actors.clock import Watch
from keygrove_bench.actors.features import running
from keygrove_bench.actors.sides import Figures
from keygrove_bench.actors.worker import Program

BURST: Final = 1000

UNBOUNDED: Final = MailboxSpec(limit=None)
"""As Erlang's mailboxes are. A producer that yields once in 1000 casts outruns turns of 128."""


class Api:
    """What the actor under load serves."""


class Inc(Cast[Api], frozen=True):
    """Count on."""

    by: int


class Count(Call[Api, int], frozen=True):
    """How far it has counted."""


class Ping(Call[Api, int], frozen=True):
    """An echo."""

    number: int


class Counter(Actor[Api]):
    """A counter and an echo. Tells its own address, as Erlang's start returns a pid."""

    def __init__(self, told: list[Ref[Api]] | None = None) -> None:
        self.count = 0
        self.told = told

    def init(self, ctx: Ctx) -> None:
        """Tell the address."""
        if self.told is not None:
            self.told.append(ctx.self_ref)

    @on_cast(Inc)
    def inc(self, message: Inc) -> None:
        """Count on."""
        self.count += message.by

    @on(Count)
    def total(self, _: Count) -> int:
        """How far."""
        return self.count

    @on(Ping)
    def ping(self, message: Ping) -> int:
        """Echo."""
        return message.number


@asynccontextmanager
async def _counter(*, direct: bool = False) -> AsyncGenerator[Ref[Api], None]:
    told: list[Ref[Api]] = []
    counter = ChildSpec("counter", lambda: Counter(told), mailbox=UNBOUNDED)
    spec = SupSpec(children=(counter,))
    async with running(spec, direct=direct):
        yield told[0]


async def cast(count: int) -> Figures:
    """W1."""
    async with _counter() as ref:
        watch = Watch()
        for _ in range(count // BURST):
            for _ in range(BURST):
                ref.cast(Inc(1))
            await asyncio.sleep(0)
        assert await ref.call(Count()) == count
        return watch.rate(count)


async def call(count: int) -> Figures:
    """W2."""
    return await _calls(count, direct=False)


async def direct(count: int) -> Figures:
    """W4."""
    return await _calls(count, direct=True)


async def _calls(count: int, *, direct: bool) -> Figures:
    async with _counter(direct=direct) as ref:
        watch = Watch()
        for number in range(count):
            assert await ref.call(Ping(number), timeout=5.0) == number
        return watch.rate(count)


async def callers(count: int, each: int) -> Figures:
    """W3."""

    async def calling(ref: Ref[Api]) -> None:
        for number in range(each):
            await ref.call(Ping(number), timeout=5.0)

    async with _counter() as ref:
        watch = Watch()
        await asyncio.gather(*(calling(ref) for _ in range(count)))
        return watch.rate(count * each)


class HopApi:
    """What an actor in the ring serves."""


class Hop(Cast[HopApi], frozen=True):
    """On to the next, so many times more."""

    left: int


class Member(Actor[HopApi]):
    """One actor in the ring; it finds its neighbour among `refs`."""

    def __init__(self, refs: list[Ref[HopApi]], place: int, done: asyncio.Event) -> None:
        self.refs = refs
        self.place = place
        self.done = done
        self.next: Ref[HopApi] | None = None

    def init(self, ctx: Ctx) -> None:
        """Join the ring."""
        self.refs.append(ctx.self_ref)

    @on_cast(Hop)
    def hop(self, message: Hop) -> None:
        """Pass it on."""
        if self.next is None:
            self.next = self.refs[(self.place + 1) % len(self.refs)]
        if message.left:
            self.next.cast(Hop(message.left - 1))
        else:
            self.done.set()


async def ring(size: int, hops: int) -> Figures:
    """W12."""
    refs: list[Ref[HopApi]] = []
    done = asyncio.Event()
    children = tuple(
        ChildSpec(f"n{place}", partial(Member, refs, place, done)) for place in range(size)
    )
    async with running(SupSpec(children=children)):
        watch = Watch()
        refs[0].cast(Hop(hops))
        await done.wait()
        return watch.rate(hops)


PROGRAMS: Final[dict[str, Program]] = {
    "cast": cast,
    "call": call,
    "direct": direct,
    "callers": callers,
    "ring": ring,
}

"""Links and exit signals: who hears them, who dies of them, and what fences the rest."""

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
    ChildTerminated,
    Crash,
    Ctx,
    DeadLetter,
    Exit,
    GoneReason,
    Killed,
    Normal,
    Reason,
    Ref,
    Report,
    Restart,
    Shutdown,
    Stop,
    Zombie,
    on,
    on_cast,
)
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio

BOOM = Crash("ValueError", "boom")


class PairApi:
    pass


class LinkTo(Call[PairApi, None], frozen=True, tag=True):
    ref: Ref[Any]
    times: int = 1


class UnlinkFrom(Call[PairApi, None], frozen=True, tag=True):
    ref: Ref[Any]


class Trap(Call[PairApi, None], frozen=True, tag=True):
    on: bool


class Seen(Call[PairApi, tuple[Reason, ...]], frozen=True, tag=True):
    pass


class End(Cast[PairApi], frozen=True, tag=True):
    reason: Reason


class Tell(Cast[PairApi], frozen=True, tag=True):
    """Makes the receiver cast `Note` to another, now and after it was fenced."""

    ref: Ref[Any]


class Note(Cast[PairApi], frozen=True, tag=True):
    pass


class Pair(Actor[PairApi]):
    def __init__(self) -> None:
        self.seen: list[Exit] = []
        self.notes = 0

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on(LinkTo)
    def link_to(self, message: LinkTo) -> None:
        for _ in range(message.times):
            self.ctx.link(message.ref)

    @on(UnlinkFrom)
    def unlink_from(self, message: UnlinkFrom) -> None:
        self.ctx.unlink(message.ref)

    @on(Trap)
    def trap(self, message: Trap) -> None:
        self.ctx.trap_exit(on=message.on)

    @on(Seen)
    def read(self, message: Seen) -> tuple[Reason, ...]:
        return tuple(e.reason for e in self.seen)

    @on_cast(End)
    def end(self, message: End) -> Stop:
        return Stop(message.reason)

    @on_cast(Tell)
    async def tell(self, message: Tell) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(5.0)
        message.ref.cast(Note())
        self.ctx.send_after(0.1, Note())

    @on_cast(Note)
    def note(self, message: Note) -> None:
        self.notes += 1

    def on_exit(self, exit: Exit) -> None:  # noqa: A002 - OTP's word
        self.seen.append(exit)


class Trapping(Pair):
    trap_exit = True


def pair(name: str, kind: type[Pair] = Pair) -> ChildSpec:
    return ChildSpec(name, kind, name=name, restart=Restart.TEMPORARY)


def ends(reports: list[Report]) -> dict[str, Reason]:
    return {r.child: r.reason for r in reports if isinstance(r, ChildTerminated)}


SIGNALS: list[tuple[str, Reason, Reason | None]] = [
    ("a060", Normal(), None),
    ("a061 shutdown", Shutdown("why"), Shutdown("why")),
    ("a061 crash", BOOM, BOOM),
    ("a063", Killed(), Killed()),
]


@pytest.mark.parametrize("over", ["link", "signal"])
@pytest.mark.parametrize(("reason", "end"), [s[1:] for s in SIGNALS], ids=[s[0] for s in SIGNALS])
async def test_a060_a061_a063_an_exit_reaches_one_that_does_not_trap(
    running: Running, reports: list[Report], over: str, reason: Reason, end: Reason | None
) -> None:
    async with running(pair("a"), pair("b")) as runtime:
        a, b = runtime.whereis("a", PairApi), runtime.whereis("b", PairApi)
        if over == "link":
            await a.call(LinkTo(b))
            b.cast(End(reason))
        else:
            a.exit(reason)
        await anyio.sleep(0.1)
        assert a.alive() == (end is None)
        assert end is None or ends(reports)["a"] == end


@pytest.mark.parametrize("over", ["link", "signal"])
@pytest.mark.parametrize("reason", [s[1] for s in SIGNALS], ids=[s[0] for s in SIGNALS])
async def test_a060_a061_a063_an_exit_is_mail_for_one_that_traps(
    running: Running, over: str, reason: Reason
) -> None:
    async with running(pair("a", Trapping), pair("b")) as runtime:
        a, b = runtime.whereis("a", PairApi), runtime.whereis("b", PairApi)
        if over == "link":
            await a.call(LinkTo(b))
            b.cast(End(reason))
        else:
            a.exit(reason)
        await anyio.sleep(0.1)
        assert await a.call(Seen()) == (reason,)


async def test_a062_a_kill_signal_is_not_trapped(running: Running, reports: list[Report]) -> None:
    async with running(pair("a", Trapping)) as runtime:
        runtime.whereis("a", PairApi).kill()
        await anyio.sleep(0.1)
    assert ends(reports) == {"a": Killed()}


async def test_a064_only_a_kill_signal_kills_without_asking(
    running: Running, reports: list[Report]
) -> None:
    async with running(pair("a", Trapping), pair("b"), pair("c")) as runtime:
        a, b, c = (runtime.whereis(name, PairApi) for name in "abc")
        await a.call(LinkTo(b))
        await b.call(LinkTo(c))
        c.kill()
        await anyio.sleep(0.1)
        assert await a.call(Seen()) == (Killed(),)
        assert ends(reports) == {"b": Killed(), "c": Killed()}


async def test_a067_links_are_symmetric_and_idempotent(running: Running) -> None:
    async with running(pair("a"), pair("b")) as runtime:
        a, b = runtime.whereis("a", PairApi), runtime.whereis("b", PairApi)
        await a.call(LinkTo(b, times=2))
        await b.call(LinkTo(a))
        await b.call(UnlinkFrom(a))
        b.cast(End(BOOM))
        await anyio.sleep(0.1)
        assert a.alive()


async def test_a067_an_exit_already_queued_goes_with_its_link(running: Running) -> None:
    class Late(Trapping):
        @on_cast(Note)
        async def note(self, message: Note) -> None:
            await anyio.sleep(1.0)
            self.ctx.unlink(self.ctx.whereis("b", PairApi))

    async with running(pair("a", Late), pair("b")) as runtime:
        a, b = runtime.whereis("a", PairApi), runtime.whereis("b", PairApi)
        await a.call(LinkTo(b))
        a.cast(Note())
        await anyio.sleep(0.5)
        ref = b
        ref.cast(End(BOOM))
        await anyio.sleep(1.0)
        assert await a.call(Seen()) == (BOOM,), "the name was free: there was nothing to unlink"


async def test_a067_unlink_by_the_ref_that_was_linked_withdraws_the_exit(
    running: Running,
) -> None:
    class Late(Trapping):
        @on(LinkTo)
        async def link_to(self, message: LinkTo) -> None:
            self.ctx.link(message.ref)
            await anyio.sleep(1.0)
            self.ctx.unlink(message.ref)

    async with running(pair("a", Late), pair("b")) as runtime, anyio.create_task_group() as tasks:
        a, b = runtime.whereis("a", PairApi), runtime.whereis("b", PairApi)
        tasks.start_soon(a.call, LinkTo(b))
        await anyio.sleep(0.5)
        b.cast(End(BOOM))
        await anyio.sleep(1.0)
        assert await a.call(Seen()) == ()


@pytest.mark.parametrize("kind", [Pair, Trapping])
async def test_a068_linking_nobody_is_as_if_it_had_just_died(
    running: Running, reports: list[Report], kind: type[Pair]
) -> None:
    async with running(pair("a", kind)) as runtime:
        a = runtime.whereis("a", PairApi)
        await a.call(LinkTo(runtime.whereis("nobody", PairApi)))
        await anyio.sleep(0.1)
        assert a.alive() == (kind is Trapping)
        if kind is Trapping:
            assert await a.call(Seen()) == (GoneReason(),)
        else:
            assert ends(reports) == {"a": GoneReason()}


async def test_linking_oneself_does_nothing(running: Running) -> None:
    async with running(pair("a")) as runtime:
        a = runtime.whereis("a", PairApi)
        await a.call(LinkTo(a))
        assert a.alive()


async def test_a075_trapping_may_be_toggled(running: Running) -> None:
    async with running(pair("a")) as runtime:
        a = runtime.whereis("a", PairApi)
        await a.call(Trap(on=True))
        a.exit(BOOM)
        assert await a.call(Seen()) == (BOOM,)
        await a.call(Trap(on=False))
        a.exit(BOOM)
        await anyio.sleep(0.1)
        assert not a.alive()


async def test_a172_one_that_outlives_its_kill_is_fenced(
    running: Running, reports: list[Report]
) -> None:
    stubborn, other = Pair(), Pair()
    specs = (
        ChildSpec("a", lambda: stubborn, name="a", restart=Restart.TEMPORARY),
        ChildSpec("b", lambda: other, name="b"),
    )
    async with running(*specs, kill_grace=2.0) as runtime:
        a, b = runtime.whereis("a", PairApi), runtime.whereis("b", PairApi)
        a.cast(Tell(b))
        await anyio.sleep(0.1)
        a.kill()
        await anyio.sleep(1.0)
        assert a.alive(), "the grace is not over"
        await anyio.sleep(1.5)
        assert not a.alive()
        await anyio.sleep(5.0)
        assert runtime.counters.zombies == 1
        assert runtime.leftovers()["taps"] == 0, "it is gone for good"
    assert [r.path for r in reports if isinstance(r, Zombie)] == ["a"]
    assert (stubborn.notes, other.notes) == (0, 0)
    letters = [(r.message, r.cause) for r in reports if isinstance(r, DeadLetter)]
    assert ("Note", Cause.FENCED) in letters

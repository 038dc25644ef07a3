"""Every message ends in one way: handled, a dead letter, or refused; as a list model has it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
from hypothesis import given
from hypothesis import strategies as st

from keygrove_actors import (
    Actor,
    Call,
    CalleeExit,
    Cast,
    ChildSpec,
    MailboxFull,
    MailboxSpec,
    NoProc,
    Overflow,
    Ref,
    Restart,
    Runtime,
    SupSpec,
    on,
    on_cast,
    sysapi,
)
from tests.property.actors.play import Loop, loops, played


class BoxApi:
    pass


class Put(Cast[BoxApi], frozen=True, tag=True):
    value: int


class Ask(Call[BoxApi, int], frozen=True, tag=True):
    value: int


class Box(Actor[BoxApi]):
    def __init__(self, handled: list[int]) -> None:
        self.handled = handled

    @on_cast(Put)
    def put(self, message: Put) -> None:
        self.handled.append(message.value)

    @on(Ask)
    def ask(self, message: Ask) -> int:
        self.handled.append(message.value)
        return message.value


class Model:
    """A bounded list with a policy, and a line of those who wait for room."""

    def __init__(self, limit: int, overflow: Overflow) -> None:
        self.limit, self.overflow = limit, overflow
        self.queue: list[tuple[str, int]] = []
        self.line: list[tuple[str, int]] = []
        self.handled: list[int] = []
        self.lost = 0
        self.told: Counter[int] = Counter()
        """Whose sender was told, by the message's value."""

    def send(self, verb: str, value: int) -> None:
        """`cast`, `strict`, `call`, or `send` that may wait."""
        is_full = len(self.queue) >= self.limit
        if not is_full:
            self.queue.append((verb, value))
        elif self.overflow is Overflow.DROP_OLDEST:
            self.lose(*self.queue.pop(0))
            self.queue.append((verb, value))
        elif self.overflow is Overflow.BLOCK and verb in {"call", "send"}:
            self.line.append((verb, value))
        elif verb == "call" or (verb != "cast" and self.overflow is not Overflow.DROP_NEWEST):
            self.told[value] += 1
        else:
            self.lost += 1

    def lose(self, verb: str, value: int) -> None:
        """A call's sender is told; a cast is a dead letter."""
        if verb == "call":
            self.told[value] += 1
        else:
            self.lost += 1

    def drain(self) -> None:
        """Handle all that waits, those in line too."""
        self.handled += [value for _, value in (*self.queue, *self.line)]
        self.queue.clear()
        self.line.clear()

    def die(self) -> None:
        """Whoever waits is told; a sender in line is told and its cast is a dead letter."""
        for verb, value in self.queue:
            self.lose(verb, value)
        for verb, value in self.line:
            self.told[value] += 1
            self.lost += verb == "send"


async def deliver(ref: Ref[BoxApi], verb: str, value: int, told: Counter[int]) -> None:
    """Send one message, and note if its sender is told that it is not handled."""
    try:
        if verb == "call":
            assert await ref.call(Ask(value), timeout=None) == value
        elif verb == "send":
            await ref.send(Put(value))
        else:
            ref.cast(Put(value), strict=verb == "strict")
    except (MailboxFull, CalleeExit, NoProc):
        told[value] += verb != "cast"


verbs = st.sampled_from(["cast", "cast", "strict", "call", "send", "drain"])


@given(
    st.integers(1, 4),
    st.sampled_from(Overflow),
    st.lists(verbs, max_size=25),
    st.booleans(),
    loops,
)
def test_a150_a161_no_message_is_lost_without_a_trace(
    limit: int, overflow: Overflow, ops: list[str], dies: bool, loop: Loop
) -> None:
    model = Model(limit, overflow)
    handled: list[int] = []
    told: Counter[int] = Counter()
    mailbox = MailboxSpec(limit, overflow)
    spec = ChildSpec(
        "box", lambda: Box(handled), name="box", mailbox=mailbox, restart=Restart.TEMPORARY
    )

    async def scenario(runtime: Runtime) -> int:
        ref = runtime.whereis("box", BoxApi)
        await sysapi.suspend(ref)
        async with anyio.create_task_group() as tasks:
            for value, verb in enumerate(ops):
                if verb == "drain":
                    await sysapi.resume(ref)
                    await anyio.sleep(0.01)
                    await sysapi.suspend(ref)
                    model.drain()
                else:
                    tasks.start_soon(deliver, ref, verb, value, told)
                    model.send(verb, value)
                await anyio.sleep(0.01)
            if dies:
                ref.kill()
                model.die()
            else:
                await sysapi.resume(ref)
                model.drain()
        await anyio.sleep(0.01)
        return runtime.counters.dead_letters

    lost: Any = played(scenario, SupSpec(children=(spec,)), loop)
    assert (handled, lost, told) == (model.handled, model.lost, model.told)
    sent = sum(verb != "drain" for verb in ops)
    both = sum(verb == "send" for verb, _ in model.line) if dies else 0
    assert sent == len(handled) + lost + told.total() - both

"""Scenarios that campaigns name."""

import os
import signal
import sys
from collections.abc import Iterable
from typing import Any

import anyio
import msgspec

from keygrove_chaos.world import World
from tests.unit.chaos.programs import gossip

RAN: list[int] = []


async def sound(world: World) -> Iterable[str]:
    """Nothing is wrong with it."""
    known = await gossip(seconds=10)(world)
    world.count("known", known)
    return ()


async def rare_bug(world: World) -> Iterable[str]:
    """Finds something on one seed in five, and breaks on another."""
    await gossip(seconds=2)(world)
    if world.seed % 5 == 2:
        return ["I-01: a number was lost"]
    if world.seed % 5 == 4:
        raise RuntimeError("broke")
    return ()


async def by_hash(world: World) -> Iterable[str]:
    """Does what the order of a set of words says: another one with each hash seed."""
    await anyio.sleep(1)
    for number in range(1500):
        world.note("even", number)
    for word in frozenset(["one", "two", "three", "four", "five", "six"]):
        world.note(word)
    return ()


async def by_past(world: World) -> Iterable[str]:
    """Remembers in its process that it ran before."""
    world.note("ran", len(RAN))
    RAN.append(world.seed)
    return ()


async def tells(world: World) -> Iterable[str]:
    """Numbers are to be told to others: each knows more than it made itself."""
    known = await gossip(seconds=10)(world)
    return () if known > 150 else ["I-04: a number was not told"]


class Lasting(msgspec.Struct):
    """The plan of `planned`."""

    seconds: int


async def planned(world: World) -> Iterable[str]:
    """Lasts as long as its plan says: by its seed, unless another is given."""
    plan = world.planned(Lasting(world.seed))
    await anyio.sleep(plan.seconds)
    world.note("over")
    return ()


async def inert(world: World) -> Iterable[str]:
    """Has many faults, none of which does anything."""
    await anyio.sleep(1)
    world.count("fault:net.loss", 50)
    return ()


async def raises(_: World) -> Iterable[str]:
    """Has a bug itself."""
    found: dict[str, str] = {}
    return [found["x"]]


async def returns_nothing(_: World) -> None:
    """Forgets to say what it found."""


async def prints(world: World) -> Iterable[str]:
    """Talks while it runs."""
    sys.stdout.write(f"seed {world.seed}\n")
    return ()


async def exits(_: World) -> Iterable[str]:
    """Wants to end the process, and says that all is well."""
    sys.exit(0)


async def dies(world: World) -> Iterable[str]:
    """Takes its process with it, in two ways."""
    await anyio.sleep(1)
    if world.seed == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if world.seed == 5:
        os._exit(0)
    return ()


class MuteError(Exception):
    """An error without a text."""

    def __str__(self) -> str:
        raise KeyError("text")


async def mute(_: World) -> Iterable[str]:
    """Raises what cannot be printed."""
    raise MuteError


async def notes_objects(world: World) -> Iterable[str]:
    """Writes into the trace what has another address each time."""
    fact: Any = object()
    world.note("made", fact)
    return ()


async def counts_words(world: World) -> Iterable[str]:
    """Counts by what is no number."""
    many: Any = "many"
    world.count("things", many)
    return ()


async def odd_facts(world: World) -> Iterable[str]:
    """Notes what no encoding of traces has."""
    world.note("half a pair \ud800", 1 << 80, True)
    return ()


async def finds_numbers(_: World) -> Iterable[Any]:
    """Says what it found in no words."""
    return [1]


async def interrupted(_: World) -> Iterable[str]:
    """Somebody presses Ctrl-C meanwhile."""
    raise KeyboardInterrupt

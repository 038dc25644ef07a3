"""Two ends of one conversation, what they say, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from time import process_time
from typing import Protocol

import msgspec

from keygrove_protocols.openpgp.keys import Digest


class Cost(msgspec.Struct, frozen=True):
    """Of one conversation.

    Args:
        octets: in both directions, without the handshake.
        trips: there and back; a last word that nobody waits for is none.
        cpu_ms: of both ends.
    """

    octets: int
    trips: int
    cpu_ms: float


class End(Protocol):
    """Answers until there is nothing to say."""

    def answer(self, octets: bytes) -> bytes:
        """What it says to that; to nothing, what it begins with."""
        ...

    @property
    def learned(self) -> AbstractSet[Digest]:
        """What it lacks."""
        ...


class Sides(msgspec.Struct, frozen=True):
    """What each of the two alone has."""

    one: tuple[Digest, ...]
    other: tuple[Digest, ...]


def cost(make: Callable[[], tuple[End, End]], sides: Sides) -> Cost:
    """Of the conversation of two, who must learn all that they lack."""
    octets = words = 0
    begun = process_time()
    one, other = make()
    speaking, listening, said = one, other, one.answer(b"")
    while said:
        octets, words = octets + len(said), words + 1
        speaking, listening, said = listening, speaking, listening.answer(said)
    took = process_time() - begun
    assert one.learned == set(sides.other)
    assert other.learned == set(sides.one)
    return Cost(octets, words // 2, took * 1e3)

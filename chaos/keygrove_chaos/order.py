"""Which of several ready tasks runs first: a strategy, chosen and fed by the seed.

Source: Burckhardt et al., "A randomized scheduler with probabilistic guarantees of finding bugs"
(PCT, 2010). A uniform shuffle finds more of the bugs that take two events in the wrong order,
PCT more of those that take three; starving one task, and strict order, find what both avoid.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from random import Random
from typing import Any, Final, Protocol

PCT_CHANGES: Final = 2
"""Changes of priority in a run: bugs of a depth one greater are found."""
PCT_STEPS: Final = 20_000
"""Steps among which the changes are drawn."""


class Order(Protocol):
    """Puts ready tasks into the order in which they run. They come sorted by age."""

    name: str

    def arrange(self, ready: MutableSequence[Any], ages: list[int]) -> None:
        """Order `ready` in place; `ages` are its tasks' numbers, in the same order."""
        ...


class Shuffled:
    """Any order is as likely as any other."""

    name = "shuffled"

    def __init__(self, random: Random) -> None:
        self._shuffle = random.shuffle

    def arrange(self, ready: MutableSequence[Any], ages: list[int]) -> None:
        """See `Order`."""
        self._shuffle(ready)


class Fifo:
    """The oldest first."""

    name = "fifo"

    def __init__(self, random: Random) -> None:
        """It has no use for chance."""

    def arrange(self, ready: MutableSequence[Any], ages: list[int]) -> None:
        """See `Order`."""


class Priorities:
    """PCT: each task has a random priority, and a few moments change who is last."""

    name = "pct"

    def __init__(self, random: Random) -> None:
        self._random = random
        self._priorities: dict[int, float] = {}
        self._changes = sorted(random.randrange(PCT_STEPS) for _ in range(PCT_CHANGES))
        self._steps = 0

    def arrange(self, ready: MutableSequence[Any], ages: list[int]) -> None:
        """See `Order`."""
        self._steps += 1
        if self._changes and self._steps >= self._changes[0]:
            self._changes.pop(0)
            first = max(ages, key=self._priority)
            self._priorities[first] = -self._random.random()
        pairs = list(zip(ages, ready, strict=True))
        pairs.sort(key=lambda pair: -self._priority(pair[0]))
        ready[:] = [one for _, one in pairs]

    def _priority(self, age: int) -> float:
        if age not in self._priorities:
            self._priorities[age] = self._random.random()
        return self._priorities[age]


class Starving:
    """One task in seven always comes last; which, the seed says."""

    name = "starving"

    def __init__(self, random: Random) -> None:
        self._shuffle = random.shuffle
        self._victims = random.randrange(7)

    def arrange(self, ready: MutableSequence[Any], ages: list[int]) -> None:
        """See `Order`."""
        pairs = list(zip(ages, ready, strict=True))
        self._shuffle(pairs)
        pairs.sort(key=lambda pair: pair[0] % 7 == self._victims)
        ready[:] = [one for _, one in pairs]


def order_for(random: Random) -> Order:
    """A strategy as the portfolio has it: 60 % shuffled, 20 % PCT, 10 % starving, 10 % strict."""
    draw = random.random()
    if draw < 0.6:
        return Shuffled(random)
    if draw < 0.8:
        return Priorities(random)
    return Starving(random) if draw < 0.9 else Fifo(random)

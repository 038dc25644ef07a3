"""What the oracle of supervision trees is made of: what tests say of one, and its own clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TypeAlias

Entry: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True)
class Delay:
    first: int = 0
    base: int = 1
    factor: int = 2
    cap: int = 3
    reset_after: float = 4.52


@dataclass(frozen=True)
class Rule:
    """What a test says of one child; `sub` makes it a supervisor."""

    id: str
    kind: str = "permanent"
    sub: Plan | None = None
    is_significant: bool = False
    shutdown: int | str = 1
    delay: Delay | None = None
    budget: tuple[int, float] | None = None
    gives_up: bool = False
    has_task: bool = False

    @property
    def ends_as(self) -> str:
        return "killed" if self.shutdown == "brutal_kill" else "shutdown"


@dataclass(frozen=True)
class Plan:
    """What a test says of one supervisor. Of a dynamic one, `rules` is the template."""

    strategy: str
    rules: tuple[Rule, ...]
    intensity: int = 1
    period: float = 4.52
    auto: str = "never"
    max_children: int | None = None


class Until:
    """Something to wait for; whoever waits goes on when it fires."""

    def __init__(self) -> None:
        self.is_fired = False
        self.waiters: list[Callable[[], None]] = []

    def fire(self) -> None:
        if not self.is_fired:
            self.is_fired = True
            for waiter in self.waiters:
                waiter()


class World:
    """The clock, and what tests make go wrong: by key, for the inits and ends to come."""

    def __init__(self) -> None:
        self.now = 0.0
        self.queue: list[tuple[float, int, Callable[[], None]]] = []
        self.order = count()
        self.inits: dict[str, list[str]] = {}
        self.ends: dict[str, str] = {}
        self.traces: dict[str, list[tuple[float, Entry | frozenset[Entry]]]] = {}

    def at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self.queue, (when, next(self.order), act))

    def run_until(self, when: float) -> None:
        while self.queue and self.queue[0][0] <= when:
            self.now, _, act = heapq.heappop(self.queue)
            act()
        self.now = when

    def sleep(self, seconds: float) -> Until:
        until = Until()
        self.at(self.now + seconds, until.fire)
        return until

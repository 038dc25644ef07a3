"""A supervisor and its children, as the supervision model thinks of them: what is to happen.

Nothing is judged here; see `supervision`.
"""

from __future__ import annotations

import enum

import msgspec

from keygrove_actors.specs import Backoff, ChildSpec, Jitter, Restart, Strategy, SupSpec


class Life(enum.Enum):
    """Where a child is in its life."""

    DUE = "due"
    """Down, and to be started by what is going on."""
    UP = "up"
    FALLEN = "fallen"
    """It ended by itself, or did not start: its supervisor has to decide."""
    OVER = "over"
    """It ended for good, or was stopped."""
    FAILED = "failed"
    """It spent its budget."""


class Child(msgspec.Struct):
    """A child. Times are in seconds."""

    id: str
    spec: ChildSpec
    life: Life = Life.DUE
    lives: int = 0
    down_s: float = 0.0
    """When it fell, or was to start."""
    up_s: float | None = None
    """When it came up, until a restart because of it."""
    tries: int = 0
    """Restarts since it was last up for long: those that its backoff counted for sure."""
    delay_s: float = 0.0
    """The least time that its backoff lets pass before the restart it waits for."""
    stamps: list[float] = msgspec.field(default_factory=list[float])
    """Its restarts, if it has a budget of its own."""


class Family:
    """One life of a supervisor."""

    def __init__(self, spec: SupSpec, now: float) -> None:
        self.spec = spec
        self.children = {one.id: Child(one.id, one, down_s=now) for one in spec.children}
        self.to_stop: list[str] = []
        """Who is up and is to stop now, in this order."""
        self.may_stop: list[str] = []
        """Who may be stopped, in this order, because one of their group waits for its backoff."""
        self.to_start = list(self.children)
        self.stalled: list[str] = []
        """What was to start behind one that did not."""
        self.is_ready = not self.children
        self.broken_s: float | None = None
        """When it gave up."""
        self.is_leaving = False
        self.leaves_for: Child | None = None
        """The significant child because of which it leaves, as soon as it knows."""
        self._stamps: list[float] = []

    @property
    def is_dynamic(self) -> bool:
        """Whether children come as they are asked for."""
        return self.spec.strategy is Strategy.DYNAMIC

    def spawn(self, child_id: str, now: float) -> Child:
        """One more dynamic child."""
        assert self.spec.template is not None, f"{child_id} is not in the tree as specified"
        child = self.children[child_id] = Child(child_id, self.spec.template, down_s=now)
        return child

    def group(self, child: Child) -> list[Child]:
        """Who is restarted with a child, in start order."""
        group = list(self.children.values())
        match self.spec.strategy:
            case Strategy.ONE_FOR_ONE | Strategy.DYNAMIC:
                return [child]
            case Strategy.ONE_FOR_ALL:
                pass
            case Strategy.REST_FOR_ONE:
                group = group[group.index(child) :]
        return [one for one in group if one is child or one.life is not Life.FAILED]

    def later_that_is_up(self, child: Child) -> Child | None:
        """One that has to be down before this one is stopped."""
        later = list(self.children.values())
        later = [one for one in later[later.index(child) + 1 :] if one.life is Life.UP]
        stopping = frozenset(self.to_stop or self.may_stop)
        if stopping:
            later = [one for one in later if one.id in stopping]
        return later[-1] if later else None

    # ---- what happens

    def start(self, child: Child, incarnation: int, now: float) -> None:
        """It came up."""
        child.life, child.lives, child.up_s = Life.UP, incarnation, now
        if child.id in self.to_start:
            self.to_start.remove(child.id)
        self.is_ready = self.is_ready or not self.to_start

    def end(self, child: Child, now: float) -> None:
        """It went down, for good or to be started again as planned."""
        child.life = Life.DUE if child.id in self.to_start else Life.OVER
        child.down_s, child.delay_s = now, 0.0
        if child.id in self.to_stop:
            self.to_stop.remove(child.id)

    def fall(self, child: Child, now: float) -> None:
        """It has to be restarted, perhaps not at once."""
        child.life, child.down_s = Life.FALLEN, now
        backoff = child.spec.backoff
        if backoff is not None and child.up_s is not None:
            child.tries = 0 if now - child.up_s >= backoff.reset_after else child.tries
        if child.id in self.may_stop:
            return  # it waits as one of a group
        if backoff is not None:
            child.delay_s = _least_delay(backoff, child.tries)
        self._let_stop()

    def _let_stop(self) -> None:
        """While one of a group waits for its backoff, the others are down: they need each other.

        Who else fell joins the one that waits, and the first of them leads.
        """
        if self.spec.strategy in {Strategy.ONE_FOR_ONE, Strategy.DYNAMIC}:
            return
        fallen = [one for one in self.children.values() if one.life is Life.FALLEN]
        if any(one.spec.backoff is not None for one in fallen):
            group = self.group(fallen[0])
            self.may_stop = [one.id for one in reversed(group) if one.life is not Life.FALLEN]

    def fail(self, child: Child, now: float) -> None:
        """It did not start."""
        if not self.is_ready:
            child.life, self.is_leaving = Life.OVER, True
            self.to_start.clear()
            return
        self.to_start = [one for one in self.to_start if one != child.id]
        self.stalled, self.to_start = self.to_start, []
        self.fall(child, now)

    def forgive(self, child: Child, now: float) -> None:
        """Begin its backoff anew, if it was up for long when its supervisor came to know.

        That may be later than its fall, while others are waited for.
        """
        backoff = child.spec.backoff
        if backoff is None or child.up_s is None or now - child.up_s < backoff.reset_after:
            return
        child.tries = 0
        if child.delay_s:
            child.delay_s = _least_delay(backoff, 0)

    def limit_of(self, child: Child) -> tuple[int, float]:
        """How many restarts within how many seconds are counted for a child."""
        budget = child.spec.budget
        if budget is None:
            return self.spec.intensity, self.spec.period
        return budget.restarts, budget.period

    def spend(self, child: Child, now: float, slack_s: float) -> tuple[int, int]:
        """Count a restart: how many there are in the period, at least and at most.

        One exactly as old as the period counts; whether it is exactly so depends on rounding.
        """
        _, period = self.limit_of(child)
        stamps = self._stamps if child.spec.budget is None else child.stamps
        stamps[:] = [stamp for stamp in stamps if stamp >= now - period - slack_s]
        stamps.append(now)
        return sum(stamp >= now - period + slack_s for stamp in stamps), len(stamps)

    def plan(self, child: Child, group: list[Child], now: float) -> None:
        """Stop the group in reverse order, then start it in order (A-024, A-025)."""
        self.forgive(child, now)
        child.tries, child.up_s = child.tries + 1, None
        self.stalled = []
        if self.leaves_for in group:
            # a restart that covers its end makes it no end by itself
            self.is_leaving, self.leaves_for = False, None
        others = [one for one in reversed(group) if one is not child and one.life is Life.UP]
        self.to_stop = [one.id for one in others]
        self.to_start = [one.id for one in group if one.spec.restart is not Restart.TEMPORARY]
        for one in group:
            if one.life is not Life.UP and one.spec.restart is not Restart.TEMPORARY:
                one.life, one.down_s, one.delay_s = Life.DUE, now, 0.0
        if all(one.life is not Life.FALLEN for one in self.children.values()):
            self.may_stop = []

    def break_off(self, now: float) -> None:
        """Give up: stop all, and end."""
        self.is_leaving, self.broken_s = True, now
        for plan in (self.to_stop, self.may_stop, self.to_start):
            plan.clear()


_POWERS_MAX = 1000
"""Tries that make a backoff longer; after so many, no factor that matters is below its cap."""


def _least_delay(backoff: Backoff, tries: int) -> float:
    """The least that a wait may last after so many tries, or more (A-050)."""
    delay = backoff.base if tries else min(backoff.first, backoff.base)
    for _ in range(min(tries - 1, _POWERS_MAX)):
        delay = min(delay * backoff.factor, backoff.cap)
    delay = min(delay, backoff.cap)
    match backoff.jitter:
        case Jitter.NONE:
            return delay
        case Jitter.FULL:
            return 0.0
        case Jitter.EQUAL:
            return delay / 2

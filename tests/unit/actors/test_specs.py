"""A spec that contradicts itself is refused when it is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from keygrove_actors import (
    Actor,
    AutoShutdown,
    Backoff,
    BadSpec,
    Budget,
    ChildSpec,
    MailboxSpec,
    OnBudget,
    Overflow,
    Restart,
    SpecWarning,
    Strategy,
    SupSpec,
    partitioned,
)


class Idle(Actor[object]):
    pass


def child(**options: Any) -> ChildSpec:
    return ChildSpec("a", Idle, **options)


def dynamic(template: ChildSpec, **options: Any) -> SupSpec:
    return SupSpec(strategy=Strategy.DYNAMIC, template=template, **options)


SUBTREE = SupSpec(children=())
TRANSIENT = Restart.TRANSIENT

BAD: list[tuple[str, Callable[[], object]]] = [
    ("unknown strategy", lambda: SupSpec(children=(), strategy="one_for_two")),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    ("intensity -1", lambda: SupSpec(children=(), intensity=-1)),
    ("period 0", lambda: SupSpec(children=(), period=0)),
    ("occur more than once", lambda: SupSpec(children=(child(), child()))),
    ("shutdown -1", lambda: child(shutdown=-1.0)),
    ("shutdown 'never'", lambda: child(shutdown="never")),
    ("init_timeout 0", lambda: child(init_timeout=0)),
    ("orphan", lambda: ChildSpec("a", SUBTREE, shutdown=5.0)),
    ("orphan", lambda: ChildSpec("a", SUBTREE, shutdown="brutal_kill")),
    ("never ends by itself", lambda: child(significant=True)),
    ("set auto_shutdown", lambda: SupSpec(children=(child(significant=True, restart=TRANSIENT),))),
    ("starts empty", lambda: SupSpec(strategy=Strategy.DYNAMIC)),
    ("starts empty", lambda: dynamic(child(), children=(child(),))),
    ("only one child could have", lambda: dynamic(child(name="a"))),
    ("max_children -1", lambda: dynamic(child(), max_children=-1)),
    ("mean nothing to one_for_one", lambda: SupSpec(max_children=1)),
    ("mean nothing to one_for_one", lambda: SupSpec(template=child())),
    ("set auto_shutdown", lambda: dynamic(child(significant=True, restart=TRANSIENT))),
    ("cannot stand in a path", lambda: ChildSpec("a/b", Idle)),
    ("cannot stand in a path", lambda: ChildSpec("", Idle)),
    ("never restarted", lambda: child(restart=Restart.TEMPORARY, budget=Budget(1, 1.0))),
    ("never restarted", lambda: child(restart=Restart.TEMPORARY, backoff=Backoff(base=1.0))),
    ("on_budget without", lambda: child(on_budget=OnBudget.GIVE_UP)),
    ("budget of -1", lambda: Budget(-1, 1.0)),
    ("budget period 0", lambda: Budget(1, 0.0)),
    ("backoff base 0", lambda: Backoff(base=0.0)),
    ("backoff first -1", lambda: Backoff(base=1.0, first=-1.0)),
    ("backoff factor 0.5", lambda: Backoff(base=1.0, factor=0.5)),
    ("0 partitions", lambda: partitioned(0, child())),
    ("mailbox limit 0", lambda: MailboxSpec(limit=0)),
]


async def make_later() -> Idle:
    return Idle()


WRONG: Any = "5"  # of no use anywhere; untyped programs give such things
UNTYPED: list[tuple[str, Callable[[], object]]] = [
    ("no class derived from Actor", lambda: ChildSpec("a", int)),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    ("no class derived from Actor", lambda: ChildSpec("a", Actor)),
    ("given Idle to start: give a class", lambda: ChildSpec("a", Idle())),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    ("given a coroutine function to start", lambda: ChildSpec("a", make_later)),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    ("a child has id 5: give text", lambda: ChildSpec(5, Idle)),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    ("a has name 5: give text or None", lambda: child(name=5)),
    ("a has init_timeout '5': give a number or None", lambda: child(init_timeout="5")),
    ("a has mailbox 100: give a MailboxSpec", lambda: child(mailbox=100)),
    ("a has backoff 1.0: give a Backoff or None", lambda: child(backoff=1.0)),
    ("limit '5': give a number or None", lambda: MailboxSpec(WRONG)),
    ("restarts '5': give a number", lambda: Budget(WRONG, 1.0)),
    ("a backoff has base '5': give a number", lambda: Backoff(base=WRONG)),
    ("a supervisor has intensity '5': give a number", lambda: SupSpec(intensity=WRONG)),
    ("a supervisor has period '5': give a number", lambda: SupSpec(period=WRONG)),
    ("write ChildSpec", lambda: SupSpec(children=(Idle,))),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
]


@pytest.mark.parametrize(("message", "make"), BAD + UNTYPED, ids=[m for m, _ in BAD + UNTYPED])
def test_a006_a007_a010_bad_specs(message: str, make: Callable[[], object]) -> None:
    with pytest.raises(BadSpec, match=message):
        make()


def test_a008_a160_defaults() -> None:
    assert (SUBTREE.strategy, SUBTREE.intensity, SUBTREE.period) == (Strategy.ONE_FOR_ONE, 1, 5.0)
    assert child().restart is Restart.PERMANENT
    assert child().shutdown_limit == 5.0
    assert ChildSpec("a", SUBTREE).shutdown_limit == "infinity"
    assert SUBTREE.auto_shutdown is AutoShutdown.NEVER
    assert not child().significant
    assert child().mailbox == MailboxSpec(10_000, Overflow.REJECT)


def test_a047_a_transient_supervisor_is_warned_of() -> None:
    with pytest.warns(SpecWarning, match="stays down when it gives up"):
        ChildSpec("a", SUBTREE, restart=Restart.TRANSIENT)


@pytest.mark.filterwarnings("error")
def test_a048_a_transient_supervisor_that_ends_with_its_children_is_not() -> None:
    significant = child(significant=True, restart=Restart.TRANSIENT)
    sub = SupSpec(children=(significant,), auto_shutdown=AutoShutdown.ALL_SIGNIFICANT)
    ChildSpec("sub", sub, restart=Restart.TRANSIENT)


def test_a055_an_intensity_that_backoff_never_reaches_is_warned_of() -> None:
    slow = child(backoff=Backoff(base=1.0, cap=3.0))
    SupSpec(children=(slow,))
    with pytest.warns(SpecWarning, match="never reaches 2 restarts in 5 s"):
        SupSpec(children=(slow,), intensity=2)
    with pytest.warns(SpecWarning, match="give it a budget"):
        dynamic(slow, intensity=2)
    SupSpec(children=(child(backoff=slow.backoff, budget=Budget(1, 1.0)),), intensity=2)

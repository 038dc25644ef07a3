"""A spec that contradicts itself is refused when it is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from keygrove_actors import (
    Actor,
    BadSpec,
    ChildSpec,
    MailboxSpec,
    Overflow,
    Restart,
    SpecWarning,
    Strategy,
    SupSpec,
)


class Idle(Actor[object]):
    pass


def child(**options: Any) -> ChildSpec:
    return ChildSpec("a", Idle, **options)


SUBTREE = SupSpec(children=())

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
    ("mailbox limit 0", lambda: MailboxSpec(limit=0)),
]


@pytest.mark.parametrize(("message", "make"), BAD, ids=[m for m, _ in BAD])
def test_a006_a007_a010_bad_specs(message: str, make: Callable[[], object]) -> None:
    with pytest.raises(BadSpec, match=message):
        make()


def test_a008_a160_defaults() -> None:
    assert (SUBTREE.strategy, SUBTREE.intensity, SUBTREE.period) == (Strategy.ONE_FOR_ONE, 1, 5.0)
    assert child().restart is Restart.PERMANENT
    assert child().shutdown_limit == 5.0
    assert ChildSpec("a", SUBTREE).shutdown_limit == "infinity"
    assert child().mailbox == MailboxSpec(10_000, Overflow.REJECT)


def test_a047_a_transient_supervisor_is_warned_of() -> None:
    with pytest.warns(SpecWarning, match="stays down when it gives up"):
        ChildSpec("a", SUBTREE, restart=Restart.TRANSIENT)

"""I-05: what is shown to partners of recon, held against what is held."""

import pytest

from keygrove_chaos.observation import TreeLook, Violation
from keygrove_chaos.partner import TreeIsTheStore

A, B = "a" * 32, "b" * 32


@pytest.mark.parametrize(
    ("shown", "held", "says"),
    [
        ({A, B}, {A, B}, None),
        (set[str](), set[str](), None),
        ({A, B}, {A}, "shows bbbbbbbb… to partners, which it does not hold, and not nothing"),
        ({A}, {A, B}, "shows nothing to partners, which it does not hold, and not bbbbbbbb…"),
    ],
)
def test_what_is_shown_is_what_is_held(shown: set[str], held: set[str], says: str | None) -> None:
    found = TreeIsTheStore().on_event(TreeLook(1, "n1", frozenset(shown), frozenset(held)))
    if says is None:
        assert found is None
    else:
        assert isinstance(found, Violation)
        assert says in found.says
        assert (found.invariant, found.node) == ("I-05", "n1")

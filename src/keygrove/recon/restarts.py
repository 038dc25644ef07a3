"""How what deals with one of several others, partners or targets, is restarted."""

from typing import Final

import msgspec

from keygrove_actors import Backoff, Budget, ChildSpec, Jitter, OnBudget

BACKOFF: Final = Backoff(base=1.0, cap=60.0, jitter=Jitter.EQUAL, reset_after=120.0)
"""A bug of ours that one of them meets harms no other, and is met again when it comes again."""
BUDGET: Final = Budget(100, 60.0)
"""More than the backoff lets happen: it is tried for as long as that lasts."""


def tenacious(child: ChildSpec) -> ChildSpec:
    """The child, restarted so."""
    return msgspec.structs.replace(
        child, backoff=BACKOFF, budget=BUDGET, on_budget=OnBudget.GIVE_UP
    )

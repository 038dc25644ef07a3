"""What a campaign reached: which points of the product fired, which faults had an effect.

A campaign that finds nothing shows little if its faults never took effect, or if the product
never came into the states in which they hurt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from keygrove.points import BUGGIFIED, CRASHES, RECON_CRASHES, RECON_SOMETIMES, SOMETIMES

ENOUGH_SEEDS: Final = 200
"""In so many seeds every state of `points` is to be reached that such nodes can reach;"""
ENOUGH_FAULTS: Final = 20
"""and of so many faults of a kind one is to have an effect."""


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """What was not reached. Names are sorted."""

    silent: tuple[str, ...]
    """Points that never fired: for information."""
    unmet: tuple[str, ...]
    """States that should have been reached."""
    inert: tuple[str, ...]
    """Kinds of faults that never did anything."""

    @property
    def is_enough(self) -> bool:
        """Whether the campaign shows what it seems to."""
        return not self.unmet and not self.inert


def reach(counts: Mapping[str, int], seeds: int) -> Reach:
    """What the counts of a campaign of so many seeds say. Points are judged if the product ran.

    Of nodes with partners those of recon are, of others all others.
    """
    has_points = any(name.startswith("visit:") for name in counts)
    has_partners = bool(counts.get("sometimes:recon.learned"))
    crashes, states = (RECON_CRASHES, RECON_SOMETIMES) if has_partners else (CRASHES, SOMETIMES)
    points = [f"buggify:{name}" for name in BUGGIFIED] + [f"crash:{name}" for name in crashes]
    silent = [name for name in points if has_points and not counts.get(name)]
    is_long = has_points and seeds >= ENOUGH_SEEDS
    unmet = [name for name in states if is_long and not counts.get(f"sometimes:{name}")]
    inert = [
        kind
        for name, count in counts.items()
        if name.startswith("fault:") and count >= ENOUGH_FAULTS
        if not counts.get(f"effect:{(kind := name.removeprefix('fault:'))}")
    ]
    return Reach(silent=_sorted(silent), unmet=_sorted(unmet), inert=_sorted(inert))


def _sorted(names: list[str]) -> tuple[str, ...]:
    return tuple(sorted(names))

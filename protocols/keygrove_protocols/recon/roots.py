"""Roots of polynomials over the field, by nothing but integers.

Source: Cantor and Zassenhaus, "A New Algorithm for Factoring Polynomials Over Finite Fields"
(1981), for factors that are known to be linear; Rabin, "Probabilistic Algorithms in Finite Fields"
(1980).
"""

from typing import Final

from keygrove_protocols.recon.field import P
from keygrove_protocols.recon.poly import ONE, Poly, divided, gcd, minus, power

SHIFTS_MAX: Final = 64
"""How many ways to take a polynomial apart are tried. Each fails for two given roots with
probability 1/2; they are not drawn, so that whoever searches 2^64 pairs finds two that none tells
apart. Those count as not to be solved."""

_X: Final[Poly] = (0, 1)


def roots(poly: Poly) -> list[int] | None:
    """All roots of a monic polynomial, in ascending order.

    None unless it is the product of as many distinct linear factors as its degree says.
    """
    if len(poly) > 2 and power(_X, P, poly) != _X:
        return None
    found = _split(poly)
    return None if found is None else sorted(found)


def _split(poly: Poly) -> list[int] | None:
    """Roots of a polynomial that is known to have as many as its degree says."""
    if len(poly) == 1:
        return []
    if len(poly) == 2:
        return [-poly[0] % P]
    for shift in range(SHIFTS_MAX):
        # Of each root r, r + shift is a square or none, and the power 1 or not.
        halved = power((shift, 1), P // 2, poly)
        part = gcd(poly, minus(halved, ONE))
        if 1 < len(part) < len(poly):
            parts = _split(part), _split(divided(poly, part)[0])
            return None if None in parts else [root for one in parts if one for root in one]
    return None

"""Polynomials over the field, and the ratio of two that has given values.

A polynomial is its coefficients, that of the lowest degree first; the last one is not 0. The
polynomial 0 has none. A monic one has 1 as its last.

Source: sks-keyserver, poly.ml, linearAlg.ml and decode.ml (`interpolate`).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from keygrove_protocols.recon.field import MBAR, POINTS, P

Poly = tuple[int, ...]

ONE: Final[Poly] = (1,)


class Ratio(NamedTuple):
    """Two monic polynomials without a common divisor."""

    numerator: Poly
    denominator: Poly


def evaluate(poly: Poly, at: int) -> int:
    """Its value at a number."""
    value = 0
    for coefficient in reversed(poly):
        value = (value * at + coefficient) % P
    return value


def monic(poly: Poly) -> Poly:
    """Divided by its last coefficient."""
    inverse = pow(poly[-1], -1, P)
    return tuple([coefficient * inverse % P for coefficient in poly])


def divided(poly: Poly, by: Poly) -> tuple[Poly, Poly]:
    """Quotient and remainder by a monic polynomial."""
    rest, degree = list(poly), len(by) - 1
    quotient = [0] * max(len(poly) - degree, 0)
    for at in reversed(range(len(quotient))):
        factor = quotient[at] = rest[at + degree] % P
        for number, coefficient in enumerate(by, at):
            rest[number] -= factor * coefficient
    return tuple(quotient), _trimmed(rest[:degree])


def times(one: Poly, other: Poly, modulo: Poly) -> Poly:
    """The remainder of a product by a monic polynomial."""
    product = [0] * max(len(one) + len(other) - 1, 0)
    for at, a in enumerate(one):
        for number, b in enumerate(other, at):
            product[number] += a * b
    return divided(tuple(product), modulo)[1]


def power(base: Poly, exponent: int, modulo: Poly) -> Poly:
    """The remainder of a power, with a positive exponent, by a monic polynomial."""
    result = base
    for bit in f"{exponent:b}"[1:]:
        result = times(result, result, modulo)
        if bit == "1":
            result = times(result, base, modulo)
    return result


def minus(one: Poly, other: Poly) -> Poly:
    """The difference."""
    width = max(len(one), len(other))
    padded = (list(poly) + [0] * (width - len(poly)) for poly in (one, other))
    return _trimmed([a - b for a, b in zip(*padded, strict=True)])


def gcd(one: Poly, other: Poly) -> Poly:
    """The greatest common divisor, monic; at most one of the two may be 0."""
    while other:
        divisor = monic(other)
        one, other = divisor, divided(one, divisor)[1]
    return monic(one)


def _trimmed(coefficients: Sequence[int]) -> Poly:
    reduced = [coefficient % P for coefficient in coefficients]
    while reduced and not reduced[-1]:
        reduced.pop()
    return tuple(reduced)


def interpolate(values: Sequence[int], difference: int) -> Ratio | None:
    """The ratio of the lowest degrees whose degrees differ so, and that has these values.

    Only the first `MBAR` values are used, and one less where the parity has it so: the caller
    holds the ratio against the others. None if the degrees differ by more than can be told.

    Source: Minsky, Trachtenberg, Zippel, section 3.2; SKS's order of the unknowns, and its 0 for
    those that the values leave open.
    """
    if abs(difference) > MBAR:
        return None
    count = MBAR - (MBAR + difference) % 2
    above, below = (count + difference) // 2, (count - difference) // 2
    rows = [_row(POINTS[at], values[at], above, below) for at in range(count)]
    unknowns = _solved(rows)
    numerator, denominator = (*unknowns[:above], 1), (*unknowns[above:], 1)
    common = gcd(numerator, denominator)
    return Ratio(divided(numerator, common)[0], divided(denominator, common)[0])


def _row(point: int, value: int, above: int, below: int) -> list[int]:
    """One equation: numerator minus value times denominator is 0, the known part on the right."""
    left = [pow(point, exponent, P) for exponent in range(above)]
    left += [-value * pow(point, exponent, P) % P for exponent in range(below)]
    return [*left, (value * pow(point, below, P) - pow(point, above, P)) % P]


def _solved(rows: list[list[int]]) -> list[int]:
    """A solution of linear equations, by elimination; 0 for an unknown that they leave open.

    There are such whenever fewer elements differ than could be told: polynomials of a higher
    degree with a common factor do as well.
    """
    unknowns = len(rows)
    pivots: list[int] = []
    for column in range(unknowns):
        at = len(pivots)
        found = next((row for row in range(at, unknowns) if rows[row][column]), None)
        if found is None:
            continue
        rows[at], rows[found] = rows[found], rows[at]
        inverse = pow(rows[at][column], -1, P)
        pivot = rows[at] = [number * inverse % P for number in rows[at]]
        for row in range(unknowns):
            if row != at and (factor := rows[row][column]):
                rows[row] = [(a - factor * b) % P for a, b in zip(rows[row], pivot, strict=True)]
        pivots.append(column)
    solution = [0] * unknowns
    for at, column in enumerate(pivots):
        solution[column] = rows[at][-1]
    return solution

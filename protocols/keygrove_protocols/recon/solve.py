"""Which digests two nodes differ in, told from a few values of each.

Where the sets of two nodes are mostly the same, the ratio of their characteristic polynomials is
that of two small ones, whose roots are the digests that only one of them has.

Source: Minsky, Trachtenberg, Zippel, "Set Reconciliation with Nearly Optimal Communication
Complexity"; sks-keyserver, decode.ml and reconCS.ml (`solve`). SKS does not look whether digests
that it finds are below the node, and are or are not in its own set; no true ones fail that, and
those of made-up values do.
"""

from collections.abc import Sequence

import msgspec

from keygrove_protocols.errors import BadElementError
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.field import POINTS, P, digest
from keygrove_protocols.recon.poly import Poly, Ratio, evaluate, interpolate
from keygrove_protocols.recon.samples import over
from keygrove_protocols.recon.view import Node, View

try:
    from keygrove_protocols.recon.roots_flint import roots
except ImportError:  # it is an extra; both say the same
    from keygrove_protocols.recon.roots import roots


class Difference(msgspec.Struct, frozen=True):
    """What each of two sets has and the other does not.

    `remote_only` is a claim: who knows our set can choose values that lead to any digests.
    """

    remote_only: frozenset[Digest]
    local_only: frozenset[Digest]


def solve(view: View, local: Node, size: int, samples: Sequence[int]) -> Difference | None:
    """How a partner's node of that size and values differs from ours of the same name.

    None if that cannot be told: more than `MBAR` differ (`MBAR` - 1 where their number is even), or
    the values are those of no set. Takes some milliseconds.
    """
    if len(samples) != len(POINTS) or not all(0 < value < P for value in samples):
        return None
    values = over(tuple(samples), local.samples)
    ratio = interpolate(values, size - local.size)
    if ratio is None or not _has(ratio, values):
        return None
    remote_only = _digests(ratio.numerator, local)
    if remote_only is None or remote_only - view.lacks(remote_only):
        return None
    local_only = _digests(ratio.denominator, local)
    if local_only is None or view.lacks(local_only):
        return None
    return Difference(remote_only, local_only)


def _has(ratio: Ratio, values: Sequence[int]) -> bool:
    """Whether it has all values, those too that it was not made from.

    Where the denominator is 0 the numerator is not, as they have no common divisor.
    """
    return all(
        evaluate(ratio.numerator, point) == value * evaluate(ratio.denominator, point) % P
        for point, value in zip(POINTS, values, strict=True)
    )


def _digests(poly: Poly, node: Node) -> frozenset[Digest] | None:
    """The digests whose characteristic polynomial it is, if all of them can be below the node."""
    found = roots(poly)
    if found is None:
        return None
    try:
        digests = frozenset(digest(root) for root in found)
    except BadElementError:
        return None
    return digests if all(node.prefix.covers(one) for one in digests) else None

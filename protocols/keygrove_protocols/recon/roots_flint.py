"""Roots of polynomials over the field, by FLINT."""

from flint import fmpz_mod_ctx, fmpz_mod_poly_ctx

from keygrove_protocols.recon.field import P
from keygrove_protocols.recon.poly import Poly

_POLYNOMIALS = fmpz_mod_poly_ctx(fmpz_mod_ctx(P))


def roots(poly: Poly) -> list[int] | None:
    """What `roots.roots` says, in a tenth of the time."""
    found = _POLYNOMIALS(list(poly)).roots()
    if len(found) != len(poly) - 1:  # each root is there once, with its multiplicity
        return None
    return sorted(int(root) for root, _ in found)

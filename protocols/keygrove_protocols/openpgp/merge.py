"""The union of two states of one certificate."""

from keygrove_protocols.errors import PrimaryMismatchError
from keygrove_protocols.openpgp.certificate import Certificate, canonical


def merge(a: Certificate, b: Certificate) -> Certificate:
    """All components and signatures of both, in canonical form.

    A certificate is a set of facts, so this is commutative, associative and, on canonical
    certificates, idempotent: copies meet by any route in any order and end up equal.

    Raises:
        PrimaryMismatchError: the primary keys differ in an octet. The same fingerprint is
            not enough: those of version 3 are easily forged, and SHA-1 is ageing.
    """
    if a.primary != b.primary:
        raise PrimaryMismatchError("the primary keys differ: merge states of one certificate")
    return canonical(Certificate(a.primary, a.direct + b.direct, a.components + b.components))

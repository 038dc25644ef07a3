"""Many digests, some at once, so that others have their turn in between."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from keygrove_protocols.openpgp.keys import Digest


def slices(digests: Iterable[Digest], size: int) -> Iterator[list[Digest]]:
    """All of them in ascending order: in a tree neighbours share the way from the root.

    They are brought into it bit by bit, because to sort tens of thousands takes too long at once.
    """
    by_octet = defaultdict[int, list[Digest]](list)
    for digest in digests:
        by_octet[digest[0]].append(digest)
    ordered = chain.from_iterable(sorted(by_octet[octet]) for octet in sorted(by_octet))
    while some := list(islice(ordered, size)):
        yield some

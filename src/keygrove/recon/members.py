"""What SKS partners see of this server: a set of digests, as it follows the stores' changes.

In it are the certificates of version 4 and before that are held and not denied, each by the digest
of all that is stored of it: that is what a partner gets when it asks for that digest. Newer ones,
which SKS cannot read, would have it throw away all that comes with them (recon.md, T4).

Who wants to can make two certificates with one digest, because it is an MD5. So it is known of
which digests there are more than one; they go with the last.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from keygrove.storage.steps import Step
from keygrove_protocols.errors import TreeMismatchError
from keygrove_protocols.openpgp.keys import Digest, Fingerprint
from keygrove_protocols.recon.field import is_element
from keygrove_protocols.recon.rateless import Shown
from keygrove_protocols.recon.sketch import Sketch
from keygrove_protocols.recon.tree import Tree

FINGERPRINT_OCTETS: Final = (16, 20)
"""Of versions 2 and 3, and of version 4."""


def is_shown(fingerprint: Fingerprint) -> bool:
    """Whether SKS partners may see the certificate with that primary key."""
    return len(fingerprint) in FINGERPRINT_OCTETS


def shown(fingerprint: Fingerprint, digest: Digest | None) -> Digest | None:
    """The digest by which partners see a certificate, if they do."""
    is_in = digest is not None and is_shown(fingerprint) and is_element(digest)
    return digest if is_in else None


class Members:
    """The set."""

    def __init__(
        self,
        tree: Tree | None = None,
        sketch: Sketch | None = None,
        shared: dict[Digest, int] | None = None,
    ) -> None:
        self.tree = tree or Tree()
        self.sketch = sketch or Sketch()
        """The symbols of what is in the tree: both change together."""
        self.shared = shared or {}
        """How many certificates have the same digest, but for one."""

    def add(self, digests: Sequence[Digest]) -> None:
        """Take in digests, in ascending order, of which any may be there already, or twice."""
        there = set(digests) - self.tree.lacks(set(digests))
        new = set[Digest]()
        for digest in digests:
            if digest in there or digest in new:
                self._share(digest)
            else:
                new.add(digest)
        self._apply(added=new, removed=set())

    def follow(self, steps: Iterable[Step], *, is_lenient: bool) -> None:
        """Do what these steps do.

        Args:
            is_lenient: what they bring may be there already, and what they take away may be gone:
                the set was made from what was held at some time during them.

        Raises:
            TreeMismatchError: they do not fit what there is; the set is of no use any more.
        """
        changes = [(shown(one.fingerprint, one.before), one) for one in steps]
        pairs = [(before, shown(one.fingerprint, one.after)) for before, one in changes]
        pairs = [(before, after) for before, after in pairs if before != after]
        named = {digest for pair in pairs for digest in pair if digest is not None}
        was = named - self.tree.lacks(named)
        now = set(was)
        for before, after in pairs:
            if before is not None:
                self._leave(before, now, is_lenient=is_lenient)
            if after is None:
                continue
            if after not in now:
                now.add(after)
            elif not is_lenient:
                self._share(after)
        self._apply(added=now - was, removed=was - now)

    def show(self) -> Shown:
        """The set of this moment, for a session."""
        return Shown(self.tree.snapshot(), self.sketch.snapshot())

    def _apply(self, *, added: AbstractSet[Digest], removed: AbstractSet[Digest]) -> None:
        self.tree.apply(added=added, removed=removed)
        self.sketch.apply(added=added, removed=removed)

    def _leave(self, digest: Digest, now: set[Digest], *, is_lenient: bool) -> None:
        if digest in self.shared:
            self.shared[digest] -= 1
            if not self.shared[digest]:
                del self.shared[digest]
        elif digest in now:
            now.remove(digest)
        elif not is_lenient:
            raise TreeMismatchError(f"{digest.hex()} is to be removed and is not there")

    def _share(self, digest: Digest) -> None:
        self.shared[digest] = self.shared.get(digest, 0) + 1

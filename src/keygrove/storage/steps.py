"""Which digests a shard's changes took away and brought: for whoever keeps a set of all of them.

A digest here is that of all that is stored of a certificate that is held and not denied: that is
what a partner gets for it. What a key says against itself beside a denial has none.
"""

from typing import Final

import msgspec

from keygrove.storage.version import Head
from keygrove_protocols.openpgp.keys import Digest, Fingerprint

STEPS_MAX: Final = 50_000
"""Between two moments that are kept: with more it is less to list what is held."""


class Step(msgspec.Struct, frozen=True):
    """A change of one certificate."""

    change: int
    fingerprint: Fingerprint
    before: Digest | None
    """None: it was not held, or denied."""
    after: Digest | None


class Steps(msgspec.Struct, frozen=True, tag=True):
    """Changes in their order: all that lead from the moment that was named to another."""

    steps: tuple[Step, ...]
    head: Head
    """How it stood after them."""
    newest: int
    """The number of the newest change that there was."""

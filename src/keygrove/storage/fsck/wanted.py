"""Where what rotted can be had again."""

from collections.abc import Awaitable, Callable, Mapping, Set
from typing import TypeAlias

from keygrove_protocols.openpgp.keys import Digest

Refetch: TypeAlias = Callable[[Set[Digest]], Awaitable[Mapping[Digest, bytes]]]
"""The packets of certificates with these SKS digests, of those that are found. Whoever asks looks
whether they are what was lost, so that anybody may be asked."""


async def nowhere(_: Set[Digest]) -> Mapping[Digest, bytes]:
    """Nobody is asked."""
    return {}

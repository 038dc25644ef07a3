"""The set made anew from what the stores hold.

Digests come in the order of tree keys, which is none. Put in one by one they would take some 40 us
each; in ascending order, some hundred at once, they share the way from the root. So all of them
are gathered first, by their first octet: 16 octets for each, and what is sorted at once is short.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final, NamedTuple

import anyio.lowlevel

from keygrove.cluster.router import Router
from keygrove.errors import StoreError
from keygrove.recon.members import Members, shown
from keygrove.storage.messages import Failed
from keygrove.storage.snapshot_messages import GetHead, ListDigests
from keygrove.storage.store import CertificateStore, DigestPage
from keygrove.storage.version import Head
from keygrove_protocols.openpgp.keys import Digest, Fingerprint
from keygrove_protocols.recon.field import DIGEST_BYTES

PAGE: Final = 500
READER_PAGE: Final = 1_000
SLICE: Final = 100
"""Digests at once: a millisecond or two."""


class Shown(NamedTuple):
    """A certificate that partners see."""

    digest: Digest
    fingerprint: Fingerprint


async def shown_by(stores: Sequence[CertificateStore]) -> AsyncIterator[Shown]:
    """What partners see of stores that are only read, each as it is when its turn comes.

    Raises:
        StoreError: one cannot be read.
    """
    for store in stores:
        cursor = None
        while True:
            page = await store.digests(cursor, READER_PAGE)
            for one in page.digests:
                digest = None if one.is_denied else shown(one.fingerprint, one.stored)
                if digest is not None:
                    yield Shown(digest, one.fingerprint)
            cursor = page.cursor
            if cursor is None:
                break
            await anyio.lowlevel.checkpoint()


class Heads:
    """How the stores stood, each before it was listed and after."""

    def __init__(self) -> None:
        self.before: list[Head] = []
        self.after: list[Head] = []


class Gathered:
    """Digests by their first octet."""

    def __init__(self) -> None:
        self._by_octet = [bytearray() for _ in range(256)]
        self.count = 0

    def add(self, digest: Digest) -> None:
        """One more."""
        self._by_octet[digest[0]] += digest
        self.count += 1

    def slices(self) -> Iterator[list[Digest]]:
        """All of them in ascending order, some at once."""
        for octets in self._by_octet:
            starts = range(0, len(octets), DIGEST_BYTES)
            digests = sorted(Digest(bytes(octets[at : at + DIGEST_BYTES])) for at in starts)
            for at in range(0, len(digests), SLICE):
                yield digests[at : at + SLICE]


async def listed(router: Router, shards: int, heads: Heads) -> Gathered:
    """The digests of all that the stores hold, each at some time between its two heads.

    Raises:
        ActorError: a shard does not answer.
        StoreError: a shard cannot be read.
    """
    gathered = Gathered()
    for shard in range(shards):
        heads.before.append(await router.ask(shard, GetHead()))
        async for page in _pages(router, shard):
            for one in page.digests:
                digest = None if one.is_denied else shown(one.fingerprint, one.stored)
                if digest is not None:
                    gathered.add(digest)
        heads.after.append(await router.ask(shard, GetHead()))
    return gathered


async def built(gathered: Gathered) -> Members:
    """The set of them. Others have their turn in between."""
    members = Members()
    for some in gathered.slices():
        members.add(some)
        await anyio.lowlevel.checkpoint()
    return members


async def _pages(router: Router, shard: int) -> AsyncIterator[DigestPage]:
    cursor = None
    while True:
        page = await router.ask(shard, ListDigests(cursor, PAGE))
        if isinstance(page, Failed):
            raise StoreError(f"shard {shard} cannot be listed: run keygrove fsck")
        yield page
        cursor = page.cursor
        if cursor is None:
            return

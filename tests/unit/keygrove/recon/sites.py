"""Shards in memory and the owner of the prefix tree, with its file on a simulated disk."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from random import Random

import anyio

from keygrove.cluster.router import Router, shard_name
from keygrove.recon.messages import (
    PREFIX,
    Feed,
    GetPrefixStatus,
    OpenSession,
    PrefixApi,
    PrefixStatus,
)
from keygrove.recon.prefix import Prefix
from keygrove.recon.treefile import TreeFile
from keygrove.storage.committer import Means
from keygrove.storage.memory import MemoryStore
from keygrove.storage.messages import Order
from keygrove.storage.shard import OpenStore, Shard
from keygrove.storage.write import Cause
from keygrove_actors import ChildSpec, Ref, Runtime, SupSpec, run
from keygrove_chaos.certificates import candidate_of
from keygrove_chaos.disk import Disk
from keygrove_chaos.entropy import SeededEntropy
from keygrove_chaos.node import InlineCompute, LoopClock
from keygrove_chaos.sqlite import SimulatedDatabases
from keygrove_chaos.stores import Hook, HookedOpening, Notes
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.policy import VERIFIED
from keygrove_protocols.recon.frames import Decoder
from keygrove_protocols.recon.messages import Done, Elements, Flush, FullRequest, encode
from keygrove_protocols.recon.prefix import ROOT
from tests.simulation.timelines import SeededTimeline

WAIT_S = 3_000.0
"""Virtual seconds."""


class Told:
    """See `recon.watcher.Watcher`."""

    def __init__(self) -> None:
        self.anew: list[str] = []
        self.up: list[int] = []
        self.not_dumped: list[str] = []

    def tree_made_anew(self, why: str) -> None:
        self.anew.append(why)

    def tree_up(self, digests: int) -> None:
        self.up.append(digests)

    def tree_not_dumped(self, why: str) -> None:
        self.not_dumped.append(why)


class Machine:
    """What outlives a node: its stores, and its disk."""

    def __init__(self, shards: int = 2) -> None:
        self.stores = [MemoryStore() for _ in range(shards)]
        self.disk = Disk(SeededTimeline(0), "node")
        self.openers: list[OpenStore] = [store.opened for store in self.stores]

    async def rewrite(self, *, removed: Digest, added: Digest) -> None:
        """Write the dump anew, with another digest for one of its own."""
        timeline = SeededTimeline(0)
        databases = SimulatedDatabases(timeline, "node", self.disk.boot(), timeline.now)
        file = TreeFile(databases)
        dumped = await file.load(len(self.stores))
        assert dumped is not None
        dumped.tree.apply(removed=[removed], added=[added])
        await file.save(dumped)
        databases.close()

    async def served(self) -> set[Digest]:
        """What partners are to see, as the stores say it."""
        found = set[Digest]()
        for store in self.stores:
            for one in (await store.digests(None, 10_000)).digests:
                if not one.is_denied and len(one.fingerprint) in {16, 20}:
                    found.add(one.stored)
        return found


class Site:
    """A running node."""

    def __init__(self, runtime: Runtime, machine: Machine, told: Told) -> None:
        self.runtime = runtime
        self.machine = machine
        self.told = told
        self.router = Router(runtime.whereis, len(machine.stores))
        self.prefix: Ref[PrefixApi] = runtime.whereis(PREFIX, PrefixApi)

    async def put(self, *certificates: Certificate) -> None:
        await self.router.merge_all([candidate_of(one, Cause.LOAD) for one in certificates])

    async def deny(self, certificate: Certificate, nonce: bytes = b"1") -> None:
        await self.router.deny(fingerprint(certificate), Order(None, "spam", nonce))

    async def allow(self, certificate: Certificate, nonce: bytes = b"2") -> None:
        await self.router.allow(fingerprint(certificate), Order(None, "", nonce))

    async def status(self) -> PrefixStatus:
        return await self.prefix.call(GetPrefixStatus())

    async def up(self) -> PrefixStatus:
        """Wait until the tree can be shown."""
        with anyio.fail_after(WAIT_S):
            while (status := await self.status()).waiting_for:  # noqa: ASYNC110 - no time is real
                await anyio.sleep(0.1)
        return status

    async def shown(self) -> set[Digest]:
        """All that a partner can be told, by a session like any other."""
        await self.up()
        opened = await self.prefix.call(OpenSession("initiator"))
        asked = encode(FullRequest(ROOT, ())) + encode(Flush()) + encode(Done())
        stepped = await self.prefix.call(Feed(opened.session, asked))
        assert stepped.ended is not None
        decoder = Decoder()
        decoder.admit_all()
        decoder.feed(stepped.octets)
        message = decoder.message()
        assert isinstance(message, Elements)
        return set(message.digests)

    async def agrees(self) -> bool:
        return await self.shown() == await self.machine.served()


@asynccontextmanager
async def running(machine: Machine, *, has_prefix: bool = True) -> AsyncGenerator[Site, None]:
    timeline = SeededTimeline(0)
    databases = SimulatedDatabases(timeline, "node", machine.disk.boot(), timeline.now)
    told = Told()
    means = Means(LoopClock(), InlineCompute(), InlineCompute(), VERIFIED)
    children = [
        ChildSpec(
            shard_name(number),
            partial(Shard, opener, means, cache_bytes=0, watcher=Notes()),
            name=shard_name(number),
        )
        for number, opener in enumerate(machine.openers)
    ]
    start = partial(Prefix, len(machine.stores), databases, SeededEntropy(Random(0)), told)
    if has_prefix:
        children.append(ChildSpec(PREFIX, start, name=PREFIX, shutdown=5.0))
    try:
        async with run(SupSpec(children=tuple(children), intensity=5)) as runtime:
            yield Site(runtime, machine, told)
    finally:
        databases.close()


class Hooked:
    """Opens a store whose operations a test is told of."""

    def __init__(self, opener: OpenStore, before: Hook) -> None:
        self._opener = opener
        self._before = before

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[HookedOpening, None]:
        async with self._opener() as opening:
            yield HookedOpening(opening, before=self._before)

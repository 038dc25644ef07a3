"""I-05 of whole nodes: what partners of recon are shown is what is held.

A session is opened, past the network, and asked for all that it has; another tells it all by its
coded symbols, as to a Keygrove that has nothing. That is held against what the shards list, if
nothing was committed meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar, Final

import msgspec

from keygrove.cluster.router import Router
from keygrove.recon.messages import PREFIX, Feed, OpenSession, PrefixApi
from keygrove.storage.messages import Failed
from keygrove.storage.snapshot_messages import GetHead, ListDigests
from keygrove.storage.store import NamedDigests
from keygrove_actors import ActorError, Runtime
from keygrove_chaos.invariant import Passive
from keygrove_chaos.observation import Finding, Occurrence, TreeLook, Violation, at, listed
from keygrove_protocols.recon.frames import Decoder
from keygrove_protocols.recon.messages import Done, Elements, Flush, FullRequest, encode
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.rateless import RatelessInitiator, Shown
from keygrove_protocols.recon.sketch import Sketch
from keygrove_protocols.recon.terms import RATELESS
from keygrove_protocols.recon.tree import Tree

VERSIONS: Final = {16: 3, 20: 4}
"""Of keys that SKS reads, by the octets of their fingerprints."""
PAGE: Final = 1_000


class TreeIsTheStore(Passive):
    """I-05: partners of recon are shown what is held, and nothing else."""

    id: ClassVar[str] = "I-05"

    def on_event(self, event: Occurrence) -> Finding | None:
        """See `Invariant`."""
        if not isinstance(event, TreeLook) or event.shown == event.held:
            return None
        return Violation(
            invariant=self.id,
            at_ns=event.time_ns,
            says=f"{event.node} shows {listed(event.shown - event.held)} to partners, which it "
            f"does not hold, and not {listed(event.held - event.shown)}, which it holds, "
            f"at {at(event.time_ns)}",
            node=event.node,
        )


class Holdings(msgspec.Struct, frozen=True):
    """What a node has that partners may see."""

    digests: frozenset[tuple[str, str]]
    """Fingerprints, each with the digest of what is held."""

    @property
    def names(self) -> frozenset[str]:
        """The fingerprints."""
        return frozenset(name for name, _ in self.digests)


async def holdings(runtime: Runtime, shards: int) -> Holdings | None:
    """What a node holds; None if it cannot tell."""
    router = Router(runtime.whereis, shards)
    try:
        listed = [one for shard in range(shards) async for one in _listed(router, shard)]
    except (ActorError, _UnreadableError):
        return None
    digests = {(one.fingerprint.hex(), one.stored.hex()) for one in listed if _is_shown(one)}
    return Holdings(frozenset(digests))


async def compare(runtime: Runtime, shards: int) -> tuple[frozenset[str], frozenset[str]] | None:
    """What a node shows and what it holds; None if it cannot tell, or it changed meanwhile."""
    router = Router(runtime.whereis, shards)
    try:
        before = [await router.ask(shard, GetHead()) for shard in range(shards)]
        held = await holdings(runtime, shards)
        shown = await _shown(runtime)
        by_symbols = await _shown_by_symbols(runtime)
        after = [await router.ask(shard, GetHead()) for shard in range(shards)]
    except ActorError:
        return None
    if held is None or before != after:
        return None
    digests = frozenset(digest for _, digest in held.digests)
    return by_symbols if shown == digests else shown, digests


class _UnreadableError(Exception):
    """A shard cannot list what it holds."""


async def _listed(router: Router, shard: int) -> AsyncIterator[NamedDigests]:
    cursor = None
    while True:
        page = await router.ask(shard, ListDigests(cursor, PAGE))
        if isinstance(page, Failed):
            raise _UnreadableError
        for one in page.digests:
            yield one
        cursor = page.cursor
        if cursor is None:
            return


def _is_shown(one: NamedDigests) -> bool:
    return not one.is_denied and len(one.fingerprint) in VERSIONS


async def _shown(runtime: Runtime) -> frozenset[str]:
    prefix = runtime.whereis(PREFIX, PrefixApi)
    opened = await prefix.call(OpenSession("initiator"))
    asked = encode(FullRequest(ROOT, ())) + encode(Flush()) + encode(Done())
    stepped = await prefix.call(Feed(opened.session, asked))
    decoder = Decoder()
    decoder.admit_all()
    decoder.feed(stepped.octets)
    message = decoder.message()
    assert isinstance(message, Elements)
    return frozenset(digest.hex() for digest in message.digests)


async def _shown_by_symbols(runtime: Runtime) -> frozenset[str]:
    """Nothing, where the symbols cannot be those of a set."""
    prefix = runtime.whereis(PREFIX, PrefixApi)
    opened = await prefix.call(OpenSession("acceptor", way=RATELESS))
    decoder = Decoder()
    decoder.admit_all()
    session = RatelessInitiator(Shown(Tree(), Sketch()), decoder)
    octets, has_ended = opened.octets, False
    while not has_ended:
        session.receive(octets)
        while session.advance():
            pass
        stepped = await prefix.call(Feed(opened.session, session.take()))
        octets, has_ended = stepped.octets, stepped.ended is not None
    is_told = not session.statistics.gave_up
    return frozenset(digest.hex() for digest in session.learned) if is_told else frozenset()

"""Proofs of what a node holds, each against a head that it has signed.

A head is signed when one is asked for that is newer, and not before: at most so often, and one for
all that wait. Proofs of what did not change since are made against the last one, whatever else is
written meanwhile, because the shards keep its trees.
"""

from typing import Final

import anyio
import msgspec

from keygrove.cluster.router import Moment, Router
from keygrove.cluster.signing import Signing
from keygrove.ports import Clock
from keygrove.storage.address import slot, tree_key
from keygrove.storage.messages import Failed, Outdated, Traced
from keygrove.storage.proofs import Proof, proof
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.proofs.proof import Head

HEAD_AGE_MAX_S: Final = 60.0
"""Older ones are signed anew, even if nothing has changed: somebody may ask whether we live."""
HEAD_PAUSE_S: Final = 0.1
"""Between two heads. One takes about a millisecond of the event loop."""
TRIES: Final = 3
"""For a certificate that changes again and again."""


class Signed(msgspec.Struct, frozen=True):
    """A head, and what it is of."""

    note: str
    moment: Moment
    made_at: float
    """By the stopwatch."""


class Prover:
    """Signs heads and makes proofs. There is one for a node, see `GetSlots`.

    Its methods raise `ActorError` when a shard cannot answer, and what `Signing.key` does.
    """

    def __init__(self, router: Router, signing: Signing, clock: Clock) -> None:
        self._router = router
        self._signing = signing
        self._clock = clock
        self._turn = anyio.Lock()
        self._signed: Signed | None = None

    async def head(self) -> str:
        """A signed note of what is held; at most `HEAD_AGE_MAX_S` ago it was so."""
        return (await self._head()).note

    async def prove(self, fingerprint: Fingerprint) -> Proof | Outdated | Failed:
        """What there is of a certificate now, or that there is nothing.

        Outdated: it changed each time before its proof was made.
        """
        for _ in range(TRIES):
            signed = await self._head()
            traced = await self._router.trace(fingerprint, signed.moment)
            match traced:
                case Traced():
                    above = signed.moment.forest.path(slot(fingerprint))
                    key = tree_key(fingerprint)
                    return proof(fingerprint, key, signed.note, above, traced)
                case Outdated():
                    await self._renew(signed)
                case Failed():
                    return traced
        return Outdated()

    async def _head(self) -> Signed:
        signed = self._signed
        if signed is None or self._clock.elapsed() - signed.made_at > HEAD_AGE_MAX_S:
            return await self._renew(signed)
        return signed

    async def _renew(self, old: Signed | None) -> Signed:
        """Another head than this one, made by whoever is first of those who want it."""
        async with self._turn:
            if self._signed is not None and self._signed is not old:
                return self._signed
            if old is not None:
                since_s = self._clock.elapsed() - old.made_at
                await anyio.sleep(max(0.0, HEAD_PAUSE_S - since_s))
            key = await self._signing.key()
            moment = await self._router.moment()
            name, at = key.verifier.name, self._clock.now()
            head = Head(name, "blake3", moment.certificates, moment.forest.root, at)
            self._signed = Signed(key.sign(head.lines()), moment, self._clock.elapsed())
            return self._signed

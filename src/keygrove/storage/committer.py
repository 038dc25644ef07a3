"""What a shard commits: the merges that came in together, absorbed and kept in one transaction."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from keygrove.errors import DiskFullError
from keygrove.points import crash_point, sometimes
from keygrove.ports import Clock, Compute
from keygrove.storage.absorb import CHANGING, Absorbed, Held, Incoming, absorb, effort
from keygrove.storage.messages import Failed, Merge, Merged, NoSpace
from keygrove.storage.store import CertificateStore, Put
from keygrove.storage.turn import SLICE_BYTES, Turn
from keygrove_actors import ReplyTo
from keygrove_protocols.openpgp.keys import Fingerprint


class Request(msgspec.Struct, frozen=True):
    """A merge and whom to tell."""

    message: Merge
    reply_to: ReplyTo[Merged | NoSpace | Failed]


class Committer:
    """Commits for one shard, one batch after the other, and answers everybody."""

    def __init__(
        self,
        clock: Clock,
        compute: Compute,
        *,
        on_fault: Callable[[str, Exception], None],
        on_change: Callable[[Fingerprint], None],
    ) -> None:
        self._clock = clock
        self._compute = compute
        self._on_fault = on_fault
        self._on_change = on_change
        self.commits = 0
        self.committed = 0
        """Certificates in those commits."""

    async def commit(self, store: CertificateStore, merges: list[Request]) -> None:
        """Merge and keep a batch; everybody is answered, whatever becomes of it."""
        by_name: defaultdict[Fingerprint, list[Request]] = defaultdict(list)
        for merge in merges:
            by_name[merge.message.fingerprint].append(merge)
        if len(merges) > 1:
            sometimes("shard.batched")
        if len(by_name) < len(merges):
            sometimes("shard.combined")
        held = await _held(store, set(by_name))
        now, turn = self._clock.now(), Turn()
        absorbed: dict[Fingerprint, Absorbed] = {}
        for name, some in by_name.items():
            result = await self._absorb(held.get(name), [one.message for one in some], now, turn)
            if result is None:
                _answer(some, [Failed()] * len(some))
            else:
                absorbed[name] = result
        puts = [result.put for result in absorbed.values() if result.put is not None]
        try:
            change, is_kept = await self._keep(store, puts), True
        except DiskFullError:
            sometimes("shard.full")
            change, is_kept = store.counts().change, False
        for name, result in absorbed.items():
            replies = _replies(result, held.get(name), change, is_kept=is_kept)
            _answer(by_name[name], replies)

    async def _absorb(
        self, held: Held | None, messages: list[Merge], now: int, turn: Turn
    ) -> Absorbed | None:
        """Merge all that came in for one certificate; None if a bug of ours prevents it."""
        incoming = [Incoming(one.certificate, one.digest, one.cause) for one in messages]
        work = partial(absorb, held, incoming, now)
        spent = sum(effort(one.certificate) for one in messages) + (held.effort if held else 0)
        try:
            if spent > SLICE_BYTES:
                return await self._compute.run(work)
            await turn.spend(spent)
            return work()
        except Exception as error:  # noqa: BLE001 - a bug that one certificate meets must not stop the shard for all others
            self._on_fault("merge", error)
            return None

    async def _keep(self, store: CertificateStore, puts: list[Put]) -> int:
        """Commit; then, before anybody learns of it, forget what was cached."""
        if not puts:
            return store.counts().change
        crash_point("shard.commit.before")
        change = await store.commit(puts)
        crash_point("shard.commit.after")
        for put in puts:
            self._on_change(put.fingerprint)
        self.commits += 1
        self.committed += len(puts)
        return change


async def _held(store: CertificateStore, names: set[Fingerprint]) -> dict[Fingerprint, Held]:
    versions = await store.get(sorted(names))
    return {
        version.fingerprint: Held(version.digest, packets=version.packets)
        for version in versions
        if version is not None
    }


def _replies(
    result: Absorbed, before: Held | None, change: int, *, is_kept: bool
) -> list[Merged | NoSpace | Failed]:
    """What to tell each; where the disk was full, what is held is what was before."""
    if is_kept:
        return [Merged(outcome, result.held.digest, change) for outcome in result.outcomes]
    return [
        NoSpace()
        if before is None or outcome in CHANGING
        else Merged(outcome, before.digest, change)
        for outcome in result.outcomes
    ]


def _answer(merges: list[Request], replies: Sequence[Merged | NoSpace | Failed]) -> None:
    for merge, reply in zip(merges, replies, strict=True):
        merge.reply_to.send(reply)

"""The ingest actor: submissions through the steps, and what remains to its shards.

It holds no state that a crash could lose. Submissions run beside each other, so that their
commits are shared; how many bytes may be under way is bounded.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from keygrove.cluster.router import Router
from keygrove.ingest.bulk import MakePool, Parsers
from keygrove.ingest.messages import Fate, IngestApi, Result, Submit, Submitted, Unavailable
from keygrove.ingest.steps import Draft, prepare
from keygrove.ingest.verdicts import Rejected, rejected
from keygrove.ports import Compute
from keygrove.storage.absorb import Outcome
from keygrove.storage.messages import Failed, Merged, NoSpace, Overloaded
from keygrove.storage.store import Cause
from keygrove_actors import DEFER, Actor, ActorError, Ctx, Defer, ReplyTo, on
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.openpgp.certificate import Refused

UNDER_WAY_BYTES_MAX = 64 << 20
UNDER_WAY_MAX = 2_000
INLINE_BYTES = 32 * 1024
"""Larger submissions are prepared elsewhere: this much takes about a millisecond."""

Reply: TypeAlias = Submitted | Rejected | NoSpace | Unavailable | Failed
OnFault: TypeAlias = Callable[[str, Exception], None]
"""Told of an exception that cost one request only: where, and which."""

_RESULTS = {
    Outcome.ADDED: (Result.INSERTED, "", ""),
    Outcome.CHANGED: (Result.UPDATED, "", ""),
    Outcome.UNCHANGED: (Result.IGNORED, "", ""),
    Outcome.MISMATCHED: (
        Result.INVALID,
        "PrimaryMismatch",
        "another key with this fingerprint is held here",
    ),
    Outcome.OVERGROWN: (
        Result.INVALID,
        "TooLarge",
        "merged with what is held here it would be too large",
    ),
    Outcome.DENIED: (Result.INVALID, "Denied", "this certificate is not taken here"),
}


class Ingest(Actor[IngestApi]):
    """Takes submissions."""

    _ctx: Ctx
    _router: Router
    _parsers: Parsers

    def __init__(
        self,
        shards: int,
        compute: Compute,
        *,
        on_fault: OnFault,
        make_pool: MakePool | None = None,
    ) -> None:
        self._shards = shards
        self._make_pool = make_pool
        self._compute = compute
        self._on_fault = on_fault
        self._under_way = 0
        self._under_way_bytes = 0

    async def init(self, ctx: Ctx) -> None:
        """Find the shards."""
        self._ctx = ctx
        self._router = Router(ctx.whereis, self._shards)
        self._parsers = Parsers(ctx, self._make_pool)

    @on(Submit)
    def submit(self, message: Submit) -> Reply | Defer:
        """Start on it, unless too much is under way."""
        size = self._under_way_bytes + len(message.data)
        if self._under_way >= UNDER_WAY_MAX or (self._under_way and size > UNDER_WAY_BYTES_MAX):
            raise Overloaded().error()
        self._under_way += 1
        self._under_way_bytes = size
        self._ctx.start_soon(self._take, message, self._ctx.reply_to)
        return DEFER

    async def _take(self, message: Submit, reply_to: ReplyTo[Reply]) -> None:
        try:
            reply_to.send(await self._take_one(message))
        finally:
            self._under_way -= 1
            self._under_way_bytes -= len(message.data)

    async def _take_one(self, message: Submit) -> Reply:
        try:
            draft = await self._prepare(message.data, message.cause)
        except ProtocolError as error:
            return rejected(error)
        except Exception as error:  # noqa: BLE001 - a bug that one submission meets must cost its submitter only
            self._on_fault("ingest", error)
            return Failed()
        if isinstance(draft, Rejected):
            return draft
        try:
            return await self._store(draft)
        except ActorError:
            return Unavailable()

    async def _prepare(self, data: bytes, cause: Cause) -> Draft | Rejected:
        if len(data) <= INLINE_BYTES:
            return prepare(data, cause)
        if cause is Cause.LOAD:
            parsed = await self._parsers.parse(data, cause)
            if parsed is not None:
                return parsed
        return await self._compute.run(lambda: prepare(data, cause))

    async def _store(self, draft: Draft) -> Reply:
        """Give every candidate to its shard at once, and wait for all."""
        return _sum_up(draft, await self._router.merge_all(draft.candidates, draft.cause))


def _sum_up(draft: Draft, replies: Sequence[Merged | NoSpace | Failed]) -> Reply:
    fates: list[Fate] = [_refused(one) for one in draft.refused]
    for one, reply in zip(draft.candidates, replies, strict=True):
        if not isinstance(reply, Merged):
            return reply
        result, code, comment = _RESULTS[reply.outcome]
        fates.append(Fate(result, one.fingerprint, one.version, code, comment))
    return Submitted(tuple(fates))


def _refused(one: Refused) -> Fate:
    return Fate(Result.INVALID, one.fingerprint, None, one.error, one.text)

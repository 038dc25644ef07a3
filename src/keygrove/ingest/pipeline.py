"""The ingest actor: submissions are looked into, and what is to be kept goes to its shards.

It holds no state that a crash could lose. Submissions run beside each other, so that their
commits are shared; how many bytes may be under way is bounded. What takes more than a moment to
verify is verified elsewhere, and what takes too long there is refused.
"""

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TypeAlias, assert_never

import msgspec

from keygrove.cluster.router import Router
from keygrove.ingest.bulk import MakePool, Parsers
from keygrove.ingest.messages import (
    Fate,
    IngestApi,
    Load,
    Result,
    Submit,
    Submitted,
    Unavailable,
    Unwritable,
)
from keygrove.ingest.parsing import Look, LookIntoDump
from keygrove.ingest.revocation import revoke
from keygrove.ingest.steps import (
    COSTLY,
    HEAVY_US,
    INLINE_BYTES,
    INLINE_US,
    TOO_COSTLY,
    One,
    Prepared,
    look_into,
    look_into_dump,
    name_of,
    read,
    revocation_in,
    source_of,
    source_salt,
)
from keygrove.ingest.verdicts import Rejected, rejected
from keygrove.ports import Compute
from keygrove.storage.absorb import Outcome
from keygrove.storage.candidate import Candidate
from keygrove.storage.messages import Failed, Merged, NoSpace, Overloaded
from keygrove.storage.space import SPACE, Level, SpaceApi, level_now
from keygrove.storage.write import Cause
from keygrove.telemetry.intake import Intake
from keygrove_actors import DEFER, Actor, ActorError, Ctx, Defer, ReplyTo, on
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.openpgp.certificate import Refused
from keygrove_protocols.openpgp.packets import Packet
from keygrove_protocols.openpgp.policy import Policy

UNDER_WAY_BYTES_MAX = 64 << 20
UNDER_WAY_MAX = 2_000

Reply: TypeAlias = Submitted | Rejected | NoSpace | Unwritable | Unavailable | Failed
OnFault: TypeAlias = Callable[[str, Exception], None]
"""Told of an exception that cost one request only: where, and which."""
OnIntake: TypeAlias = Callable[[Intake], None]
"""Told of each submission what it came to."""

ONLY_REVOKED = (
    "only the revocation of the key was taken: the rest of it is too much, or not taken here"
)
REDACTED = "Redacted"
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
    Outcome.REVOKED: (Result.UPDATED, "", ONLY_REVOKED),
    Outcome.DENIED: (Result.INVALID, "Denied", "this certificate is not taken here"),
}
_REFUSALS = {
    "NoValidSelfSig": "its key has signed for none of its user IDs and subkeys: export it again",
    "TooLarge": "it is larger than what is kept of a certificate: leave out user IDs or subkeys",
    TOO_COSTLY: COSTLY,
    REDACTED: "nothing of it is left without the user IDs that are not taken here",
    "Blocked": "the operator of this server does not keep it",
}


def _nobody_told(_: Intake) -> None:
    """It is told to whoever submitted, in any case."""


class Ingest(Actor[IngestApi]):
    """Takes submissions."""

    _ctx: Ctx
    _router: Router
    _parsers: Parsers

    def __init__(  # noqa: PLR0913 - each is a part of its surroundings
        self,
        shards: int,
        compute: Compute,
        policy: Policy,
        *,
        on_fault: OnFault,
        on_intake: OnIntake = _nobody_told,
        make_pool: MakePool | None = None,
    ) -> None:
        self._shards = shards
        self._make_pool = make_pool
        self._compute = compute
        self._policy = policy
        self._salt = source_salt(policy)
        self._on_fault = on_fault
        self._on_intake = on_intake
        self._under_way = 0
        self._under_way_bytes = 0

    async def init(self, ctx: Ctx) -> None:
        """Find the shards."""
        self._ctx = ctx
        self._router = Router(ctx.whereis, self._shards)
        self._space = ctx.whereis(SPACE, SpaceApi)
        self._parsers = Parsers(ctx, self._make_pool)

    @on(Submit)
    def submit(self, message: Submit) -> Reply | Defer:
        """Start on it, unless too much is under way."""
        return self._start(message, len(message.data))

    @on(Load)
    def load(self, message: Load) -> Reply | Defer:
        """Start on it, unless too much is under way."""
        return self._start(message, sum(map(len, message.certificates)))

    def _start(self, message: Submit | Load, size: int) -> Defer:
        size_under_way = self._under_way_bytes + size
        is_full = self._under_way and size_under_way > UNDER_WAY_BYTES_MAX
        if is_full or self._under_way >= UNDER_WAY_MAX:
            raise Overloaded().error()
        self._under_way += 1
        self._under_way_bytes = size_under_way
        self._ctx.start_soon(self._take, message, size, self._ctx.reply_to)
        return DEFER

    async def _take(self, message: Submit | Load, size: int, reply_to: ReplyTo[Reply]) -> None:
        intake = Intake(route="load" if isinstance(message, Load) else "upload", octets=size)
        try:
            reply = await self._take_one(message, intake)
            _account_for(intake, reply)
            self._on_intake(intake)
            reply_to.send(reply)
        finally:
            self._under_way -= 1
            self._under_way_bytes -= size

    async def _take_one(self, message: Submit | Load, intake: Intake) -> Reply:
        try:
            if isinstance(message, Load):
                return await self._take_dump(message, intake)
            return await self._take_submission(message, intake)
        except ProtocolError as error:
            return rejected(error)
        except ActorError:
            return Unavailable()
        except Exception as error:  # noqa: BLE001 - a bug that one submission meets must cost its submitter only
            self._on_fault("ingest", error)
            return Failed()

    async def _take_submission(self, message: Submit, intake: Intake) -> Reply:
        refusal = await self._refuse(Level.CRITICAL)
        if refusal is not None:
            return refusal
        prepared = await self._look_into(message.data, intake)
        if not isinstance(prepared, Prepared):
            return prepared
        return await self._store(_brought(prepared.ones, Cause.UPLOAD, message.origin))

    async def _refuse(self, *lacking: Level) -> NoSpace | Unwritable | None:
        """What to say beforehand, if the disk has this little room, or is read-only."""
        level = await level_now(self._space)
        if level is Level.READ_ONLY:
            return Unwritable()
        return NoSpace() if level in lacking else None

    async def _look_into(self, data: bytes, intake: Intake) -> Prepared | Reply:
        is_small = len(data) <= INLINE_BYTES
        reading = read(data) if is_small else await self._compute.run(lambda: read(data))
        if reading.revocation is not None:
            one = await self._revoke(reading.revocation, Cause.UPLOAD)
            return one if isinstance(one, Rejected) else Prepared((one,))
        with self._timed(intake):
            if is_small and reading.cost_us <= INLINE_US:
                return look_into(reading, self._policy)
            if reading.cost_us > HEAVY_US:
                work = Look(data, self._policy)
                found = await self._parsers.ask(work, len(data), is_heavy=True)
                if found is not None:
                    intake.place = "process"
                    return found
            intake.place = "thread"
            return await self._compute.run(lambda: look_into(reading, self._policy))

    async def _revoke(self, revocation: Packet, cause: Cause) -> Candidate | Rejected:
        return await revoke(self._router, revocation, self._policy, self._compute, cause)

    @contextmanager
    def _timed(self, intake: Intake) -> Generator[None, None, None]:
        """Note how long it takes to verify it, which is done here unless it says otherwise."""
        before, intake.place = self._ctx.now(), "inline"
        try:
            yield
        finally:
            intake.verify_s = self._ctx.now() - before

    async def _take_dump(self, load: Load, intake: Intake) -> Reply:
        """Pass over what brought about what is held already; the rest is looked into."""
        certificates = load.certificates
        names = [name_of(octets) for octets in certificates]
        known = dict.fromkeys(name for name in names if name is not None)
        sources = dict(zip(known, await self._router.sources(list(known)), strict=True))
        fates: list[Fate] = []
        rest: list[int] = []
        revocations: dict[int, Packet] = {}
        for at, (name, octets) in enumerate(zip(names, certificates, strict=True)):
            source = sources.get(name) if name else None
            revocation = None if name else revocation_in(octets)
            if name and source and source == source_of(octets, self._salt):
                fates.append(Fate(Result.IGNORED, name, None, at=at))
            elif revocation is not None:
                revocations[at] = revocation
            else:
                rest.append(at)
        intake.known = len(fates)
        if not rest and not revocations:
            return Submitted(tuple(fates))
        refusal = await self._refuse(Level.LOW, Level.CRITICAL)
        if refusal is not None:
            return refusal
        return await self._take_rest(load, rest, revocations, fates, intake)

    async def _take_rest(
        self,
        load: Load,
        rest: Sequence[int],
        revocations: dict[int, Packet],
        fates: list[Fate],
        intake: Intake,
    ) -> Reply:
        """Take the certificates at `rest`, and the revocations, beside what has its fate."""
        if rest:
            certificates = tuple(load.certificates[at] for at in rest)
            prepared = await self._look_into_dump(certificates, intake)
            if not isinstance(prepared, Prepared):
                return prepared
            reply = await self._store(_brought(prepared.ones, load.cause, load.origin), rest)
            if not isinstance(reply, Submitted):
                return reply
            fates += reply.fates
        # Behind the certificates beside them, of which they may be.
        lone = _brought(await self._revoke_all(revocations), load.cause, load.origin)
        reply = await self._store(lone, list(revocations))
        return Submitted((*fates, *reply.fates)) if isinstance(reply, Submitted) else reply

    async def _revoke_all(self, revocations: dict[int, Packet]) -> list[One]:
        ones: list[One] = []
        for revocation in revocations.values():
            found = await self._revoke(revocation, Cause.LOAD)
            one = Refused(None, found.code, found.text) if isinstance(found, Rejected) else found
            ones.append(msgspec.structs.replace(one, at=len(ones)))
        return ones

    async def _look_into_dump(
        self, certificates: tuple[bytes, ...], intake: Intake
    ) -> Prepared | Reply:
        """Never here: a few octets can take seconds to verify, and what they take is unknown."""
        policy, size = self._policy, sum(map(len, certificates))
        with self._timed(intake):
            if size > INLINE_BYTES:
                found = await self._parsers.ask(LookIntoDump(certificates, policy), size)
                if found is not None:
                    intake.place = "process"
                    return found
            intake.place = "thread"
            return await self._compute.run(lambda: look_into_dump(certificates, policy))

    async def _store(self, ones: Sequence[One], at: Sequence[int] | None = None) -> Reply:
        """Give every candidate to its shard at once, and wait for all.

        `at` says which certificate of the submission each is, where that is not its place here.
        """
        fates = [_refused(one) for one in ones if isinstance(one, Refused)]
        candidates = [one for one in ones if isinstance(one, Candidate)]
        replies = await self._router.merge_all(candidates)
        for one, reply in zip(candidates, replies, strict=True):
            if not isinstance(reply, Merged):
                return reply
            fates.append(_fate(one, reply.outcome))
        if at is None:
            return Submitted(tuple(fates))
        return Submitted(tuple(_moved(fate, at) for fate in fates))


def _brought(ones: Sequence[One], cause: Cause, origin: str) -> list[One]:
    """The same, brought by whoever that is."""
    return [
        msgspec.structs.replace(one, cause=cause, origin=origin)
        if isinstance(one, Candidate)
        else one
        for one in ones
    ]


def _account_for(intake: Intake, reply: Reply) -> None:
    """Put into the account how a submission was answered."""
    match reply:
        case Submitted(fates):
            intake.outcome = "taken"
            intake.results = dict(Counter(fate.result.value for fate in fates))
            intake.refused = dict(Counter(fate.error for fate in fates if fate.error))
            dropped: Counter[str] = Counter()
            for fate in fates:
                dropped.update(fate.dropped)
            intake.dropped = dict(dropped)
        case Rejected(_, code, _):
            intake.outcome, intake.refused = "rejected", {code: 1}
        case NoSpace():
            intake.outcome = "no space"
        case Unwritable():
            intake.outcome = "read-only"
        case Unavailable():
            intake.outcome = "unavailable"
        case Failed():
            intake.outcome = "failed"
        case _:
            assert_never(reply)


def _fate(one: Candidate, outcome: Outcome) -> Fate:
    if one.error == TOO_COSTLY:  # there is nothing in it but a revocation, which may be known
        outcome = Outcome.REVOKED if outcome is Outcome.CHANGED else Outcome.REFUSED
    if outcome is Outcome.REFUSED:
        code = one.error or REDACTED  # it could stand alone with all that is in it
        text = _REFUSALS[code]
        return Fate(Result.INVALID, one.fingerprint, one.version, code, text, one.at)
    result, code, text = _RESULTS[outcome]
    name, version = one.fingerprint, one.version
    return Fate(result, name, version, code, text, one.at, one.dropped, one.pruned)


def _refused(one: Refused) -> Fate:
    return Fate(Result.INVALID, one.fingerprint, one.version, one.error, one.text, one.at)


def _moved(fate: Fate, at: Sequence[int]) -> Fate:
    return msgspec.structs.replace(fate, at=at[fate.at])

"""Fetching from one partner what sessions found lacking here (recon.md §8).

Certificates come in batches over HTTP and enter ingest as any others: what is believed of them is
what ingest verifies. What brings nothing is remembered, see `known`. Whatever a partner can make us
read, hold and wait for is bounded, and nothing of it lasts: what is given up now, the next session
finds again.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import ClassVar, Final

import anyio
import msgspec

from keygrove.asking import HttpRequest
from keygrove.cluster.router import Router
from keygrove.errors import ExchangeError, UnreachableError
from keygrove.ingest.messages import INGEST, Fate, IngestApi, Load, Result, Submitted
from keygrove.points import at_once, crash_point, sometimes
from keygrove.recon.around import Around
from keygrove.recon.batch import Received, Size, read_response
from keygrove.recon.hosts import host_of
from keygrove.recon.known import KNOWN, KnownApi, Note, Sift
from keygrove.recon.knownfile import Row, Why
from keygrove.recon.members import shown
from keygrove.recon.sessions import SALT_OCTETS
from keygrove.storage.write import Cause
from keygrove.telemetry.partners import Recovery as Told
from keygrove_actors import Actor, ActorError, Call, Cast, Ctx, on, on_cast
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.hashquery import REQUEST_TYPE, encode_request
from keygrove_protocols.recon.session import shuffled

WAITING_MAX: Final = 40_000
"""Digests; of more the rest comes in later sessions."""
BATCH_S: Final = 180.0
"""For one request and its answer; of SKS."""
BATCH_BYTES_MAX: Final = 16 << 20
"""Of an answer to several digests; then fewer are asked for."""
ONE_BYTES_MAX: Final = 65 << 20
"""Of an answer to one: the largest certificate that is read, and what is around it."""
CERTIFICATE_BYTES_MAX: Final = 64 << 20
LOAD_S: Final = 120.0
FAILURES_MAX: Final = 10
"""In a row: then all that waits is given up."""
PAUSE_S: Final = 1.0
"""Twice as long after each failure in a row."""
PAUSE_MAX_S: Final = 60.0
OK: Final = 200
NOWHERE: Final = "it does not say where it serves certificates: set `http` of the partner"


def recovery_name(partner: str) -> str:
    """The name of the actor that fetches from a partner."""
    return f"recon.recovery.{partner}"


class RecoveryApi:
    """The protocol of whoever fetches."""


class Lacking(Cast[RecoveryApi], frozen=True, tag=True):
    """These are lacking here; whoever says so has them at that URL."""

    digests: tuple[Digest, ...]
    url: str
    """Empty: nobody knows where."""


class RecoveryStatus(msgspec.Struct, frozen=True, tag=True):
    """How it stands; figures that only grow count from the actor's last start."""

    waiting: int
    results: dict[str, int]
    """See `telemetry.partners.Recovery`."""
    failures: int
    given_up: int
    """Digests, because there were too many, or their fetching failed too often."""
    bytes_in: int
    last_at: int | None
    """When the last batch came: seconds, UTC."""
    last_error: str
    """Of the last batch; empty if that came."""


class GetRecovery(Call[RecoveryApi, RecoveryStatus], frozen=True, tag=True):
    """How it stands: at once."""

    errors: ClassVar = ()


class Recovery(Actor[RecoveryApi]):
    """Fetches from one partner, a batch at a time."""

    _ctx: Ctx

    def __init__(self, partner: str, around: Around) -> None:
        self._partner = partner
        self._around = around
        self._offered: tuple[Digest, ...] = ()
        self._waiting: dict[Digest, None] = {}
        self._url = ""
        self._lifts = 0
        """Denials that had been ended here before what waits was found to be wanted."""
        self._size = Size()
        self._in_a_row = 0
        self._results: Counter[str] = Counter()
        self._failures = self._given_up = self._bytes_in = 0
        self._last_at: int | None = None
        self._last_error = ""

    async def init(self, ctx: Ctx) -> None:
        """Wait for something to fetch."""
        self._ctx = ctx
        self._more = anyio.Event()
        self._ingest = ctx.whereis(INGEST, IngestApi)
        self._known = ctx.whereis(KNOWN, KnownApi)
        self._router = Router(ctx.whereis, self._around.shards)
        ctx.start_soon(self._fetch_forever)

    @on_cast(Lacking)
    def lacking(self, message: Lacking) -> None:
        """The newest session knows best."""
        if not message.url:
            self._given_up += len(message.digests)
            self._account_for(Told(partner=self._partner, asked=0, failure=NOWHERE))
            return
        self._url = message.url
        sometimes("recon.learned")
        crash_point("recon.learned")
        # What is being fetched now is not lacking any more when that has come.
        self._offered = tuple(one for one in message.digests if one not in self._waiting)
        self._more.set()

    @on(GetRecovery)
    def status(self, _: GetRecovery) -> RecoveryStatus:
        """At once."""
        return RecoveryStatus(
            waiting=len(self._waiting) + len(self._offered),
            results=dict(self._results),
            failures=self._failures,
            given_up=self._given_up,
            bytes_in=self._bytes_in,
            last_at=self._last_at,
            last_error=self._last_error,
        )

    async def _fetch_forever(self) -> None:
        while True:
            if self._offered:
                offered = self._offered
                await self._wait_for(await self._wanted(offered))
                if self._offered is offered:
                    self._offered = ()
            elif self._waiting:
                await self._fetch_some()
            else:
                self._more = anyio.Event()
                await self._more.wait()

    async def _wanted(self, offered: tuple[Digest, ...]) -> tuple[Digest, ...]:
        """Those that did not bring nothing before."""
        try:
            statuses = await self._router.status()
            self._lifts = sum(status.counts.lifts for status in statuses)
            message = Sift(self._partner, offered, self._lifts)
            wanted = await self._known.call(message, timeout=LOAD_S)
        except ActorError:
            return offered  # they are fetched once more, then
        passed_over = len(offered) - len(wanted)
        if passed_over:
            sometimes("recon.passed_over")
            self._tell(Told(partner=self._partner, asked=0, results={"passed over": passed_over}))
        return wanted

    async def _wait_for(self, digests: tuple[Digest, ...]) -> None:
        """Put them behind those that wait, as far as there is room.

        In any order: those of which fetching fails, and all that is behind is given up, are others
        each time.
        """
        salt = self._around.ports.entropy.token(SALT_OCTETS)
        in_any_order = partial(shuffled, frozenset(digests) - self._waiting.keys(), salt)
        new = await self._around.ports.compute.run(in_any_order)
        room = max(WAITING_MAX - len(self._waiting), 0)
        self._waiting.update(dict.fromkeys(new[:room]))
        self._given_up += len(new[room:])

    async def _fetch_some(self) -> None:
        """One batch. What fails is tried again for some times, in smaller ones if that may help."""
        batch = tuple(self._waiting)[: at_once("recon.batch", self._size.now)]
        before = self._ctx.now()
        try:
            with anyio.fail_after(BATCH_S):
                told = await self._fetch(batch)
        except TimeoutError:
            told = self._failed(batch, f"no whole answer came within {BATCH_S:g} s")
        except UnreachableError as error:
            told = self._unreached(batch, str(error))
        except (ExchangeError, ProtocolError, ActorError, _NotTakenError) as error:
            told = self._failed(batch, str(error))
        told = msgspec.structs.replace(told, duration_s=self._ctx.now() - before)
        self._account_for(told)
        if told.failure:
            await anyio.sleep(min(PAUSE_S * 2**self._in_a_row, PAUSE_MAX_S))

    async def _fetch(self, batch: Sequence[Digest]) -> Told:
        url = self._url
        request = HttpRequest(
            url,
            encode_request(batch),
            REQUEST_TYPE,
            bytes_max=ONE_BYTES_MAX if len(batch) == 1 else BATCH_BYTES_MAX,
            bind=self._around.bind(host_of(url)),
        )
        reply = await self._around.ports.client.post(request)
        if reply.status != OK:
            raise _NotTakenError(f"{url} answered with status {reply.status}")
        work = partial(read_response, batch, reply.body, CERTIFICATE_BYTES_MAX)
        received = await self._around.ports.compute.run(work)
        crash_point("recon.asked")
        results, rows = await self._take(received)
        crash_point("recon.taken")
        if rows:
            with suppress(ActorError):  # what is not remembered is fetched once more
                note = Note(self._partner, tuple(rows), self._lifts)
                await self._known.call(note, timeout=LOAD_S)
            crash_point("recon.noted")
        for digest in batch:
            self._waiting.pop(digest, None)
        self._size.worked()
        self._in_a_row = 0
        return Told(
            partner=self._partner,
            asked=len(batch),
            bytes_in=len(reply.body),
            results={key: count for key, count in results.items() if count},
        )

    async def _take(self, received: Received) -> tuple[Counter[str], list[Row]]:
        """Have it taken in; what came of it, and what to remember."""
        results = Counter(absent=len(received.absent), unreadable=received.unreadable)
        rows = [Row(digest, Why.ABSENT) for digest in received.absent]
        if rows:
            sometimes("recon.absent")
        if not received.certificates:
            return results, rows
        load = Load(received.certificates, self._partner, Cause.RECON)
        reply = await self._ingest.call(load, timeout=LOAD_S)
        if not isinstance(reply, Submitted):
            raise _NotTakenError(f"it was not taken in here: {type(reply).__name__}")
        for fate in reply.fates:
            word, why = _meaning(fate)
            results[word] += 1
            if why is not None:
                rows.append(Row(received.digests[fate.at], why, fate.fingerprint))
        return results, await self._with_ours(rows)

    async def _with_ours(self, rows: Sequence[Row]) -> list[Row]:
        """With what partners are shown of the certificates that they are aliases of."""
        aliases = {row.fingerprint for row in rows if row.why is Why.ALIAS and row.fingerprint}
        if not aliases:
            return list(rows)
        found = await self._router.fetch_stored((), tuple(aliases), BATCH_BYTES_MAX)
        ours = {one.fingerprint: shown(one.fingerprint, one.digest) for one in found}
        return [
            msgspec.structs.replace(row, ours=ours.get(row.fingerprint))
            if row.why is Why.ALIAS and row.fingerprint
            else row
            for row in rows
        ]

    def _failed(self, batch: Sequence[Digest], why: str) -> Told:
        """It may be too much, or one of them: fewer are asked for."""
        self._size.failed()
        if len(batch) == 1:
            self._give_up(batch)
        return self._unreached(batch, why)

    def _unreached(self, batch: Sequence[Digest], why: str) -> Told:
        """Whatever is asked for, it fails: fewer would do no better."""
        self._in_a_row += 1
        if self._in_a_row >= FAILURES_MAX:
            self._give_up(tuple(self._waiting))
        return Told(partner=self._partner, asked=len(batch), failure=why)

    def _give_up(self, digests: Sequence[Digest]) -> None:
        for digest in digests:
            if digest in self._waiting:
                del self._waiting[digest]
                self._given_up += 1
        if not self._waiting:
            self._in_a_row = 0

    def _account_for(self, told: Told) -> None:
        self._failures += bool(told.failure)
        self._bytes_in += told.bytes_in
        self._last_error = told.failure
        if not told.failure:
            self._last_at = self._around.ports.clock.now()
        self._tell(told)

    def _tell(self, told: Told) -> None:
        self._results.update(told.results)
        self._around.watcher.recovery(told)


class _NotTakenError(Exception):
    """An answer could be had, and is of no use."""


def _meaning(fate: Fate) -> tuple[str, Why | None]:
    """What is told of a certificate, and why not to ask for it again."""
    match fate.result:
        case Result.INSERTED | Result.UPDATED:
            # Taken in less than whole, it has another digest here.
            return fate.result.value, Why.ALIAS if fate.dropped or fate.pruned else None
        case Result.IGNORED:
            return "known", Why.ALIAS
        case Result.INVALID if fate.error == "Denied":
            return "denied", Why.DENIED
        case Result.INVALID:
            return "refused", Why.REFUSED

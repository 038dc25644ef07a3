"""One target: sends it what changed here, a certificate at a time, and waits while it fails.

Where it is in the logs is written down when it has taken, or refused, what comes before: so it may
be sent something twice, and nothing is left out. What is sent of a certificate is what is held
when it is sent, so several changes cost one request.

A certificate that a target fails at for its own sake would keep all others waiting. So behind one
that it has no other word for than 500, another one is tried; and one at which it failed some times,
while it took others, counts as refused.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import anyio

from keygrove.asking import HttpRequest
from keygrove.cluster.router import Router
from keygrove.errors import ExchangeError, OutOfStepError
from keygrove.push.address import Names, address_of, host_in
from keygrove.push.around import Around
from keygrove.push.failover import LOOK_S, Failover
from keygrove.push.messages import (
    PLACES,
    GetTarget,
    LoadStanding,
    PlacesApi,
    SaveStanding,
    TargetApi,
    TargetStatus,
    Unreadable,
    WhenLost,
)
from keygrove.push.outbox import Outbox, Place, Standing, behind
from keygrove.push.verdict import Answered, Verdict, judged, pause_s
from keygrove.recon.gossip import GOSSIP, GossipApi
from keygrove.recon.pace import jittered
from keygrove.settings import PushTarget
from keygrove.storage.cache import Answer, Form
from keygrove.storage.logged import Logged
from keygrove.storage.messages import Starting
from keygrove.storage.write import Cause
from keygrove.telemetry.pushes import Pushed
from keygrove_actors import Actor, ActorError, Ctx, DeclaredError, on
from keygrove_protocols.openpgp.armor import armor

POLL_S: Final = 1.0
"""Between two looks for what is new."""
BETWEEN_S: Final = 0.25
"""Between two certificates: others use that server, too."""
REQUEST_S: Final = 60.0
ANSWER_BYTES_MAX: Final = 1 << 20
SUSPECT_TRIES: Final = 3
"""So often a certificate is tried that the target fails at while it takes others."""
SUSPECTS_MAX: Final = 1_000
ORIGINS_KEPT_S: Final = 86_400
"""Half of the time for which the log has each change: of older ones, others may be in them."""
NOTED_S: Final = 600
"""So often it is made durable up to which time a target has all, though nothing changes."""


class Target(Actor[TargetApi]):
    """Sends to one target."""

    _ctx: Ctx
    _standing: Standing | None

    def __init__(self, settings: PushTarget, names: Names, around: Around) -> None:
        self._settings = settings
        self._around = around
        self._address = address_of(settings.to)
        self._names = names
        sender = settings.sender or around.sender
        self._headers = {"pks-sender": sender} if sender else {}
        self._results: Counter[str] = Counter()
        self._suspects: dict[bytes, tuple[int, int]] = {}
        """Attempts at which it failed, and how many others it had taken before the first."""
        self._failures = 0
        self._retry_at: float | None = None
        self._is_standing_by = settings.when == "failover"
        self._last_taken: int | None = None
        self._last_error = self._last_refused = ""
        self._noted = 0

    async def init(self, ctx: Ctx) -> None:
        """Begin. Nobody is let in before a target that is new has its place."""
        self._ctx = ctx
        self._standing = None
        self._router = Router(ctx.whereis, self._around.shards)
        self._outbox = Outbox(self._router, self._around.shards)
        self._places = ctx.whereis(PLACES, PlacesApi)
        self._failover: Failover | None = None
        if self._settings.when == "failover":
            gossip = ctx.whereis(GOSSIP, GossipApi)
            self._failover = Failover(self._settings.partner or "", gossip, self._outbox)
        with suppress(ActorError):  # it is tried again, then, and told
            if await self._places.call(LoadStanding(self._settings.to)) is None:
                await self._take_place()
        ctx.start_soon(self._keep_sending)

    @on(GetTarget)
    async def status(self, _: GetTarget) -> TargetStatus:
        """With a look at how far the shards are."""
        retry_at = self._retry_at
        return TargetStatus(
            to=self._settings.to,
            when=self._settings.when,
            is_standing_by=self._is_standing_by,
            is_ready=self._standing is not None,
            lost_at=await self._lost_at(),
            lag=await self._lag(),
            results=dict(self._results),
            failures=self._failures,
            retry_in_s=None if retry_at is None else max(retry_at - self._ctx.now(), 0.0),
            last_taken=self._last_taken,
            last_error=self._last_error,
            last_refused=self._last_refused,
        )

    async def _lost_at(self) -> int | None:
        try:
            return await self._places.call(WhenLost(self._settings.to))
        except ActorError:
            return None

    async def _lag(self) -> int | None:
        try:
            newest = await self._outbox.newest()
        except ActorError:
            return None
        if self._standing is None:
            return None
        places = zip(newest, self._standing.places, strict=True)
        return sum(last - place.after for last, place in places)

    async def _keep_sending(self) -> None:
        while True:
            try:
                await self._turn()
            except (ActorError, OutOfStepError) as error:
                self._last_error = _worded(error)
                self._standing = None
                await anyio.sleep(POLL_S)

    async def _turn(self) -> None:
        """Send what there is, and wait a moment."""
        if self._standing is None:
            await self._take_place()
        if self._failover is not None:
            look = await self._failover.look(self._around.ports.clock.now())
            self._is_standing_by = not look.is_failing
            if look.has is not None:
                await self._save(look.has, is_synced=True)
            if not look.is_failing:
                await anyio.sleep(LOOK_S)
                return
        before = self._around.ports.clock.now()
        newest = await self._outbox.newest()
        has_all = True
        for shard, change in enumerate(newest):
            has_all &= await self._send_some(shard, change)
        if has_all:
            await self._note_time(before)
        await anyio.sleep(POLL_S if has_all else 0.0)

    async def _take_place(self) -> None:
        await self._save(await self._begin(), is_synced=True)
        self._last_error = ""

    async def _begin(self) -> Standing:
        """Where it was left off; at the end of the logs for a target that is new."""
        known = await self._places.call(LoadStanding(self._settings.to))
        if known is None:
            return await self._outbox.present(self._around.ports.clock.now())
        return await self._outbox.resumed(known)

    async def _save(self, standing: Standing, *, is_synced: bool = False) -> None:
        self._standing = standing
        if is_synced:
            self._noted = standing.as_of
        await self._places.call(SaveStanding(self._settings.to, standing, is_synced))

    async def _note_time(self, now: int) -> None:
        """It has all that was changed by then."""
        assert self._standing is not None
        self._standing = Standing(self._standing.places, now)
        if abs(now - self._noted) >= NOTED_S:  # or the clock was ahead, and is not any more
            await self._save(self._standing, is_synced=True)

    async def _send_some(self, shard: int, newest: int) -> bool:
        """A page of one shard's log; whether that was all, and nothing of it has to wait."""
        assert self._standing is not None
        place = self._standing.places[shard]
        if place == Place(newest):
            return True
        entries = await self._outbox.read(shard, place)
        if entries:
            await self._send_page(shard, entries)
        else:
            self._standing = self._standing.moved(shard, Place(max(newest, place.after)))
        await self._save(self._standing)
        return not entries

    async def _send_page(self, shard: int, entries: Sequence[Logged]) -> None:
        """Each certificate once. Behind one that it fails at others are tried, and it stays."""
        newest = {entry.fingerprint: entry for entry in entries}
        sent: set[bytes] = set()
        suspect: Answered | None = None
        for entry in entries:
            name, answered = entry.fingerprint, None
            if name not in sent and self._is_wanted(entry, newest[name]):
                sent.add(name)
                answered = await self._send(entry)
            if answered is not None and answered.verdict is Verdict.FAILED:
                if suspect is not None or not answered.may_be_its_own:
                    await self._pause(answered)
                    return
                suspect = answered
            if suspect is None:
                await self._advance(shard, entry, has_sent=answered is not None)
        if suspect is not None:
            await self._pause(suspect)

    async def _advance(self, shard: int, entry: Logged, *, has_sent: bool) -> None:
        assert self._standing is not None
        self._standing = self._standing.moved(shard, behind(entry))
        if has_sent:
            await self._save(self._standing)

    def _is_wanted(self, entry: Logged, newest: Logged) -> bool:
        """Whether the target may lack what a change brought."""
        if not newest.is_put:
            self._results["gone"] += 1
            return False
        if self._came_from_it(entry):
            self._results["passed over"] += 1
            return False
        return True

    def _came_from_it(self, entry: Logged) -> bool:
        if self._around.ports.clock.now() - entry.at > ORIGINS_KEPT_S:
            return False
        if entry.cause is Cause.RECON:
            return entry.origin in self._names.partners
        if entry.cause is not Cause.UPLOAD or not entry.origin:
            return False
        return not self._names.senders.isdisjoint({entry.origin.lower(), host_in(entry.origin)})

    async def _send(self, entry: Logged) -> Answered | None:
        """What is held now; None if there is nothing to be sent."""
        answer = await self._router.fetch(entry.fingerprint, Form.BINARY)
        if not isinstance(answer, Answer) or answer.body is None:
            self._results["gone"] += 1
            return None
        before = self._ctx.now()
        packets = answer.body
        body = await self._around.ports.compute.run(lambda: self._address.body(armor(packets)))
        answered = self._suspected(entry, await self._post(body))
        self._account_for(entry, answered, len(body), self._ctx.now() - before)
        await anyio.sleep(jittered(BETWEEN_S, self._around.ports.entropy))
        return answered

    async def _post(self, body: bytes) -> Answered:
        address = self._address
        request = HttpRequest(
            address.url, body, address.content_type, ANSWER_BYTES_MAX, headers=self._headers
        )
        try:
            with anyio.fail_after(REQUEST_S):
                reply = await self._around.ports.client.post(request)
        except TimeoutError:
            return Answered(Verdict.FAILED, f"no whole answer came within {REQUEST_S:g} s")
        except ExchangeError as error:
            return Answered(Verdict.FAILED, str(error))
        return judged(reply, self._around.ports.clock.now())

    def _suspected(self, entry: Logged, answered: Answered) -> Answered:
        """If the target fails at a certificate again and again, and takes others: it refuses it."""
        name = entry.fingerprint
        if not answered.may_be_its_own:
            self._suspects.pop(name, None)
            return answered
        taken = self._results["taken"]
        tries, taken_before = self._suspects.get(name, (0, taken))
        if tries + 1 >= SUSPECT_TRIES and taken > taken_before:
            del self._suspects[name]
            return Answered(Verdict.REFUSED, answered.why)
        if name in self._suspects or len(self._suspects) < SUSPECTS_MAX:
            self._suspects[name] = tries + 1, taken_before
        return answered

    def _account_for(self, entry: Logged, answered: Answered, octets: int, took_s: float) -> None:
        name = entry.fingerprint.hex()
        self._results[answered.verdict.value] += 1
        if answered.verdict is Verdict.FAILED:
            self._failures += 1
            self._last_error = answered.why
        else:
            self._failures, self._last_error = 0, ""
        if answered.verdict is Verdict.TAKEN:
            self._last_taken = self._around.ports.clock.now()
        if answered.verdict is Verdict.REFUSED:
            self._last_refused = f"{name}: {answered.why}"
        told = Pushed(
            target=self._settings.to,
            result=answered.verdict.value,
            fingerprint=name,
            octets=octets,
            duration_s=took_s,
            why=answered.why,
            failures=self._failures,
        )
        self._around.watcher.pushed(told)

    async def _pause(self, answered: Answered) -> None:
        """Leave it alone for a while."""
        wanted_s = pause_s(max(self._failures, 1), answered.after_s)
        paused_s = jittered(wanted_s, self._around.ports.entropy)
        if answered.after_s is not None:
            paused_s = max(paused_s, answered.after_s)
        self._retry_at = self._ctx.now() + paused_s
        await anyio.sleep(paused_s)
        self._retry_at = None


def _worded(error: ActorError | OutOfStepError) -> str:
    """Why it is not known what is to be sent; that a shard is being brought up is no error."""
    why = str(error)
    if isinstance(error, DeclaredError) and isinstance(error.failure, Starting):
        return ""
    if isinstance(error, DeclaredError) and isinstance(error.failure, Unreadable):
        why = f"{error.failure.why}: make push.db a file that the server may read and write"
    return f"it is not known what is to be sent: {why}"

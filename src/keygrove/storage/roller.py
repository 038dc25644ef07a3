"""Carries a shard's rollbacks out, and their undos: in small commits, between those of others.

A rollback that was begun is in the heap with the state that it began from, so that whatever
stops the shard, the next start goes on with it. Looking at a certificate a second time changes
nothing, so it begins anew with the first.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeAlias

import anyio
import msgspec

from keygrove.errors import DamagedError, DiskFullError, HistoryError
from keygrove.points import at_once, crash_point, sometimes
from keygrove.storage.committer import Keep, Means
from keygrove.storage.cursor import Cursor
from keygrove.storage.logged import Logged
from keygrove.storage.messages import Concerns, Failed, NoSpace, Rehearse, Roll, Unknown
from keygrove.storage.rollback import Before, Rehearsal, Rollback, Stage, Toll
from keygrove.storage.rolling import Plan, Rules, are_concerned, plan, plan_undo
from keygrove.storage.store import CertificateStore
from keygrove.storage.waiting import Waiting
from keygrove.storage.write import Cause
from keygrove_actors import ReplyTo
from keygrove_protocols.openpgp.keys import Fingerprint

CHUNK = 256
"""Certificates in one commit: merges wait for no more than that."""
PAGE = 1_024
"""Entries of the change log that are looked through at once."""
RETRY_S = 5.0
"""Pause after the disk was full."""
TOLD_MAX = 1_000
"""Entangled certificates that a rehearsal names."""
ROLLS_MAX = 16
"""Requests that wait for a rollback to be done."""

Work: TypeAlias = Callable[[Keep], Awaitable[None]]


class Between(Protocol):
    """Does a piece of work between two commits of others, and returns when it is done."""

    async def __call__(self, work: Work) -> None:
        """Do it.

        Raises:
            DiskFullError: it could not be committed.
        """
        ...


class RollRequest(msgspec.Struct, frozen=True):
    """What is asked of the rollbacks, and whom to tell."""

    message: Roll | Rehearse | Concerns
    reply_to: ReplyTo[Any]


class Roller:
    """See the module."""

    def __init__(
        self, means: Means, between: Between, *, on_damage: Callable[[DamagedError], None]
    ) -> None:
        self._means = means
        self._between = between
        self._on_damage = on_damage

    async def serve(self, store: CertificateStore, requests: Waiting[RollRequest]) -> None:
        """Finish what was begun before, then do what is asked, one after the other."""
        try:
            await self._resume(store)
        except DamagedError as error:
            self._on_damage(error)
        while True:
            (request,) = await requests.take(1)
            try:
                await self._answer(store, request)
            except DamagedError as error:
                self._on_damage(error)
                request.reply_to.send(Failed())

    async def _resume(self, store: CertificateStore) -> None:
        for rollback in await store.history.rollbacks():
            if rollback.is_due:
                sometimes("rollback.resumed")
                await self._finish(store, rollback)

    async def _answer(self, store: CertificateStore, request: RollRequest) -> None:
        """Do what is asked.

        Raises:
            DamagedError: what has to be read for the answer is not what was written.
        """
        known = {one.name: one for one in await store.history.rollbacks()}
        wanted = _wanted(request.message.rollback, known)
        if wanted is None:
            request.reply_to.send(Unknown())
        elif isinstance(request.message, Concerns):
            request.reply_to.send(await self.concerns(store, wanted))
        elif isinstance(request.message, Rehearse):
            request.reply_to.send(await self.rehearse(store, wanted))
        else:
            is_over = wanted == known.get(wanted.name) and not wanted.is_due
            await self._roll(store, wanted, request.reply_to, is_over=is_over)

    async def _roll(
        self, store: CertificateStore, wanted: Rollback, reply_to: ReplyTo[Any], *, is_over: bool
    ) -> None:
        if is_over:
            reply_to.send(wanted)
            return
        try:
            await self.begin(wanted)
        except DiskFullError:
            reply_to.send(NoSpace())
        else:
            reply_to.send(wanted)
            if wanted.is_due:
                await self._finish(store, wanted)

    async def _finish(self, store: CertificateStore, rollback: Rollback) -> None:
        """Carry it out, unless damage is in the way: then it is tried again at the next start."""
        try:
            await self.carry_out(store, rollback)
        except DamagedError as error:
            self._on_damage(error)

    async def rehearse(self, store: CertificateStore, rollback: Rollback) -> Rehearsal:
        """Look what it would come to; nothing is written."""
        toll, entangled, brought = Toll(), list[Fingerprint](), Counter[str]()
        concerned = _Concerned(store, rollback)
        while names := await concerned.next():
            made = await self._plan(store, names, rollback)
            toll += made.toll
            entangled += made.entangled[: TOLD_MAX - len(entangled)]
            brought += made.brought
        return Rehearsal(toll, tuple(entangled), dict(brought.most_common(TOLD_MAX)))

    async def concerns(self, store: CertificateStore, rollback: Rollback) -> bool:
        """Look whether there is anything to take back; damage is told of by who does it."""
        concerned = _Concerned(store, rollback)
        try:
            while names := await concerned.next():
                if await are_concerned(store, names, rollback.selector):
                    return True
        except DamagedError:
            return True
        return False

    async def begin(self, rollback: Rollback) -> None:
        """Have it in the heap: from then on it is carried out, whatever happens.

        Raises:
            DiskFullError: it is not.
        """

        async def work(keep: Keep) -> None:
            await keep(marks=[rollback])

        await self._between(work)
        crash_point("rollback.begun")

    async def carry_out(self, store: CertificateStore, rollback: Rollback) -> Rollback:
        """Do what is left of it; returns it as it stands then."""
        toll = rollback.toll
        concerned = _Concerned(store, rollback)
        while names := await concerned.next():
            current = msgspec.structs.replace(rollback, toll=toll)
            toll = await self._until_there_is_room(store, names, current)
            crash_point("rollback.chunk")
        is_undo = rollback.stage is Stage.UNDOING
        stage = Stage.UNDONE if is_undo else Stage.DONE
        at = self._means.clock.now()
        ended = msgspec.structs.replace(rollback, stage=stage, toll=toll, at=at)

        async def work(keep: Keep) -> None:
            await keep(marks=[ended])

        while True:
            try:
                await self._between(work)
            except DiskFullError:
                await anyio.sleep(RETRY_S)
            else:
                return ended

    async def _until_there_is_room(
        self, store: CertificateStore, names: Sequence[Fingerprint], rollback: Rollback
    ) -> Toll:
        """Do it for these certificates, and return the toll with theirs."""
        tolls: list[Toll] = []

        async def work(keep: Keep) -> None:
            made = await self._plan(store, names, rollback)
            toll = rollback.toll + made.toll
            if made.writes or made.redactions:
                mark = msgspec.structs.replace(rollback, toll=toll)
                await keep(made.writes, redactions=made.redactions, marks=[mark])
            tolls.append(toll)

        while not tolls:
            try:
                await self._between(work)
            except DiskFullError:
                await anyio.sleep(RETRY_S)
        return tolls[0]

    async def _plan(
        self, store: CertificateStore, names: Sequence[Fingerprint], rollback: Rollback
    ) -> Plan:
        """What is to be written for these; one that is damaged costs no other."""
        rules = Rules(self._means.compute, self._means.policy, self._means.clock.now())
        of = plan_undo if rollback.stage is Stage.UNDOING else plan
        try:
            return await of(store, names, rollback, rules)
        except HistoryError:
            # Some of what they were was dropped meanwhile: what there is now is the log.
            return await self._plan(store, names, rollback)
        except DamagedError as error:
            if len(names) == 1:
                self._on_damage(error)
                return Plan(toll=Toll(damaged=1))
        whole = Plan()
        for name in names:
            whole.add(await self._plan(store, [name], rollback))
        return whole


def _wanted(asked: Rollback, known: dict[str, Rollback]) -> Rollback | None:
    """What to carry out for what is asked; None if that cannot be."""
    there = known.get(asked.name)
    match asked.stage:
        case Stage.PREPARED if there is None:
            return asked
        case Stage.RUNNING if there is None or there.stage is Stage.PREPARED:
            return msgspec.structs.replace(there or asked, stage=asked.stage, at=asked.at)
        case Stage.PREPARED | Stage.RUNNING:
            return there
        case Stage.UNDOING if there is not None and there.stage in {Stage.PREPARED, Stage.DONE}:
            before = Before(there.toll, there.at)
            return msgspec.structs.replace(
                there, stage=asked.stage, toll=Toll(), at=asked.at, before=before
            )
        case Stage.UNDOING if there is not None and there.stage is Stage.UNDONE:
            return there
        case _:
            return None


class _Concerned:
    """The certificates that a rollback may concern, each once or more often."""

    def __init__(self, store: CertificateStore, rollback: Rollback) -> None:
        self._history = store.history
        self._rollback = rollback
        self._is_undo = rollback.stage is Stage.UNDOING
        selector = rollback.selector
        # What it did came behind all that it was about.
        self._after = selector.until if self._is_undo else selector.after
        self._until = store.head().change if self._is_undo else selector.until
        self._cursor: Cursor | None = None
        listed = None if self._is_undo else selector.names
        self._left = sorted(listed or ())
        self._is_over = listed is not None

    async def next(self) -> list[Fingerprint]:
        """Some of them; none at the end."""
        while not self._left and not self._is_over:
            page = await self._history.log(self._cursor, PAGE, after=self._after, until=self._until)
            self._left = sorted({one.fingerprint for one in page.entries if self._is_meant(one)})
            self._cursor = page.cursor
            self._is_over = page.cursor is None
        step = at_once("rollback.chunk", CHUNK)
        names, self._left = self._left[:step], self._left[step:]
        return names

    def _is_meant(self, one: Logged) -> bool:
        if self._is_undo:
            return one.cause is Cause.ROLLBACK and one.origin == self._rollback.name
        return self._rollback.selector.takes(one)

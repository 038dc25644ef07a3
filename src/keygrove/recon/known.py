"""What partners have that brought nothing here, so that it is not fetched again and again.

A partner's digest of a certificate may differ from ours for good: it holds what our policy leaves
out, or what is denied here, or it has cleaned what we have not (recon.md §10.1; storage.md §7).
Each session would find it lacking. So each such digest is remembered, with the partner that has
it, until the policy changes, or some weeks have passed: what stands against it may be gone then.
Digests that were asked for and did not come are left alone for longer and longer. What is known to
be in the way of the two sets' being one is taken into account in what that partner is shown: see
`views`. Where all that is kept: see `knownfile`.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import ClassVar, Final

from blake3 import blake3

from keygrove.errors import DiskFullError, StoreError
from keygrove.ports import Clock, Databases, SqlDatabase
from keygrove.recon import knownfile
from keygrove.recon.around import Watcher
from keygrove.recon.knownfile import FILE, NOTHING, Recalled, Row, Why
from keygrove_actors import Actor, Call, Cast, Ctx, Normal, Reason, Shutdown, on, on_cast
from keygrove_protocols.openpgp.keys import Digest, Fingerprint

KNOWN: Final = "recon.known"
"""The name of the actor."""
CHECKPOINT_ROWS: Final = 5_000


class KnownApi:
    """The protocol of whoever remembers."""


class Sift(Call[KnownApi, tuple[Digest, ...]], frozen=True, tag=True):
    """Those among a partner's digests that are worth asking for.

    `lifts` is how many denials have been ended here by now.
    """

    errors: ClassVar = ()
    partner: str
    digests: tuple[Digest, ...]
    lifts: int


class Note(Call[KnownApi, None], frozen=True, tag=True):
    """Remember these of a partner; `lifts` as for `Sift`, before it was found out."""

    errors: ClassVar = ()
    partner: str
    rows: tuple[Row, ...]
    lifts: int


class Forget(Cast[KnownApi], frozen=True, tag=True):
    """A partner has these no more, or they stand for what has changed here."""

    partner: str
    digests: tuple[Digest, ...]


class Recall(Call[KnownApi, Recalled], frozen=True, tag=True):
    """What is known of a partner's set; `lifts` as for `Sift`."""

    errors: ClassVar = ()
    partner: str
    lifts: int


class WhoseAre(Call[KnownApi, tuple[Fingerprint, ...]], frozen=True, tag=True):
    """The certificates that these digests are aliases of, whichever partner has them."""

    errors: ClassVar = ()
    digests: tuple[Digest, ...]


class Known(Actor[KnownApi]):
    """Remembers. The file is opened when it is first needed."""

    _ctx: Ctx
    _file: SqlDatabase | None

    def __init__(self, databases: Databases, clock: Clock, policy: bytes, watcher: Watcher) -> None:
        """Remember what is so under a policy, which `policy` is the octets of."""
        self._databases = databases
        self._clock = clock
        self._watcher = watcher
        self._policy = blake3(policy).digest(16)
        self._written = 0

    async def init(self, ctx: Ctx) -> None:
        """Open nothing yet."""
        self._ctx = ctx
        self._file = None

    async def terminate(self, reason: Reason) -> None:
        """At an orderly end, leave no log behind, be it of a life before this one."""
        if not isinstance(reason, Normal | Shutdown):
            return
        with suppress(DiskFullError, StoreError):  # it is read as well with its log
            if self._file is not None:
                await self._file.run(knownfile.checkpoint)
            elif await self._databases.holds(f"{FILE}-wal"):
                async with self._databases.open(FILE) as db:
                    await db.run(knownfile.checkpoint)

    @on(Sift)
    async def sift(self, message: Sift) -> tuple[Digest, ...]:
        """In one look into the file for all of them."""
        if not message.digests:
            return ()
        db = await self._opened()
        if db is None:
            return message.digests
        await db.run(partial(knownfile.heed_lifts, message.lifts))
        known_of = partial(knownfile.known_of, self._policy, self._clock.now())
        known = await db.run(partial(known_of, message.partner, message.digests))
        return tuple(digest for digest in message.digests if digest not in known)

    @on(Note)
    async def note(self, message: Note) -> None:
        """In one transaction."""
        if not message.rows:
            return
        db = await self._opened()
        if db is None:
            return
        rows = message.rows
        if await db.run(knownfile.heeded) not in {None, message.lifts}:
            rows = tuple(row for row in rows if row.why is not Why.DENIED)  # it may not be now
        note = partial(knownfile.note, self._policy, self._clock.now())
        await db.run(partial(note, message.partner, rows))
        self._written += len(message.rows)
        if self._written >= CHECKPOINT_ROWS:
            await db.run(knownfile.checkpoint)
            self._written = 0

    @on_cast(Forget)
    async def forget(self, message: Forget) -> None:
        """In one transaction."""
        db = await self._existing()
        if db is not None:
            await db.run(partial(knownfile.forget, message.partner, message.digests))

    @on(Recall)
    async def recall(self, message: Recall) -> Recalled:
        """From the file, if there is one."""
        db = await self._existing()
        if db is None:
            return NOTHING
        await db.run(partial(knownfile.heed_lifts, message.lifts))
        recall = partial(knownfile.recall, self._policy, self._clock.now())
        return await db.run(partial(recall, message.partner))

    @on(WhoseAre)
    async def whose_are(self, message: WhoseAre) -> tuple[Fingerprint, ...]:
        """From the file, if there is one."""
        db = await self._existing()
        if db is None:
            return ()
        whose = partial(knownfile.whose, self._policy, self._clock.now())
        return await db.run(partial(whose, message.digests))

    async def _existing(self) -> SqlDatabase | None:
        """None where nothing was ever remembered."""
        if self._file is None and not await self._databases.holds(FILE):
            return None
        return await self._opened()

    async def _opened(self) -> SqlDatabase | None:
        """None where nothing can be written: then all is fetched that is lacking."""
        if self._file is None and not await self._databases.is_read_only():
            self._file = await self._open()
        return self._file

    async def _open(self) -> SqlDatabase:
        try:
            return await self._ctx.enter(_prepared(self._databases))
        except StoreError as error:
            self._watcher.memory_lost(str(error))
            await self._databases.remove(FILE)
            return await self._ctx.enter(_prepared(self._databases))


@asynccontextmanager
async def _prepared(databases: Databases) -> AsyncGenerator[SqlDatabase, None]:
    async with databases.open(FILE) as db:
        await db.run(knownfile.prepare)
        yield db

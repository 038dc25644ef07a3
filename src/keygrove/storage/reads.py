"""What a shard answers from its cache's other side: look-ups that need the disk, in batches."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias, assert_never

import anyio
import msgspec

from keygrove.errors import DamagedError, StartingError, TooBroadError
from keygrove.points import buggify, sometimes
from keygrove.ports import Compute
from keygrove.storage.cache import Answer, Cache, Form, Listing, Reading
from keygrove.storage.forms import serve_form
from keygrove.storage.gathering import gathered
from keygrove.storage.messages import (
    Failed,
    Fetch,
    FetchStored,
    Find,
    GetRollbacks,
    GetStatus,
    Outdated,
    Rollbacks,
    Search,
    ShardStatus,
    Sources,
    Starting,
    Stored,
    TooBroad,
    Trace,
    Traced,
)
from keygrove.storage.proofs import Pins
from keygrove.storage.store import CertificateStore, Opening
from keygrove.storage.turn import SLICE_BYTES, Turn
from keygrove.storage.version import Version
from keygrove_actors import ReplyTo
from keygrove_protocols.openpgp.keys import Fingerprint

LINGER_S = 0.05
"""As the disk may have it at any time."""

LookUp: TypeAlias = Find | Search | Sources | FetchStored | Trace | GetRollbacks
"""What only a store that is up can answer."""


LookedUp: TypeAlias = (
    tuple[Fingerprint, ...]
    | tuple[bytes | None, ...]
    | tuple[Stored, ...]
    | Traced
    | Outdated
    | Failed
    | Rollbacks
)


class ReadRequest(msgspec.Struct, frozen=True):
    """A look-up and whom to tell."""

    message: Fetch | LookUp | GetStatus
    reply_to: ReplyTo[Any]


class Reads:
    """Answers look-ups, and puts what it found into the cache."""

    def __init__(
        self,
        cache: Cache,
        answers: Compute,
        *,
        on_fault: Callable[[str, Exception], None],
        on_damage: Callable[[DamagedError], None],
    ) -> None:
        self._cache = cache
        self._answers = answers
        self._on_fault = on_fault
        self._on_damage = on_damage
        self.pins = Pins()

    async def answer(
        self,
        reads: Sequence[ReadRequest],
        store: CertificateStore | None,
        opening: Opening,
        status: Callable[[], ShardStatus],
    ) -> None:
        """Answer all of them, from a store that is up or being brought up; the quick ones first."""
        fetches = [
            (read.message, read.reply_to) for read in reads if isinstance(read.message, Fetch)
        ]
        with self._cache.reading() as reading:
            await self._fetch(opening if store is None else store, fetches, reading)
            for read in reads:
                if isinstance(read.message, GetStatus):
                    read.reply_to.send(status())
                elif isinstance(read.message, Fetch):
                    pass  # answered
                elif store is None:
                    read.reply_to.fail(Starting())
                else:
                    try:
                        read.reply_to.send(await self._look_up(store, read.message, reading))
                    except TooBroadError:
                        read.reply_to.fail(TooBroad())

    async def _look_up(
        self, store: CertificateStore, message: LookUp, reading: Reading
    ) -> LookedUp:
        match message:
            case Find(term, limit):
                (names,) = await store.find([term], limit)
                self._cache.put_listing(reading, Listing(term, limit, names))
                return names
            case Search(words, limit):
                return await store.search(words, limit)
            case Sources(fingerprints):
                return tuple(await store.sources(fingerprints))
            case FetchStored():
                return await gathered(store, message, self._on_damage)
            case Trace():
                return await self._trace(store, message)
            case GetRollbacks():
                return await self._rollbacks(store)
            case _:
                assert_never(message)

    async def _rollbacks(self, store: CertificateStore) -> Rollbacks | Failed:
        try:
            return Rollbacks(tuple(await store.history.rollbacks()))
        except DamagedError as error:
            self._on_damage(error)
            return Failed()

    async def _trace(self, store: CertificateStore, message: Trace) -> Traced | Outdated | Failed:
        try:
            return await self.pins.trace(store, message)
        except DamagedError as error:
            self._on_damage(error)
            return Failed()

    async def _fetch(
        self,
        store: CertificateStore | Opening,
        fetches: Sequence[tuple[Fetch, ReplyTo[Any]]],
        reading: Reading,
    ) -> None:
        if not fetches:
            return
        try:
            versions = await store.get([message.fingerprint for message, _ in fetches])
        except StartingError:
            for _, reply_to in fetches:
                reply_to.fail(Starting())
            return
        except DamagedError as error:
            await self._fetch_one_by_one(store, fetches, reading, error)
            return
        if buggify("shard.linger"):
            await anyio.sleep(LINGER_S)
        turn = Turn()
        for (message, reply_to), version in zip(fetches, versions, strict=True):
            if version is None:
                self._cache.put_absent(reading, message.fingerprint)
                reply_to.send(None)
            else:
                reply_to.send(await self._dress(version, message.form, reading))
                await turn.spend(len(version.packets))

    async def _fetch_one_by_one(
        self,
        store: CertificateStore | Opening,
        fetches: Sequence[tuple[Fetch, ReplyTo[Any]]],
        reading: Reading,
        error: DamagedError,
    ) -> None:
        """A damaged page costs those certificates that lie on it, not the shard."""
        if len(fetches) == 1:
            self._on_damage(error)
            fetches[0][1].send(Failed())
            return
        for fetch in fetches:
            await self._fetch(store, [fetch], reading)

    async def _dress(self, version: Version, form: Form, reading: Reading) -> Answer | Failed:
        """Make the bytes to serve, and keep them unless the certificate changed meanwhile."""
        try:
            dress = partial(serve_form, version.packets, form)
            is_large = len(version.packets) > SLICE_BYTES
            body = await self._answers.run(dress) if is_large else dress()
        except Exception as error:  # noqa: BLE001 - a bug that one certificate meets must not stop the shard for all others
            self._on_fault("serve", error)
            return Failed()
        answer = Answer(version.fingerprint, version.digest, version.change, body)
        if not self._cache.put(reading, form, answer):
            sometimes("shard.invalidated")
        return answer

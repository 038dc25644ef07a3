"""What administrators ask of a shard: what it does, that it is recorded, that it is done once."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from keygrove.errors import DiskFullError
from keygrove.storage.absorb import Outcome
from keygrove.storage.audit import Action, Effect, Record
from keygrove.storage.cache import Answer, Form
from keygrove.storage.committer import Means
from keygrove.storage.memory import MemoryStore
from keygrove.storage.messages import (
    Administered,
    Allow,
    Deny,
    Fetch,
    Find,
    GetStatus,
    Merge,
    Merged,
    NoSpace,
    Order,
    Redact,
    Replace,
    Replayed,
    Search,
    ShardApi,
    Unredact,
)
from keygrove.storage.opening import Home, open_store
from keygrove.storage.shard import OpenStore, Shard
from keygrove.storage.store import CertificateStore, Opening
from keygrove.storage.term import Term, TermKind
from keygrove.storage.write import Denial
from keygrove.system.sqlite import SqliteFiles
from keygrove_actors import ChildSpec, Ref, SupSpec, run
from keygrove_chaos.certificates import binary, candidate_of, digest_of, made, put_of
from keygrove_chaos.node import InlineCompute, LoopClock
from keygrove_chaos.stores import HookedStore, Notes, finished
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.merge import merge
from keygrove_protocols.openpgp.policy import VERIFIED
from keygrove_protocols.openpgp.redaction import user_id_hash
from tests.loops import Backend, virtual_trio

pytestmark = pytest.mark.anyio

ALICE, BOB = made(1, "Alice <a@x.example>"), made(1, "Bob")
CAROL, OTHER = made(1, "Carol"), made(2, "Other")
REDACTED = frozenset({user_id_hash(b"Alice <a@x.example>")})
NAME = fingerprint(ALICE)
ADMIN = Fingerprint(b"admin" * 4)
LIMIT_S = 60.0


@pytest.fixture(params=["memory on trio", "sqlite on asyncio"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def anyio_backend(kind: str) -> Backend:
    return virtual_trio() if kind == "memory on trio" else ("asyncio", {})


@pytest.fixture
def open_it(kind: str, tmp_path: Path) -> OpenStore:
    if kind == "memory on trio":
        return MemoryStore().opened
    home = Home("shard-0", "0/1", bytes(16))
    return partial(open_store, SqliteFiles(tmp_path), home, anyio.Semaphore(1), durable=False)


class _HookedOpening:
    """Of one store that a test may hold or fail."""

    def __init__(self, opening: Opening, subject: "Subject") -> None:
        self._opening = opening
        self._subject = subject
        self.progress = opening.progress
        self.head = opening.head
        self.get = opening.get

    async def finish(self) -> CertificateStore:
        """See `store.Opening`."""
        return HookedStore(await self._opening.finish(), before=self._subject.before)


class Subject:
    """A running shard, and what an administrator and others ask of it."""

    def __init__(self, open_it: OpenStore) -> None:
        self._open_it = open_it
        self.notes = Notes()
        self.held: anyio.Event | None = None
        """A commit waits for it."""
        self.reached = anyio.Event()
        self.is_full = False
        self.ref: Ref[ShardApi]

    async def before(self, operation: str) -> None:
        if operation == "commit" and self.held is not None:
            self.reached.set()
            await self.held.wait()
        if operation == "commit" and self.is_full:
            raise DiskFullError("heap.db")

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Opening, None]:
        async with self._open_it() as opening:
            yield _HookedOpening(opening, self)

    async def merge(self, certificate: Certificate) -> Outcome:
        merged = await self.ref.call(Merge(candidate_of(certificate)))
        assert isinstance(merged, Merged)
        return merged.outcome

    async def body(self, certificate: Certificate) -> bytes | None:
        answer = await self.ref.call(Fetch(fingerprint(certificate), Form.BINARY))
        return answer.body if isinstance(answer, Answer) else None

    async def deny(self, nonce: bytes = b"deny", of: Fingerprint = NAME) -> object:
        return await self.ref.call(Deny(of, order(nonce)))

    async def allow(self, nonce: bytes = b"allow") -> object:
        return await self.ref.call(Allow(NAME, order(nonce)))

    async def redact(self, nonce: bytes = b"redact") -> object:
        return await self.ref.call(Redact(NAME, REDACTED, order(nonce)))

    async def unredact(self, nonce: bytes = b"unredact") -> object:
        return await self.ref.call(Unredact(NAME, REDACTED, order(nonce)))

    async def replace(self, by: Certificate, nonce: bytes = b"replace") -> object:
        return await self.ref.call(Replace(NAME, put_of(by), order(nonce)))


def order(nonce: bytes) -> Order:
    return Order(ADMIN, "asked for by its owner", nonce)


@asynccontextmanager
async def running(open_it: OpenStore) -> AsyncGenerator[Subject, None]:
    subject = Subject(open_it)
    start = partial(
        Shard,
        subject.open,
        Means(LoopClock(), InlineCompute(), InlineCompute(), VERIFIED),
        cache_bytes=1 << 20,
        watcher=subject.notes,
    )
    child = ChildSpec("shard-0", start, name="shard-0")
    with anyio.fail_after(LIMIT_S):
        async with run(SupSpec(children=(child,))) as runtime:
            subject.ref = runtime.whereis("shard-0", ShardApi)
            yield subject


@pytest.fixture
def shard(open_it: OpenStore) -> AbstractAsyncContextManager[Subject]:
    return running(open_it)


async def log(open_it: OpenStore) -> list[tuple[Action, Effect, bytes]]:
    """The audit log of a shard that does not run any more."""
    async with finished(open_it()) as store:
        records = (await store.audit(None, 100)).records
        assert all((one.by, one.reason) == (ADMIN, order(b"").reason) for one in records)
        return [(one.action, one.effect, one.nonce) for one in records]


async def test_what_is_denied_goes_at_once_and_is_not_taken_again(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    async with shard as subject:
        await subject.merge(ALICE)
        assert await subject.body(ALICE) == binary([ALICE])
        assert await subject.deny() == Administered(Effect.DONE, 2)
        assert await subject.body(ALICE) is None
        term = Term(TermKind.ADDRESS, b"a@x.example")
        assert await subject.ref.call(Find(term, 5)) == ()
        assert await subject.ref.call(Search(frozenset({"alice"}), 5)) == ()
        assert await subject.merge(BOB) is Outcome.DENIED
        assert await subject.merge(OTHER) is Outcome.ADDED


async def test_what_is_allowed_again_is_taken_again(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    async with shard as subject:
        await subject.merge(ALICE)
        await subject.deny()
        assert await subject.allow() == Administered(Effect.DONE, 3)
        assert await subject.body(ALICE) is None
        assert await subject.merge(BOB) is Outcome.ADDED
        assert await subject.body(ALICE) == binary([BOB])


async def test_what_replaces_a_certificate_is_not_merged_with_it(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    async with shard as subject:
        await subject.merge(ALICE)
        assert await subject.body(ALICE) == binary([ALICE])
        assert await subject.replace(BOB) == Administered(Effect.DONE, 2)
        assert await subject.body(ALICE) == binary([BOB])
        assert await subject.ref.call(Search(frozenset({"alice"}), 5)) == ()
        assert await subject.ref.call(Search(frozenset({"bob"}), 5)) == (NAME,)


BOTH = made(1, "Alice <a@x.example>", "Bob")


async def test_p102_a_redacted_user_id_goes_and_does_not_return(open_it: OpenStore) -> None:
    async with running(open_it) as subject:
        await subject.merge(BOTH)
        assert await subject.body(BOTH) == binary([BOTH])
        assert await subject.redact() == Administered(Effect.DONE, 2)
        assert await subject.body(BOTH) == binary([BOB])
        assert await subject.ref.call(Search(frozenset({"alice"}), 5)) == ()
        assert await subject.merge(BOTH) is Outcome.UNCHANGED
        assert await subject.merge(merge(BOTH, CAROL)) is Outcome.CHANGED
        assert await subject.body(BOTH) == binary([merge(BOB, CAROL)])
        assert await subject.replace(BOTH) == Administered(Effect.DONE, 4)
        assert await subject.body(BOTH) == binary([BOB])
        await subject.deny()
        await subject.allow()
    async with running(open_it) as subject:
        assert await subject.merge(BOTH) is Outcome.ADDED
        assert await subject.body(BOTH) == binary([BOB])
        assert await subject.unredact() == Administered(Effect.DONE, 8)
        assert await subject.body(BOTH) == binary([BOB])
        assert await subject.merge(BOTH) is Outcome.CHANGED
        assert await subject.body(BOTH) == binary([BOTH])


async def test_p102_a_certificate_of_which_nothing_is_left_is_neither_held_nor_denied(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    async with shard as subject:
        await subject.merge(ALICE)
        assert await subject.redact() == Administered(Effect.DONE, 2)
        assert await subject.body(ALICE) is None
        assert await subject.merge(ALICE) is Outcome.REFUSED
        assert await subject.replace(ALICE) == Administered(Effect.NOTHING_LEFT, 3)
        assert await subject.merge(BOB) is Outcome.ADDED
        assert await subject.body(ALICE) == binary([BOB])


async def test_requests_about_user_ids_are_in_the_log_and_are_carried_out_once(
    open_it: OpenStore,
) -> None:
    async with running(open_it) as subject:
        assert await subject.unredact(b"1") == Administered(Effect.NOT_REDACTED, 1)
        assert await subject.redact(b"2") == Administered(Effect.NOT_HELD, 2)
        assert await subject.merge(BOTH) is Outcome.ADDED
        assert await subject.body(BOTH) == binary([BOB])
        assert await subject.redact(b"2") == Replayed()
        assert await subject.unredact(b"3") == Administered(Effect.DONE, 4)
        assert await subject.redact(b"2") == Replayed()
        await subject.deny(b"4")
        assert await subject.redact(b"5") == Administered(Effect.NOT_HELD, 6)
        assert await subject.replace(ALICE, b"6") == Administered(Effect.DENIED, 7)
    assert await log(open_it) == [
        (Action.UNREDACT, Effect.NOT_REDACTED, b"1"),
        (Action.REDACT, Effect.NOT_HELD, b"2"),
        (Action.UNREDACT, Effect.DONE, b"3"),
        (Action.DENY, Effect.DONE, b"4"),
        (Action.REDACT, Effect.NOT_HELD, b"5"),
        (Action.REPLACE, Effect.DENIED, b"6"),
    ]


async def test_on_a_full_disk_nothing_is_redacted(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    async with shard as subject:
        await subject.merge(BOTH)
        subject.is_full = True
        assert await subject.redact() == NoSpace()
        subject.is_full = False
        assert await subject.body(BOTH) == binary([BOTH])
        assert await subject.merge(merge(BOTH, CAROL)) is Outcome.CHANGED
        assert await subject.redact() == Administered(Effect.DONE, 3)


async def test_all_that_was_asked_is_in_the_log_with_what_became_of_it(
    open_it: OpenStore,
) -> None:
    async with running(open_it) as subject:
        assert await subject.allow(b"1") == Administered(Effect.NOT_DENIED, 1)
        await subject.deny(b"2")
        assert await subject.replace(ALICE, b"3") == Administered(Effect.DENIED, 3)
        assert await subject.body(ALICE) is None
        await subject.allow(b"4")
        await subject.replace(ALICE, b"5")
        assert await subject.body(ALICE) == binary([ALICE])
    assert await log(open_it) == [
        (Action.ALLOW, Effect.NOT_DENIED, b"1"),
        (Action.DENY, Effect.AHEAD, b"2"),
        (Action.REPLACE, Effect.DENIED, b"3"),
        (Action.ALLOW, Effect.DONE, b"4"),
        (Action.REPLACE, Effect.DONE, b"5"),
    ]


async def test_a_request_is_carried_out_once_also_after_a_restart(open_it: OpenStore) -> None:
    """Even one that had no effect: played again later, it would have one."""
    async with running(open_it) as subject:
        await subject.allow(b"early")
        await subject.deny()
        assert await subject.deny() == Replayed()
        assert await subject.allow(b"early") == Replayed()
    async with running(open_it) as subject:
        assert await subject.allow(b"early") == Replayed()
        assert await subject.merge(ALICE) is Outcome.DENIED
        assert await subject.replace(ALICE, b"deny") == Replayed()
        assert await subject.allow(b"late") == Administered(Effect.DONE, 3)
        assert await subject.deny() == Replayed()
        assert await subject.merge(ALICE) is Outcome.ADDED
    assert [nonce for _, _, nonce in await log(open_it)] == [b"early", b"deny", b"late"]


async def test_one_request_may_name_several_certificates(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    async with shard as subject:
        assert await subject.deny(b"both") == Administered(Effect.AHEAD, 1)
        other = fingerprint(OTHER)
        assert await subject.deny(b"both", other) == Administered(Effect.AHEAD, 2)
        assert await subject.deny(b"both", other) == Replayed()


async def test_a_denial_keeps_every_state_that_was_known(open_it: OpenStore) -> None:
    async with running(open_it) as subject:
        await subject.merge(ALICE)
        await subject.replace(BOB)
        await subject.deny()
        await subject.deny(b"again")
    async with finished(open_it()) as store:
        (denial,) = await store.denials_of([NAME])
        assert denial is not None
        assert denial.digests == (digest_of(BOB),)


async def test_denied_again_it_keeps_its_first_reason_and_both_are_in_the_log(
    open_it: OpenStore,
) -> None:
    async with running(open_it) as subject:
        await subject.merge(ALICE)
        first = Order(ADMIN, "first", b"1")
        again = Order(None, "second", b"2")
        assert await subject.ref.call(Deny(NAME, first)) == Administered(Effect.DONE, 2)
        assert await subject.ref.call(Deny(NAME, again)) == Administered(Effect.DENIED_BEFORE, 3)
    async with finished(open_it()) as store:
        (denial,) = await store.denials_of([NAME])
        assert denial is not None
        assert (denial.reason, denial.digests) == ("first", (digest_of(ALICE),))
        records = (await store.audit(None, 5)).records
        assert [(one.reason, one.effect) for one in records] == [
            ("first", Effect.DONE),
            ("second", Effect.DENIED_BEFORE),
        ]


async def test_requests_take_their_turn_among_merges(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    replies: dict[str, object] = {}
    async with shard as subject:
        subject.held = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(subject.merge, OTHER)
            await subject.reached.wait()

            async def ask(name: str) -> None:
                match name:
                    case "deny":
                        replies[name] = await subject.deny()
                    case "before":
                        replies[name] = await subject.merge(ALICE)
                    case _:
                        replies[name] = await subject.merge(BOB)

            for number, name in enumerate(("before", "deny", "after"), 1):
                tasks.start_soon(ask, name)
                await waiting(subject, number)
            subject.held.set()
        assert replies == {
            "before": Outcome.ADDED,
            "deny": Administered(Effect.DONE, 3),
            "after": Outcome.DENIED,
        }


async def waiting(subject: Subject, number: int) -> None:
    while (await subject.ref.call(GetStatus())).waiting_merges < number:
        await anyio.lowlevel.checkpoint()


async def test_on_a_full_disk_nothing_is_done_and_it_may_be_asked_again(
    shard: AbstractAsyncContextManager[Subject],
) -> None:
    async with shard as subject:
        await subject.merge(ALICE)
        subject.is_full = True
        assert await subject.deny() == NoSpace()
        assert await subject.body(ALICE) == binary([ALICE])
        subject.is_full = False
        assert await subject.deny() == Administered(Effect.DONE, 2)


async def test_a_record_and_a_denial_say_who_why_and_when(open_it: OpenStore) -> None:
    async with running(open_it) as subject:
        await subject.merge(ALICE)
        await subject.deny()
    async with finished(open_it()) as store:
        (record,) = (await store.audit(None, 5)).records
        (denial,) = await store.denials_of([NAME])
    reason = order(b"").reason
    assert record == Record(ADMIN, Action.DENY, Effect.DONE, NAME, reason, record.at, b"deny")
    assert denial == Denial(NAME, reason, record.at, (digest_of(ALICE),))

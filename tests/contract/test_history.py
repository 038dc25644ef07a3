"""What every store keeps of how it stood before, and who may write it."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import msgspec
import pytest

from keygrove.errors import FencedError, HistoryError
from keygrove.storage.address import content_hash, tree_key
from keygrove.storage.audit import Action, Effect, Record
from keygrove.storage.cursor import Cursor
from keygrove.storage.logged import Logged
from keygrove.storage.mark import Drop, Mark, Snapshot
from keygrove.storage.merkle import Tree, blake3_256, differences
from keygrove.storage.store import CertificateStore
from keygrove.storage.version import Head, Version
from keygrove.storage.write import Cause, Denial, Lift, Put, Redacted, Redaction, Write
from keygrove_chaos.certificates import CREATED, made, put_of, with_aside
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.redaction import user_id_hash

pytestmark = pytest.mark.anyio

Open: TypeAlias = Callable[[], AbstractAsyncContextManager[CertificateStore]]

UNKNOWN = Fingerprint(bytes(20))
ROOT = bytes(range(32))


def put(number: int, *user_ids: str, at: int = CREATED) -> Put:
    return put_of(made(number, *user_ids), at)


def brought(one: Put, cause: Cause, origin: str) -> Put:
    return msgspec.structs.replace(one, cause=cause, origin=origin)


def snapshot(name: str, at: int = CREATED, root: bytes = b"") -> Snapshot:
    return Snapshot(name, root, at)


def served(one: Put, change: int) -> Version:
    return Version(one.fingerprint, one.digest, one.packets, change)


def value(one: Put) -> bytes:
    return content_hash(one.packets)


def tree_of(*puts: Put) -> Tree:
    changes = [(tree_key(one.fingerprint), value(one)) for one in puts]
    return Tree(blake3_256).updated(changes)


@pytest.fixture(params=["unflushed", "flushed"])
def is_flushed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "flushed")


ALICE, BOB = put(1, "Alice"), put(2, "Bob")
ALICIA = put(1, "Alice", "Alicia", at=CREATED + 10)
NAMES = [ALICE.fingerprint, BOB.fingerprint, UNKNOWN]
SAID = put(1, at=CREATED + 20)
"""What Alice's key says against itself, say."""
DENIED = Denial(ALICE.fingerprint, "spam", CREATED + 20, held=SAID)


async def fill(store: CertificateStore, commits: Sequence[Sequence[Write]]) -> None:
    for writes in commits:
        await store.commit(writes)


async def lived(store: CertificateStore, *, is_flushed: bool) -> None:
    """Alice comes, Bob comes while she grows, she is denied, both go, and she comes back."""
    await fill(
        store,
        [
            [ALICE],
            [ALICIA, BOB],
            [DENIED],
            [Lift(ALICE.fingerprint, CREATED + 30), Lift(BOB.fingerprint, CREATED + 30)],
            [put(1, "Alice", at=CREATED + 40)],
        ],
    )
    if is_flushed:
        await store.settle()


STOOD: list[list[Version | None]] = [
    [None, None, None],
    [served(ALICE, 1), None, None],
    [served(ALICIA, 2), served(BOB, 2), None],
    [served(SAID, 3), served(BOB, 2), None],
    [None, None, None],
    [served(ALICE, 5), None, None],
]
TREES = [
    tree_of(),
    tree_of(ALICE),
    tree_of(ALICIA, BOB),
    tree_of(SAID, BOB),
    tree_of(),
    tree_of(ALICE),
]


async def test_what_was_served_after_each_change_can_be_got(
    open_it: Open, is_flushed: bool
) -> None:
    async with open_it() as store:
        await lived(store, is_flushed=is_flushed)
        assert [await store.history.get(NAMES, change) for change in range(6)] == STOOD
    async with open_it() as store:
        assert [await store.history.get(NAMES, change) for change in range(6)] == STOOD


async def test_what_was_denied_after_each_change_is_told(open_it: Open, is_flushed: bool) -> None:
    async with open_it() as store:
        await lived(store, is_flushed=is_flushed)
        await store.commit([Denial(UNKNOWN, "ahead", CREATED + 50)])
        found = [await store.history.are_denied(NAMES, change) for change in range(7)]
        of_alice = [False, False, False, True, False, False, False]
        assert [denied[0] for denied in found] == of_alice
        assert [denied[1:] for denied in found] == [[False, False]] * 6 + [[False, True]]


async def test_each_change_has_its_head_and_its_tree(open_it: Open, is_flushed: bool) -> None:
    due = [Head(change, tree.root, len(tree)) for change, tree in enumerate(TREES)]
    async with open_it() as store:
        await lived(store, is_flushed=is_flushed)
        assert [await store.history.head(change) for change in range(6)] == due
        assert store.head() == due[-1]
    async with open_it() as store:
        for change in (3, 1, 5, 0, 4, 2, 3):
            assert (await store.history.tree(change)).root == TREES[change].root
        assert [await store.history.head(change) for change in range(6)] == due


async def test_a_tree_of_the_past_is_the_one_that_was_there(open_it: Open) -> None:
    async with open_it() as store:
        kept: list[Tree] = [store.tree()]
        for number in range(40):
            writes: list[Write] = [put(number % 7, f"Alice {number}")]
            if number % 3 == 2:
                writes = [Lift(put(number % 7).fingerprint, CREATED), put((number + 1) % 7)]
            held = await store.get([one.fingerprint for one in writes])
            await store.commit(
                [
                    one
                    for one, there in zip(writes, held, strict=True)
                    if there or isinstance(one, Put)
                ]
            )
            kept.append(store.tree())
        for change in (40, 3, 39, 17, 0, 18, 16, 4, *range(5, 16)):
            then = await store.history.tree(change)
            assert list(differences(then, kept[change])) == []
            assert then.root == kept[change].root


async def test_what_was_never_is_not_in_any_history(open_it: Open) -> None:
    async with open_it() as store:
        await store.commit([ALICE])
        history = store.history
        for change in (-1, 2):
            for asked in (
                history.get([ALICE.fingerprint], change),
                history.are_denied([ALICE.fingerprint], change),
                history.head(change),
                history.tree(change),
                history.log(None, 5, after=change),
                history.log(None, 5, until=change),
            ):
                with pytest.raises(HistoryError, match="not kept"):
                    await asked


async def test_a_time_is_that_of_the_newest_change_by_then(open_it: Open) -> None:
    async with open_it() as store:
        await lived(store, is_flushed=False)
        found = [await store.history.change_at(CREATED + at) for at in (-1, 0, 9, 10, 29, 30, 99)]
        assert found == [0, 1, 1, 2, 3, 4, 5]


async def test_a_clock_that_was_set_back_reorders_nothing(open_it: Open) -> None:
    async with open_it() as store:
        await fill(store, [[put(1, at=CREATED)], [put(2, at=CREATED + 9)], [put(3, at=CREATED)]])
        assert await store.history.change_at(CREATED) == 3
        assert await store.history.change_at(CREATED + 9) == 3


def logged(  # noqa: PLR0913 - the columns of a log
    change: int,
    of: Put,
    before: Put | None,
    after: Put | None,
    *,
    cause: Cause,
    origin: str = "",
    at: int = CREATED,
    is_denied: bool = False,
) -> Logged:
    return Logged(
        change=change,
        fingerprint=of.fingerprint,
        before=None if before is None else value(before),
        after=None if after is None else value(after),
        is_denied=is_denied,
        cause=cause,
        origin=origin,
        at=at,
        digests=() if after is None else tuple(dict.fromkeys((after.digest, after.sks_digest))),
        place=Cursor(b""),
    )


LOG = [
    logged(1, ALICE, None, ALICE, cause=Cause.UPLOAD),
    logged(2, ALICE, ALICE, ALICIA, cause=Cause.RECON, origin="pool", at=CREATED + 10),
    logged(2, BOB, None, BOB, cause=Cause.LOAD, origin="dump 7"),
    logged(
        3, ALICE, ALICIA, SAID, cause=Cause.ADMIN, origin="order", at=CREATED + 20, is_denied=True
    ),
    logged(4, ALICE, SAID, None, cause=Cause.ADMIN, at=CREATED + 30),
    logged(4, BOB, BOB, None, cause=Cause.ROLLBACK, origin="r1", at=CREATED + 31),
    logged(5, BOB, None, BOB, cause=Cause.UPLOAD),
]


def bare(entries: Iterable[Logged]) -> list[Logged]:
    """Without their places, which mean something to their store only."""
    return [msgspec.structs.replace(one, place=Cursor(b"")) for one in entries]


async def log_it(store: CertificateStore) -> None:
    await fill(
        store,
        [
            [ALICE],
            [brought(ALICIA, Cause.RECON, "pool"), brought(BOB, Cause.LOAD, "dump 7")],
            [msgspec.structs.replace(DENIED, origin="order")],
            [
                Lift(ALICE.fingerprint, CREATED + 30),
                Lift(BOB.fingerprint, CREATED + 31, None, Cause.ROLLBACK, "r1"),
            ],
            [BOB],
        ],
    )


async def whole_log(
    store: CertificateStore, limit: int, *, after: int = 0, until: int | None = None
) -> list[Logged]:
    found: list[Logged] = []
    cursor: Cursor | None = None
    while True:
        page = await store.history.log(cursor, limit, after=after, until=until)
        assert len(page.entries) <= limit
        found += bare(page.entries)
        cursor = page.cursor
        if cursor is None:
            return found


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
async def test_the_log_tells_what_became_of_what_and_why(
    open_it: Open, is_flushed: bool, limit: int
) -> None:
    async with open_it() as store:
        assert await whole_log(store, limit) == []
        await log_it(store)
        if is_flushed:
            await store.settle()
        assert await whole_log(store, limit) == LOG
        assert await whole_log(store, limit, after=1, until=3) == LOG[1:4]
        assert await whole_log(store, limit, after=4) == LOG[6:]
        assert await whole_log(store, limit, after=2, until=2) == []
        assert await whole_log(store, limit, until=1) == LOG[:1]


async def test_behind_the_place_of_each_entry_the_log_goes_on_with_the_next(open_it: Open) -> None:
    async with open_it() as store:
        await log_it(store)
        entries = (await store.history.log(None, 100)).entries
        for at, entry in enumerate(entries, 1):
            page = await store.history.log(entry.place, 100, after=entry.change - 1)
            assert page.entries == entries[at:]


async def test_a_log_that_is_read_while_it_grows_has_each_entry_once(open_it: Open) -> None:
    async with open_it() as store:
        await log_it(store)
        page = await store.history.log(None, 3, after=1)
        found = bare(page.entries)
        bounded = await store.history.log(None, 3, after=1, until=5)
        await store.commit([ALICE])
        while page.cursor is not None:
            page = await store.history.log(page.cursor, 3, after=1)
            found += bare(page.entries)
        assert found[:-1] == LOG[1:]
        assert (found[-1].change, found[-1].fingerprint) == (6, ALICE.fingerprint)
        entries = bare(bounded.entries)
        while bounded.cursor is not None:
            bounded = await store.history.log(bounded.cursor, 3, after=1, until=5)
            entries += bare(bounded.entries)
        assert entries == LOG[1:]


async def test_tree_keys_have_the_names_of_all_that_was_ever_there(
    open_it: Open, is_flushed: bool
) -> None:
    denied = Denial(put(3).fingerprint, "ahead", CREATED)
    async with open_it() as store:
        await fill(store, [[ALICE, BOB], [Lift(BOB.fingerprint, CREATED), denied]])
        if is_flushed:
            await store.settle()
        names = [ALICE.fingerprint, UNKNOWN, BOB.fingerprint, denied.fingerprint]
        found = await store.history.named([tree_key(name) for name in names])
        assert found == [ALICE.fingerprint, None, BOB.fingerprint, denied.fingerprint]
        assert await store.history.named([]) == []


async def mark(store: CertificateStore, *marks: Mark) -> int:
    return await store.commit([], marks=marks)


async def test_a_snapshot_is_of_the_commit_that_made_it(open_it: Open) -> None:
    async with open_it() as store:
        await store.commit([ALICE])
        change = await store.commit([BOB], marks=[snapshot("one", CREATED + 7, ROOT)])
        await store.commit([Lift(BOB.fingerprint, CREATED)])
        due = [Snapshot("one", ROOT, CREATED + 7, change)]
        assert await store.history.snapshots() == due
        assert (await store.history.get([BOB.fingerprint], change))[0] == served(BOB, 2)
        assert (await store.history.tree(change)).root == tree_of(ALICE, BOB).root
    async with open_it() as store:
        assert await store.history.snapshots() == due


async def test_snapshots_are_listed_by_name(open_it: Open) -> None:
    async with open_it() as store:
        assert await store.history.snapshots() == []
        await mark(store, snapshot("b"), snapshot("a"))
        await mark(store, snapshot("B"))
        assert [one.name for one in await store.history.snapshots()] == ["B", "a", "b"]


async def test_a_snapshot_that_is_made_anew_is_of_the_later_change(open_it: Open) -> None:
    async with open_it() as store:
        await mark(store, snapshot("one", CREATED, ROOT))
        await store.commit([ALICE], marks=[snapshot("one", CREATED + 1)])
        assert await store.history.snapshots() == [Snapshot("one", b"", CREATED + 1, 2)]


async def test_a_snapshot_can_be_given_its_root_later(open_it: Open) -> None:
    async with open_it() as store:
        await mark(store, snapshot("one", CREATED))
        await store.commit([ALICE])
        await mark(store, Snapshot("one", ROOT, CREATED + 1, 1))
        assert await store.history.snapshots() == [Snapshot("one", ROOT, CREATED + 1, 1)]


async def test_what_is_dropped_is_forgotten_and_nothing_else(open_it: Open) -> None:
    async with open_it() as store:
        await store.commit([ALICE], marks=[snapshot("one"), snapshot("two")])
        await mark(store, Drop("one", CREATED), Drop("never there", CREATED))
        assert [one.name for one in await store.history.snapshots()] == ["two"]
        assert (await store.history.head(1)).size == 1
    async with open_it() as store:
        assert [one.name for one in await store.history.snapshots()] == ["two"]
        await mark(store, snapshot("one"))
        assert [one.change for one in await store.history.snapshots()] == [3, 1]


async def test_a_mark_changes_no_certificate(open_it: Open) -> None:
    async with open_it() as store:
        await store.commit([ALICE])
        before = store.head()
        assert await mark(store, snapshot("one")) == 2
        assert store.head() == Head(2, before.root, before.size)
        assert await whole_log(store, 10) == LOG[:1]
        assert await store.history.tree(2) is not None


async def test_one_that_another_has_passed_writes_nothing_any_more(open_it: Open) -> None:
    record = Record(None, Action.DENY, Effect.DONE, BOB.fingerprint, "", CREATED, b"nonce")
    redaction = Redaction(BOB.fingerprint, frozenset({user_id_hash(b"Bob")}), CREATED)
    async with open_it() as old, open_it() as new:
        await new.commit([ALICE])
        for _ in range(2):
            with pytest.raises(FencedError):
                await old.commit([BOB], [record], [redaction], [snapshot("one")])
        assert await new.commit([put(3)]) == 2
        assert await new.get([BOB.fingerprint]) == [None]
        assert await new.history.snapshots() == []
    async with open_it() as store:
        assert await store.get([BOB.fingerprint]) == [None]
        assert await store.redactions_of([BOB.fingerprint]) == [Redacted()]
        assert (await store.audit(None, 5)).records == ()
        assert await store.history.snapshots() == []
        assert store.head() == Head(2, tree_of(ALICE, put(3)).root, 2)
        assert await store.commit([BOB]) == 3


async def test_one_that_was_opened_before_the_others_last_commit_writes_nothing(
    open_it: Open,
) -> None:
    async with open_it() as old:
        await old.commit([ALICE])
        async with open_it() as new:
            assert await old.commit([BOB]) == 2
            with pytest.raises(FencedError):
                await new.commit([put(3)])
            assert await old.commit([put(4)]) == 3
    async with open_it() as store:
        held = await store.get([one.fingerprint for one in (ALICE, BOB, put(3), put(4))])
        assert [one is not None for one in held] == [True, True, False, True]


async def test_one_that_has_written_before_is_passed_all_the_same(open_it: Open) -> None:
    async with open_it() as old:
        await old.commit([ALICE])
        async with open_it() as new:
            await new.commit([BOB])
            with pytest.raises(FencedError):
                await old.commit([put(3)])
    async with open_it() as store:
        assert store.head().size == 2


async def test_what_a_lift_left_can_be_lifted_too(open_it: Open, is_flushed: bool) -> None:
    left = Lift(ALICE.fingerprint, CREATED, SAID)
    async with open_it() as store:
        await fill(store, [[DENIED], [left]])
        if is_flushed:
            await store.settle()
        await store.commit([Lift(ALICE.fingerprint, CREATED)])
        found = [(await store.history.get([ALICE.fingerprint], at))[0] for at in (1, 2, 3)]
        assert found == [served(SAID, 1), served(SAID, 2), None]


async def test_what_is_set_aside_is_in_the_tree_and_not_served(open_it: Open) -> None:
    aside = with_aside(ALICE, b"aside")
    async with open_it() as store:
        await fill(store, [[ALICE], [aside]])
        found = [(await store.history.get([ALICE.fingerprint], at))[0] for at in (1, 2)]
        assert [one and one.packets for one in found] == [ALICE.packets] * 2
        assert len({(await store.history.head(at)).root for at in (1, 2)}) == 2

"""What becomes of snapshots and rollbacks in another number of shards."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from keygrove.cluster.placement import Placement
from keygrove.cluster.rollbacks import snapshot_of
from keygrove.errors import DataDirError
from keygrove.storage.mark import Mark, Snapshot
from keygrove.storage.rollback import Rollback, Selector, Stage, Toll
from keygrove.storage.sqlite import SqliteStore
from keygrove.storage.write import Cause
from keygrove.system.datadir import count_shards
from keygrove_chaos.certificates import CREATED, made, put_of
from tests.shards import opened, resharded

pytestmark = pytest.mark.anyio

PUTS = [put_of(made(number)) for number in range(8)]
ROLLBACK = Rollback(
    name="spam",
    selector=Selector(until=7, after=3, causes=frozenset({Cause.RECON})),
    is_forced=False,
    reason="spam",
    stage=Stage.DONE,
    toll=Toll(removed=2),
    at=CREATED,
)


async def put_all(stores: Sequence[SqliteStore], *, origin: str = "") -> None:
    placement = Placement(len(stores))
    for put in PUTS:
        one = msgspec.structs.replace(put, origin=origin)
        await stores[placement.shard(put.fingerprint)].commit([one])


async def mark(stores: Sequence[SqliteStore], *marks: Mark) -> None:
    for store in stores:
        await store.commit([], marks=marks)


async def test_a_rollback_is_kept_with_the_changes_behind_its_snapshot(tmp_path: Path) -> None:
    before = Snapshot(snapshot_of(ROLLBACK.name), b"", CREATED)
    async with opened(tmp_path, 2) as stores:
        await put_all(stores)
        await mark(stores, before)
        await put_all(stores, origin=ROLLBACK.name)
        await mark(stores, ROLLBACK)
    resharded(tmp_path, 3)
    async with opened(tmp_path, 3) as stores:
        found = [one for store in stores for one in await store.history.rollbacks()]
        assert [one.name for one in found] == ["spam"] * 3
        assert sum((one.toll for one in found), start=Toll()) == Toll(removed=4)
        for store, one in zip(stores, found, strict=True):
            (snapshot,) = await store.history.snapshots()
            assert snapshot.change == one.selector.until
            behind = await store.history.log(None, 100, after=one.selector.until)
            assert {entry.origin for entry in behind.entries} <= {ROLLBACK.name}
            earlier = await store.history.log(None, 100, until=one.selector.until)
            assert {entry.origin for entry in earlier.entries} <= {""}


@pytest.mark.parametrize(
    "marks",
    [
        [msgspec.structs.replace(ROLLBACK, stage=Stage.RUNNING)] * 2,
        [ROLLBACK, msgspec.structs.replace(ROLLBACK, stage=Stage.UNDONE)],
        [ROLLBACK, Snapshot("other", b"", CREATED)],
    ],
    ids=["under way", "undone in one", "never begun in one"],
)
async def test_what_a_rollback_has_not_finished_has_to_be_finished(
    tmp_path: Path, marks: list[Mark]
) -> None:
    async with opened(tmp_path, 2) as stores:
        for store, one in zip(stores, marks, strict=True):
            await store.commit([], marks=[one])
    with pytest.raises(DataDirError, match="rollback spam is not done in all shards"):
        resharded(tmp_path, 3)


async def test_a_snapshot_that_a_shard_has_not_is_named(tmp_path: Path) -> None:
    async with opened(tmp_path, 2) as stores:
        await mark(stores, Snapshot("whole", b"", CREATED))
        await mark(stores[:1], Snapshot("half", b"", CREATED))
    assert resharded(tmp_path, 1).snapshots_lost == ("half",)
    async with opened(tmp_path, 1) as (store,):
        assert [one.name for one in await store.history.snapshots()] == ["whole"]


async def test_snapshots_of_which_neither_was_first_are_refused(tmp_path: Path) -> None:
    one, other = (Snapshot(name, b"", CREATED) for name in ("one", "other"))
    async with opened(tmp_path, 2) as stores:
        for store, marks in zip(stores, [(one, other), (other, one)], strict=True):
            await mark([store], marks[0])
            await mark([store], marks[1])
    with pytest.raises(DataDirError, match="drop one of them"):
        resharded(tmp_path, 3)
    assert count_shards(tmp_path) == 2

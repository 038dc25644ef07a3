"""A heap whose history was thinned and coded is checked, repaired, copied and split as any is."""

import shutil
import sqlite3
from collections.abc import Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from keygrove.errors import DamagedError, HistoryError
from keygrove.storage.fsck.checking import Subject, check_shard
from keygrove.storage.fsck.findings import Finding, Level
from keygrove.storage.fsck.repair import Repaired, repair
from keygrove.storage.fsck.salvage import Task
from keygrove.storage.fsck.tell import untold
from keygrove.storage.fsck.wanted import Refetch, nowhere
from keygrove.storage.mark import Snapshot
from keygrove.storage.retention import DAY_S
from keygrove.storage.sqlite import SqliteStore
from keygrove.storage.training import SAMPLES_MIN
from keygrove.storage.write import Denial, Put
from keygrove.system.backup import back_up, restore
from keygrove.system.datadir import owned
from keygrove.system.rawfiles import RawFiles
from keygrove.system.sqlite import SqliteFiles
from keygrove_chaos.certificates import CREATED, made, put_of
from keygrove_protocols.openpgp.keys import Digest, Fingerprint
from tests.shards import opened, resharded, root_of

pytestmark = pytest.mark.slow

DAYS = 30
NOON = CREATED - CREATED % DAY_S + DAY_S // 2
VERSIONS = [
    put_of(made(1, "Alice", signatures=20 + number), NOON + number // 2 * DAY_S + number % 2 * 60)
    for number in range(2 * DAYS)
]
"""Of one certificate, two a day within a minute: the first goes, but for the last two days."""
OTHER = [put_of(made(2, f"Bob {number}"), VERSIONS[number].at) for number in range(2 * DAYS)]
DENIED = put_of(made(3, "Mallory")).fingerprint
LATE = NOON + DAYS * DAY_S


def small(first: int, number: int) -> list[Put]:
    return [
        put_of(made(n, f"Alice {n * 7919 % 9973}"), CREATED) for n in range(first, first + number)
    ]


EARLY = small(10, SAMPLES_MIN)
CODED = [msgspec.structs.replace(one, at=LATE) for one in small(5_000, 50)]
NAMES = [VERSIONS[0].fingerprint, OTHER[0].fingerprint, *(one.fingerprint for one in EARLY + CODED)]


class Known(msgspec.Struct, frozen=True):
    """What is held, and what is shown of the moments that are kept."""

    root: bytes
    held: list[bytes | None]
    is_denied: list[bool]
    then: dict[int, tuple[bytes | None, bytes | None, bool]]
    """Of each time: both certificates that changed, and whether the third was denied."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("thinned")
    with ThreadPoolExecutor() as pool:  # the main thread has a loop of its own, for the tests
        pool.submit(anyio.run, _fill, folder).result()
    return folder


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "data"))


async def _fill(folder: Path) -> None:
    async with opened(folder, 1) as (store,):
        await store.commit(EARLY)
        await store.settle()
        await store.compact_once()
        for number, (one, other) in enumerate(zip(VERSIONS, OTHER, strict=True)):
            await store.commit([one])
            await store.commit([other])
            if number == DAYS:
                mark = Snapshot("middle", root_of([store]), one.at)
                await store.commit([Denial(DENIED, "spam", one.at)], marks=[mark])
        await store.commit(CODED)
        await store.settle()
        await store.compact_once()
        savings = store.savings()
        assert savings.dropped_rows > DAYS
        assert savings.coded_rows > DAYS // 2
        await store.settle()


def ask(root: Path, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(root / "shard-0/heap.db", isolation_level=None)) as db:
        return db.execute(query, values).fetchall()


def flipped(octets: bytes, at: int) -> bytes:
    """With one bit that is another."""
    return octets[:at] + bytes([octets[at] ^ 16]) + octets[at + 1 :]


def change(root: Path, statement: str, values: Sequence[object] = ()) -> None:
    with closing(sqlite3.connect(root / "shard-0/heap.db", isolation_level=None)) as db:
        assert db.execute(statement, values).rowcount == 1


async def known(root: Path, shards: int = 1) -> Known:
    async with opened(root, shards) as stores:
        return Known(
            root=root_of(stores),
            held=await _packets(stores, NAMES),
            is_denied=[any(found) for found in await _denials(stores)],
            then={at: await _then(stores, at) for at in await _times(stores)},
        )


async def _packets(stores: Sequence[SqliteStore], names: list[Fingerprint]) -> list[bytes | None]:
    found = [await store.get(names) for store in stores]
    return [next((one.packets for one in each if one), None) for each in zip(*found, strict=True)]


async def _denials(stores: Sequence[SqliteStore]) -> list[list[bool]]:
    return [[one is not None for one in await store.denials_of([DENIED])] for store in stores]


async def _times(stores: Sequence[SqliteStore]) -> list[int]:
    """The ends of all days: the last moment of each is kept."""
    return [NOON + day * DAY_S - 1 for day in range(1, DAYS + 1)]


async def _then(stores: Sequence[SqliteStore], at: int) -> tuple[bytes | None, bytes | None, bool]:
    found: list[bytes | None] = [None, None]
    is_denied = False
    for store in stores:
        moment = await store.history.change_at(at)
        await store.history.tree(moment)
        some = await store.history.get(NAMES[:2], moment)
        found = [one.packets if one else had for one, had in zip(some, found, strict=True)]
        is_denied |= (await store.history.are_denied([DENIED], moment))[0]
    return found[0], found[1], is_denied


def _subject(root: Path) -> Subject:
    return Subject(SqliteFiles(root), RawFiles(root), "shard-0", 0, 1, is_live=False)


async def findings(root: Path) -> list[Finding]:
    return (await check_shard(_subject(root), Level.HISTORY, untold)).findings.all()


async def repaired(root: Path, refetch: Refetch = nowhere) -> Repaired:
    checked = await check_shard(_subject(root), Level.HISTORY, untold)
    return await repair(_subject(root), checked, Task("0/1", b"u" * 16, LATE, refetch), untold)


async def moments(store: SqliteStore) -> list[int]:
    kept: list[int] = []
    for number in range(1, store.head().change + 1):
        try:
            await store.history.tree(number)
        except HistoryError:
            continue
        kept.append(number)
    return kept


@pytest.mark.anyio
async def test_it_is_whole_at_every_level(root: Path) -> None:
    assert ask(root, "SELECT count(*) > 20 FROM obj WHERE base IS NOT NULL") == [(1,)]
    assert ask(root, "SELECT count(*) > 49 FROM obj WHERE base IS NULL AND flags > 0") == [(1,)]
    assert ask(root, "SELECT count(*) < max(n) FROM head") == [(1,)]
    assert await findings(root) == []


@pytest.mark.anyio
@pytest.mark.parametrize("column", ["v", "h"])
async def test_a_bit_of_a_dictionary_is_put_right(root: Path, column: str) -> None:
    before = await known(root)
    ((octets,),) = ask(root, f"SELECT {column} FROM dict")  # noqa: S608 - names of ours
    change(root, f"UPDATE dict SET {column} = ?", [flipped(octets, 9)])  # noqa: S608 - as above
    found = await findings(root)
    assert "dictionary 1" in {one.where for one in found if one.level is Level.CONTENT}
    done = await repaired(root)
    assert done.salvaged is not None
    assert (done.salvaged.mended, done.salvaged.lost) == ([], [])
    assert await findings(root) == []
    assert await known(root) == before


@pytest.mark.anyio
async def test_what_a_dictionary_that_is_lost_coded_can_be_had_again(root: Path) -> None:
    async def refetch(wanted: Set[Digest]) -> Mapping[Digest, bytes]:
        return {one.digest: one.packets for one in (*OTHER, *CODED) if one.digest in wanted}

    before = await known(root)
    change(root, "UPDATE dict SET v = zeroblob(4096)")
    done = await repaired(root, refetch)
    assert done.salvaged is not None
    assert len(done.salvaged.mended) > len(CODED)
    assert (done.salvaged.superseded, done.salvaged.lost) == ([], [])
    assert await findings(root) == []
    assert await known(root) == before


@pytest.mark.anyio
async def test_of_a_certificate_that_is_lost_with_all_that_leans_on_it_one_row_says_so(
    root: Path,
) -> None:
    change(root, "UPDATE dict SET v = zeroblob(4096)")
    done = await repaired(root)
    assert done.salvaged is not None
    lost = [one.fingerprint for one in done.salvaged.lost]
    assert sorted(lost, key=str) == sorted(NAMES[1:2] + NAMES[-len(CODED) :], key=str)
    assert done.salvaged.superseded
    assert await findings(root) == []
    held = (await known(root)).held
    assert [name for name, packets in zip(NAMES, held, strict=True) if packets is None] == [
        name for name in NAMES if name in lost
    ]


@pytest.mark.anyio
async def test_what_leans_on_a_row_with_a_flipped_bit_is_found_and_put_right_with_it(
    root: Path,
) -> None:
    before = await known(root)
    (seq, leaning), *_ = ask(
        root,
        "SELECT b.seq, a.seq FROM obj AS a JOIN obj AS b ON b.seq = a.base"
        " WHERE b.base IS NOT NULL AND b.flags & 1 ORDER BY length(b.v)",
    )
    ((octets,),) = ask(root, "SELECT v FROM obj WHERE seq = ?", [seq])
    rotten = flipped(octets, len(octets) // 2)
    change(root, "UPDATE obj SET v = ? WHERE seq = ?", [rotten, seq])
    broken = {one.where for one in await findings(root) if one.level is Level.CONTENT}
    assert {f"row {seq}", f"row {leaning}"} <= broken
    done = await repaired(root)
    assert done.salvaged is not None
    assert {seq, leaning} <= set(done.salvaged.mended)
    assert (done.salvaged.superseded, done.salvaged.heads) == ([], 0)
    assert await findings(root) == []
    assert await known(root) == before


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["base", "flags"])
async def test_a_form_that_rotted_is_found_and_put_right(root: Path, name: str) -> None:
    before = await known(root)
    ((seq,), *_) = ask(root, "SELECT seq FROM obj WHERE base IS NOT NULL ORDER BY size")
    flip = f"UPDATE obj SET {name} = {name} + 1 - 2 * ({name} & 1) WHERE seq = ?"  # noqa: S608 - as above
    change(root, flip, [seq])
    assert f"row {seq}" in {one.where for one in await findings(root)}
    done = await repaired(root)
    assert done.salvaged is not None
    assert (done.salvaged.superseded, done.salvaged.lost) == ([], [])
    assert await findings(root) == []
    assert await known(root) == before


@pytest.mark.anyio
async def test_a_gap_that_rotted_is_found_and_nothing_is_dropped_by_it(root: Path) -> None:
    before = await known(root)
    change(root, "INSERT INTO gap VALUES (0, 2000, zeroblob(8))")
    rows = ask(root, "SELECT seq FROM obj")
    async with opened(root, 1) as (store,):
        await store.compact_once()
        await store.settle()
    assert ask(root, "SELECT seq FROM obj") == rows
    assert {one.where for one in await findings(root)} == {"gap 0"}
    await repaired(root)
    assert await findings(root) == []
    assert await known(root) == before


@pytest.mark.anyio
async def test_nothing_is_forgotten_by_a_head_that_rotted(root: Path) -> None:
    async with opened(root, 1) as (store,):
        await store.commit([put_of(made(4, "Late"), LATE + 10 * DAY_S)])
        await store.settle()
    change(root, "UPDATE head SET seq = seq + 900 WHERE n = 1")
    rows = ask(root, "SELECT seq FROM obj")
    async with opened(root, 1) as (store,):
        with pytest.raises(DamagedError, match="commit"):
            await store.compact_once()
    assert ask(root, "SELECT seq FROM obj") == rows


@pytest.mark.anyio
async def test_a_heap_that_is_written_anew_shows_the_same_moments(root: Path) -> None:
    before = await known(root)
    async with opened(root, 1) as (store,):
        shown = await moments(store)
    change(root, "UPDATE snapshot SET at = at + 1")
    done = await repaired(root)
    assert done.salvaged is not None
    assert (done.salvaged.heads, done.salvaged.superseded, done.salvaged.lost) == (0, [], [])
    assert ask(root, "SELECT count(*) FROM obj WHERE base IS NOT NULL") == [(0,)]
    assert ask(root, "SELECT count(*) > 50 FROM obj WHERE flags > 0") == [(1,)]
    async with opened(root, 1) as (store,):
        assert await moments(store) == shown
        await store.compact_once()
        assert store.savings().coded_rows > DAYS // 2
        await store.settle()
    assert await findings(root) == []
    assert await known(root) == before


@pytest.mark.anyio
async def test_a_backup_brings_it_back_as_it_was(root: Path, tmp_path: Path) -> None:
    before = await known(root)
    copy, target = tmp_path / "copy", tmp_path / "target"
    back_up(root, copy, made_by="a test", at=LATE, tell=lambda _what, _more: None)
    target.mkdir()
    with owned(target, "a test"):
        restore(copy, target, token=bytes, tell=lambda _what, _more: None)
    assert await known(target) == before
    assert await findings(target) == []


@pytest.mark.anyio
async def test_in_other_shards_it_is_the_same_and_there_and_back(root: Path) -> None:
    before = await known(root)
    for shards in (3, 1):
        done = await anyio.to_thread.run_sync(resharded, root, shards)
        assert bytes.fromhex(done.root) == before.root
        after = await known(root, shards)
        assert (after.root, after.held) == (before.root, before.held)
        assert after.then == before.then
        async with opened(root, shards) as stores:
            for store in stores:
                (mark,) = await store.history.snapshots()
                assert mark.name == "middle"
                await store.history.tree(mark.change or 0)
    assert await findings(root) == []

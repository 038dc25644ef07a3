"""A check of a shard's files finds what is not right, at the level that looks there."""

import os
import sqlite3
from collections.abc import Mapping, Set
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from keygrove.errors import DiskFullError, StoreError
from keygrove.storage import heap
from keygrove.storage.audit import Action, Effect, Record
from keygrove.storage.fsck.checking import Checked, Subject, check_shard
from keygrove.storage.fsck.findings import FINDINGS_MAX, Level
from keygrove.storage.fsck.repair import Repaired, repair
from keygrove.storage.fsck.salvage import LOST_REASON, Task
from keygrove.storage.fsck.tell import untold
from keygrove.storage.fsck.wanted import Refetch, nowhere
from keygrove.storage.mark import Snapshot
from keygrove.storage.opening import Home, open_store
from keygrove.storage.sqlite import SqliteStore
from keygrove.storage.write import Cause, Denial, Lift, Redaction
from keygrove.system.rawfiles import RawFiles
from keygrove.system.sqlite import SqliteFiles
from keygrove_chaos.certificates import made, put_of
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.redaction import PartHash

HOME = Home("shard-0", "0/1", bytes(16))
PUTS = [put_of(made(number, f"Name{number} " + "x" * 1500)) for number in range(40)]
NEWER = put_of(made(2, "Newer"))
DENIED, LIFTED, CHANGED = PUTS[0].fingerprint, PUTS[1].fingerprint, PUTS[2].fingerprint
ROWS = 43
NOW = 99


@pytest.fixture
async def root(tmp_path: Path) -> Path:
    """A shard that was stopped in order: 40 certificates, one denied, one lifted, one changed."""
    async with open_store(SqliteFiles(tmp_path), HOME, anyio.Semaphore(1), durable=False) as one:
        store = await one.finish()
        for start in range(0, 40, 10):
            await store.commit(PUTS[start : start + 10])
        record = Record(None, Action.DENY, Effect.DONE, DENIED, "spam", 5, bytes(8))
        hidden = Redaction(LIFTED, frozenset([PartHash(bytes(32))]), 5)
        mark = Snapshot("before", b"", 5)
        await store.commit([Denial(DENIED, "spam", 5)], [record], [hidden], [mark])
        await store.commit([Lift(LIFTED, 6)])
        await store.commit([NEWER])
        await store.settle()
    return tmp_path


def _change(root: Path, *statements: str, file: str = "heap.db") -> None:
    with closing(sqlite3.connect(root / "shard-0" / file, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


def _subject(root: Path, *, is_live: bool = False) -> Subject:
    return Subject(SqliteFiles(root), RawFiles(root), "shard-0", 0, 1, is_live=is_live)


async def _check(root: Path, level: Level = Level.HISTORY, *, is_live: bool = False) -> Checked:
    return await check_shard(_subject(root, is_live=is_live), level, untold)


async def _levels(root: Path, level: Level = Level.HISTORY) -> set[Level]:
    return {one.level for one in (await _check(root, level)).findings.all()}


async def _repair(root: Path, refetch: Refetch = nowhere) -> Repaired:
    checked = await _check(root)
    task = Task("0/1", b"u" * 16, NOW, refetch)
    return await repair(_subject(root), checked, task, untold)


async def _served(root: Path) -> list[bytes | None]:
    async def ask(store: SqliteStore) -> list[bytes | None]:
        found = await store.get([put.fingerprint for put in PUTS])
        return [None if one is None else one.packets for one in found]

    async with open_store(SqliteFiles(root), HOME, anyio.Semaphore(1), durable=False) as one:
        return await ask(await one.finish())


HELD = [None, None, NEWER.packets, *(put.packets for put in PUTS[3:])]


@pytest.mark.anyio
async def test_a_whole_shard_has_no_findings(root: Path) -> None:
    told: list[str] = []

    def tell(step: str, _done: int, _total: int, /) -> None:
        told.append(step)

    checked = await check_shard(_subject(root), Level.HISTORY, tell)
    assert checked.findings.all() == []
    assert checked.skipped == ()
    assert checked.rows == ROWS
    steps = ("structure", "index", "content", "tree", "semantic", "history")
    assert list(dict.fromkeys(told)) == list(steps)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM term WHERE id IN (SELECT id FROM term LIMIT 1)",
        "UPDATE term SET id = x'00' WHERE id IN (SELECT id FROM term LIMIT 1)",
        "INSERT INTO term VALUES (1, x'00', x'00')",
        "INSERT INTO word (rowid, t) VALUES (3, 'nobodys')",
        "UPDATE key SET seq = 4 WHERE seq = 5",
        "DELETE FROM key WHERE seq = 5",
        "UPDATE key SET md5 = x'00' WHERE seq = 5",
        "DELETE FROM deny",
        "INSERT INTO gone VALUES (x'00', 7)",
        "UPDATE stat SET value = value + 1 WHERE name = 'packet_bytes'",
        "UPDATE hour SET updated = updated + 1",
    ],
)
async def test_level_2_finds_what_does_not_follow_from_the_heap(root: Path, statement: str) -> None:
    _change(root, statement, file="index.db")
    assert await _levels(root) == {Level.INDEX}
    assert await _levels(root, Level.STRUCTURE) == set()
    repaired = await _repair(root)
    assert (repaired.is_index_anew, repaired.salvaged) == (True, None)
    assert await _levels(root) == set()
    assert await _served(root) == HELD


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("statement", "also"),
    [
        ("UPDATE obj SET at = at + 1 WHERE seq = 5", ()),
        ("UPDATE obj SET v = zeroblob(9) WHERE seq = 3", ()),
        ("UPDATE obj SET v = CAST(v AS TEXT) WHERE seq = 5", ()),
        ("UPDATE obj SET origin = CAST(x'ff' AS TEXT) WHERE seq = 5", ()),
        ("UPDATE obj SET h = zeroblob(32) WHERE seq = 5", (Level.INDEX, Level.TREE)),
        ("UPDATE head SET at = at + 1 WHERE n = 2", ()),
        ("UPDATE audit SET reason = 'good'", ()),
        ("UPDATE redact SET ids = zeroblob(64)", ()),
        ("UPDATE snapshot SET n = 3", ()),
    ],
)
async def test_level_3_finds_what_is_not_as_written(
    root: Path, statement: str, also: tuple[Level, ...]
) -> None:
    _change(root, statement)
    assert await _levels(root) == {Level.CONTENT, *also}
    assert Level.CONTENT not in await _levels(root, Level.INDEX)
    await _repair(root)
    assert await _levels(root) == set()


@pytest.mark.anyio
async def test_level_4_finds_a_row_that_is_gone(root: Path) -> None:
    (root / "shard-0/index.db").unlink()
    _change(root, "DELETE FROM obj WHERE seq = 5")
    assert await _levels(root, Level.CONTENT) == set()
    assert await _levels(root, Level.TREE) == {Level.TREE}


@pytest.mark.anyio
async def test_level_6_finds_a_chain_that_leads_elsewhere(root: Path) -> None:
    _change(root, "UPDATE obj SET old = 7 WHERE seq = 43")
    assert Level.HISTORY in await _levels(root)


@pytest.mark.anyio
async def test_the_log_of_a_shard_that_was_killed_is_looked_at(tmp_path: Path) -> None:
    async with open_store(SqliteFiles(tmp_path), HOME, anyio.Semaphore(1), durable=True) as one:
        store = await one.finish()
        for put in PUTS[:5]:
            await store.commit([put])
    assert await _levels(tmp_path) == set()
    log = tmp_path / "shard-0/heap.db-wal"
    data = bytearray(log.read_bytes())
    data[len(data) * 2 // 3] ^= 1
    log.write_bytes(data)
    (finding,) = (await _check(tmp_path)).findings.all()
    assert finding.level is Level.STRUCTURE
    assert "acknowledged changes may be gone" in finding.advice


@pytest.mark.anyio
async def test_an_index_ahead_of_its_heap_tells_that_changes_are_gone(root: Path) -> None:
    _change(root, "DELETE FROM obj WHERE seq = 43", "DELETE FROM head WHERE n = 7")
    (finding,) = (await _check(root)).findings.all()
    assert finding.what == f"it ends at row {ROWS - 1}, and its index has row {ROWS}"
    repaired = await _repair(root)
    assert repaired.salvaged is not None
    assert [(one.seq, one.fingerprint) for one in repaired.salvaged.lost] == [(ROWS, CHANGED)]
    assert (await _served(root))[2] is None  # not the older version, which is there
    assert await _levels(root) == set()


@pytest.mark.anyio
@pytest.mark.parametrize("octets", [100, 1000, 5000, 9000, 40_000])
@pytest.mark.parametrize("level", [Level.STRUCTURE, Level.HISTORY])
async def test_an_index_that_was_cut_is_told_as_such_and_made_anew(
    root: Path, octets: int, level: Level
) -> None:
    os.truncate(root / "shard-0/index.db", octets)
    (finding,) = (await _check(root, level)).findings.all()
    assert (finding.level, finding.file) == (Level.STRUCTURE, "index.db")
    assert "heap.db" not in str(finding)
    assert finding.advice.endswith("which makes it anew")
    assert (await _repair(root)).salvaged is None
    assert await _levels(root) == set()


@pytest.mark.anyio
@pytest.mark.parametrize(("file", "other"), [("heap.db", "index.db"), ("index.db", "heap.db")])
async def test_a_file_that_is_no_database_is_the_one_that_is_told(
    root: Path, file: str, other: str
) -> None:
    (root / "shard-0" / file).write_bytes(b"nothing of the kind " * 5_000)
    (finding,) = (await _check(root)).findings.all()
    assert (finding.level, finding.file) == (Level.STRUCTURE, file)
    assert f"{file} is damaged" in finding.what
    assert other not in str(finding)


@pytest.mark.anyio
async def test_beside_a_server_the_index_is_passed_over_and_told(root: Path) -> None:
    _change(root, "DELETE FROM deny", file="index.db")
    checked = await _check(root, is_live=True)
    assert checked.findings.all() == []
    assert [text.split(":")[1] for text in checked.skipped] == [
        " its logs skipped, for a server writes here",
        " level 2, its index, skipped, for a server writes here",
    ]


@pytest.mark.anyio
async def test_a_heap_of_a_newer_program_is_told_and_left_alone(root: Path) -> None:
    _change(root, f"PRAGMA user_version = {heap.FORMAT + 1}")
    before = (root / "shard-0/heap.db").read_bytes()
    (finding,) = (await _check(root)).findings.all()
    assert finding.what.endswith(": run a newer keygrove")
    assert finding.advice == ""
    assert str(finding).endswith(": run a newer keygrove")
    with pytest.raises(StoreError, match="run a newer keygrove"):
        await _repair(root)
    assert (root / "shard-0/heap.db").read_bytes() == before
    assert (root / "shard-0/index.db").exists()


@pytest.mark.anyio
async def test_one_bit_is_put_right_and_nothing_is_lost(root: Path) -> None:
    path = root / "shard-0/heap.db"
    data = bytearray(path.read_bytes())
    data[data.rindex(PUTS[9].packets) + 100] ^= 8
    path.write_bytes(data)
    before = await _head(root)
    repaired = await _repair(root)
    assert repaired.salvaged is not None
    assert (repaired.salvaged.mended, repaired.salvaged.lost) == ([10], [])
    assert await _served(root) == HELD
    assert await _head(root) == before
    assert await _levels(root) == set()


@pytest.mark.anyio
async def test_what_is_made_anew_is_as_private_as_what_was_there(root: Path) -> None:
    (root / "shard-0/heap.db").chmod(0o640)
    _change(root, "UPDATE obj SET v = zeroblob(9) WHERE seq = 43")
    await _repair(root)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (root / "shard-0").iterdir()}
    assert set(modes) >= {"heap.db", "heap.db.damaged-1", "index.db"}
    assert set(modes.values()) == {0o640}


@pytest.mark.anyio
async def test_a_repair_that_fails_leaves_nothing_behind(root: Path) -> None:
    async def fail(_: Set[Digest]) -> Mapping[Digest, bytes]:
        raise DiskFullError("heap.new.db")

    _change(root, "UPDATE obj SET v = zeroblob(9) WHERE seq = 5")
    files = {"heap.db", "heap.db-wal", "index.db", "index.db-wal"}
    with pytest.raises(DiskFullError):
        await _repair(root, fail)
    found = {path.name for path in (root / "shard-0").iterdir() if not path.name.endswith("-shm")}
    assert found == files


async def _head(root: Path) -> object:
    async with open_store(SqliteFiles(root), HOME, anyio.Semaphore(1), durable=False) as one:
        return (await one.finish()).head()


@pytest.mark.anyio
async def test_what_a_dump_has_is_put_back(root: Path) -> None:
    async def refetch(wanted: Set[Digest]) -> Mapping[Digest, bytes]:
        assert wanted == {PUTS[4].digest, PUTS[5].digest}
        return {PUTS[4].digest: PUTS[4].packets, PUTS[5].digest: b"something else"}

    _change(root, "UPDATE obj SET v = zeroblob(9) WHERE seq IN (5, 6)")
    repaired = await _repair(root, refetch)
    assert repaired.salvaged is not None
    assert repaired.salvaged.mended == [5]
    assert [one.fingerprint for one in repaired.salvaged.lost] == [PUTS[5].fingerprint]
    assert await _served(root) == [*HELD[:5], None, *HELD[6:]]


@pytest.mark.anyio
async def test_what_is_lost_is_not_served_in_an_older_version(root: Path) -> None:
    _change(root, "UPDATE obj SET v = zeroblob(9) WHERE seq = 43")
    repaired = await _repair(root)
    assert repaired.salvaged is not None
    assert [one.fingerprint for one in repaired.salvaged.lost] == [CHANGED]
    assert await _served(root) == [*HELD[:2], None, *HELD[3:]]
    async with open_store(SqliteFiles(root), HOME, anyio.Semaphore(1), durable=False) as one:
        store = await one.finish()
        log = (await store.history.log(None, 1000)).entries
        assert (log[-1].fingerprint, log[-1].cause, log[-1].at) == (CHANGED, Cause.REPAIR, NOW)
        await store.commit([NEWER])
    assert (await _served(root))[2] == NEWER.packets


@pytest.mark.anyio
async def test_a_denial_outlasts_the_row_that_said_so(root: Path) -> None:
    _change(root, "UPDATE obj SET denial = x'', at = 7 WHERE seq = 41")
    repaired = await _repair(root)
    assert repaired.salvaged is not None
    assert [one.is_denial for one in repaired.salvaged.lost] == [True]
    async with open_store(SqliteFiles(root), HOME, anyio.Semaphore(1), durable=False) as one:
        (denial,) = await (await one.finish()).denials_of([DENIED])
    assert denial is not None
    assert (denial.reason, denial.at, denial.digests) == (LOST_REASON, NOW, ())


@pytest.mark.anyio
async def test_an_older_version_that_rotted_costs_history_only(root: Path) -> None:
    _change(root, "UPDATE obj SET v = zeroblob(9) WHERE seq = 3")
    repaired = await _repair(root)
    assert repaired.salvaged is not None
    assert (repaired.salvaged.superseded, repaired.salvaged.lost) == ([3], [])
    assert await _served(root) == HELD
    assert await _levels(root) == set()


@pytest.mark.anyio
@pytest.mark.parametrize("page", range(3, 15))
async def test_a_page_that_is_gone_costs_what_lay_on_it(root: Path, page: int) -> None:
    path = root / "shard-0/heap.db"
    damaged = path.read_bytes()
    at = page * heap.PAGE_BYTES
    damaged = damaged[:at] + b"\xff" * heap.PAGE_BYTES + damaged[at + heap.PAGE_BYTES :]
    path.write_bytes(damaged)
    assert await _levels(root) != set()
    repaired = await _repair(root)
    assert repaired.salvaged is not None
    assert (root / repaired.kept).read_bytes() == damaged
    lost = {one.fingerprint for one in repaired.salvaged.lost}
    assert len(lost) < 12
    expected = [
        None if put.fingerprint in lost else packets
        for put, packets in zip(PUTS, HELD, strict=True)
    ]
    assert await _served(root) == expected
    assert await _levels(root) == set()
    again = await _repair(root)
    assert again == Repaired()


@pytest.mark.anyio
async def test_more_findings_than_anybody_reads_are_counted(root: Path) -> None:
    async with open_store(SqliteFiles(root), HOME, anyio.Semaphore(1), durable=False) as one:
        store = await one.finish()
        for _ in range(4):
            await store.commit(PUTS[3:])
        await store.settle()
    _change(root, "UPDATE obj SET at = at + 1")
    found = (await _check(root, Level.CONTENT)).findings.at(Level.CONTENT)
    assert len(found) == FINDINGS_MAX + 1
    assert found[-1].what == f"{ROWS + 4 * 37 - FINDINGS_MAX} more of level 3"

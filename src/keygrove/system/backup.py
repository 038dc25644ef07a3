"""Backups: the heaps of all shards, and what nothing can make again beside them.

Beside them are the server's key, and how far the targets of push are: a server that is restored
goes on with what they lack.

A heap is copied by SQLite's own means, from a connection that only reads, within one transaction
of that: so the copy is what one commit left, and others go on committing meanwhile. These
transactions begin together, so that the copies are of one moment. Each copy is then opened, and
its tree made anew from its rows. What is derived from a heap is left out.
"""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import msgspec
from blake3 import blake3

from keygrove.errors import DamagedError, DataDirError, DiskFullError, StoreError
from keygrove.push.placefile import FILE as PLACES
from keygrove.storage.heap import Tip, check
from keygrove.system import manifest, replacing
from keygrove.system.datadir import LOCK, PRECIOUS
from keygrove.system.heaps import checked, files_worded, heap_paths, held_heaps, set_root
from keygrove.system.manifest import Content, Manifest, ShardCopy
from keygrove.system.replacing import synchronise
from keygrove.system.sqlite import session

PAGES = 256
PAUSE_S = 0.002
"""After so many pages others have the disk to themselves for a while."""
SYNC_BYTES = 32 << 20
"""What is written is brought to the disk bit by bit: all at once at the end would hold up the
commits of others."""
CHUNK_BYTES = 1 << 20
PINS = 100
"""Tries to find all shards at one moment. Each takes less than a millisecond."""

Tell = Callable[[str, int], None]
"""Told what is done at the moment, and how many octets of it more."""


def back_up(root: Path, target: Path, *, made_by: str, at: int, tell: Tell) -> Manifest:
    """Copy the store below `root`, whether a server runs on it or not, into a new folder.

    Whatever is raised, nothing stays of the target.

    Args:
        at: seconds, UTC.

    Raises:
        DataDirError: there is no store, or the target is below `root`, or not empty, or cannot be
            written.
        DiskFullError: the target's disk is full.
        StoreError: a heap cannot be read, or is damaged.
    """
    if target.resolve().is_relative_to(root.resolve()):
        raise DataDirError(
            f"{target} is in the data directory {root}: name a directory elsewhere, best on "
            "another disk"
        )
    heaps = held_heaps(root)
    copies: list[ShardCopy] = []
    slots: list[bytes] = []
    with new_folder(target):
        # Before the heaps: it must not tell of changes that they do not have.
        files = _copied_places(root / PLACES, target / PLACES, tell)
        with _pinned(heaps) as pinned:
            for number, path in enumerate(heap_paths(target, len(heaps))):
                db = pinned[number]
                path.parent.mkdir(mode=0o700)
                with _named_when_whole(path) as part:
                    tell(f"copying shard {number}", 0)
                    _copy_database(db, part, tell)
                    db.execute("ROLLBACK")
                    tell(f"checking shard {number}", 0)
                    tip, some = checked(part, f"{number}/{len(heaps)}", is_whole=True)
                    copies.append(_described(tip, _content(part)))
                    slots.append(some)
                synchronise(path.parent)
        for name in PRECIOUS:
            with suppress(FileNotFoundError):
                files[name] = _copy(root / name, target / name)
        made = Manifest(
            format=manifest.FORMAT,
            made_by=made_by,
            at=at,
            root=set_root(slots).hex(),
            certificates=sum(one.certificates for one in copies),
            shards=tuple(copies),
            files=files,
        )
        with _named_when_whole(target / manifest.NAME) as part:
            part.write_bytes(msgspec.json.format(msgspec.json.encode(made)) + b"\n")
            synchronise(part)
            synchronise(target)
        synchronise(target)
    return made


def restore(source: Path, root: Path, *, token: Callable[[int], bytes], tell: Tell) -> Manifest:
    """Put a backup into an empty data directory, whose lock is ours.

    Each heap gets another uuid: it is no more the one that went on where it was copied, and an
    index of that one must never be taken for its own. Whatever is raised, the directory is as empty
    as before.

    Args:
        token: random octets, so many.

    Raises:
        DataDirError: it is no backup, or the directory is not empty, or cannot be written.
        DiskFullError: its disk is full.
        DamagedError: the backup is not what was written.
        StoreError: it was made by a newer program.
    """
    wanted = manifest.read(source)
    slots: list[bytes] = []
    with files_worded(root):
        _ensure_empty(root, {LOCK, replacing.UNFINISHED})
        part = replacing.begin(root)
        try:
            paths = heap_paths(part, len(wanted.shards))
            for number, (path, expected) in enumerate(zip(paths, wanted.shards, strict=True)):
                path.parent.mkdir(mode=0o700)
                tell(f"copying shard {number}", 0)
                given = source / path.relative_to(part)
                content = _copied(given, path, expected.heap, tell)
                tell(f"checking shard {number}", 0)
                tip, some = checked(path, f"{number}/{len(paths)}")
                found = _described(tip, content)
                if found != expected:
                    raise DamagedError(
                        f"{given} is not what {manifest.NAME} says, which is otherwise in "
                        f"{', '.join(_differing(found, expected))}: {_OTHER}"
                    )
                slots.append(some)
                _name_anew(path, token(16))
            if set_root(slots).hex() != wanted.root:
                raise DamagedError(
                    f"{source} has not the root that its {manifest.NAME} says: {_OTHER}"
                )
            held = sum(one.certificates for one in wanted.shards)
            if held != wanted.certificates:
                raise DamagedError(
                    f"{source} has {held:,} certificates, and its {manifest.NAME} says "
                    f"{wanted.certificates:,}: {_OTHER}"
                )
            for name, content in wanted.files.items():
                _copied(source / name, part / name, content, tell)
            replacing.commit(root)
        finally:
            replacing.discard(root)
    return wanted


_OTHER = "use another backup"


@contextmanager
def _pinned(heaps: Sequence[Path]) -> Generator[list[sqlite3.Connection], None, None]:
    """Connections to heaps, each within a transaction that goes on reading what it finds now.

    Without it SQLite would begin a copy anew after each commit of others, and never end under load
    (sqlite.org/backup.html). If no heap was written between the look of its transaction and
    another's that came behind all of them, then they all are of one moment.
    """
    with ExitStack() as opened:
        pinned = [opened.enter_context(session(heap)) for heap in heaps]
        with ExitStack() as looking:
            others = [looking.enter_context(session(heap)) for heap in heaps]
            for _ in range(PINS):
                for db in pinned:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    db.execute("BEGIN")
                if _tips(pinned) == _tips(others):
                    break
        yield pinned


def _tips(heaps: Sequence[sqlite3.Connection]) -> list[Tip]:
    return [check(db, f"{number}/{len(heaps)}") for number, db in enumerate(heaps)]


def _copied_places(source: Path, target: Path, tell: Tell) -> dict[str, Content]:
    """How far the targets of push are, by the name of its copy, if there are any."""
    if not source.exists():
        return {}
    with session(source) as db, _named_when_whole(target) as part:
        _copy_database(db, part, tell)
    return {target.name: _content(target)}


def _copy_database(db: sqlite3.Connection, target: Path, tell: Tell) -> None:
    (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
    target.touch(mode=0o600)
    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        copy.execute("PRAGMA journal_mode = OFF")
        copy.execute("PRAGMA synchronous = OFF")
        copied = synchronised = 0

        def step(_: int, left: int, total: int) -> None:
            nonlocal copied, synchronised
            now = (total - left) * page_bytes
            tell("", now - copied)
            copied = now
            if copied - synchronised >= SYNC_BYTES:
                synchronise(target)
                synchronised = copied
            time.sleep(PAUSE_S)

        try:
            db.backup(copy, pages=PAGES, progress=step)
        except sqlite3.DatabaseError as error:
            raise _copy_error(target, error) from error
    synchronise(target)


def _copy_error(target: Path, error: sqlite3.DatabaseError) -> Exception:
    """Whichever of the two files it was that SQLite could not go on with."""
    if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL:
        return DiskFullError(str(target))
    return StoreError(f"cannot copy a database to {target}: {error}")


def _described(tip: Tip, content: Content) -> ShardCopy:
    return ShardCopy(tip.uuid.hex(), tip.head.change, tip.head.root.hex(), tip.head.size, content)


def _differing(one: ShardCopy, other: ShardCopy) -> list[str]:
    fields = ShardCopy.__struct_fields__
    return [name for name in fields if getattr(one, name) != getattr(other, name)]


def _name_anew(path: Path, uuid: bytes) -> None:
    with session(path, writable=True) as db:
        db.execute("UPDATE meta SET v = ? WHERE k = 'uuid'", (uuid,))
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    synchronise(path)


def _copied(source: Path, target: Path, expected: Content, tell: Tell) -> Content:
    """Copy a file of a backup, which has to be what its manifest says."""
    try:
        content = _copy(source, target, tell)
    except FileNotFoundError as error:
        raise DamagedError(f"{error.filename} is missing: {_OTHER}") from error
    if content != expected:
        raise DamagedError(f"{source} is not what was backed up: {_OTHER}")
    return content


def _copy(source: Path, target: Path, tell: Tell | None = None) -> Content:
    """Copy a file, and have it on the disk; it is for its owner alone."""
    hash_, size = blake3(), 0
    with source.open("rb") as given:
        file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as copy:
            while part := given.read(CHUNK_BYTES):
                copy.write(part)
                hash_.update(part)
                size += len(part)
                if tell is not None:
                    tell("", len(part))
            copy.flush()
            os.fsync(file)
    return Content(size, hash_.hexdigest())


def _content(path: Path) -> Content:
    return Content(path.stat().st_size, blake3().update_mmap(path).hexdigest())


@contextmanager
def _named_when_whole(path: Path) -> Generator[Path, None, None]:
    """Where to write a file, which gets its own name at the end."""
    part = path.with_name(f"{path.name}.part")
    yield part
    part.rename(path)


@contextmanager
def new_folder(folder: Path, mode: int = 0o700) -> Generator[None, None, None]:
    """An empty folder, made if need be; empty, or gone, again if the block fails.

    Raises:
        DataDirError: it cannot be made, or is not empty.
        DiskFullError: there is no room.
    """
    with files_worded(folder):
        was_there = folder.is_dir()
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        _ensure_empty(folder, set())
        try:
            yield
            if not was_there:
                synchronise(folder.parent)
        except BaseException:
            for path in _within(folder):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            if not was_there:
                folder.rmdir()
            raise


def _ensure_empty(folder: Path, but: set[str]) -> None:
    if any(path.name not in but for path in _within(folder)):
        raise DataDirError(f"{folder} is not empty: name an empty or a new directory")


def _within(folder: Path) -> Iterator[Path]:
    return iter(sorted(folder.iterdir()))

"""Other stores, given the same keys and bodies in the same batches, durably.

None of them but prollytree and git keeps a tree, and none an index as we do. dulwich is given
objects only; it leaves it to the system when they reach the disk, and git's importer is durable at
its end.
"""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter
from typing import Final, TypeAlias

from keygrove_bench.storage.made import name
from keygrove_bench.storage.worker import Figures, NotRunError, imported, written_bytes

Pairs: TypeAlias = Sequence[tuple[bytes, bytes]]

_MAP_BYTES: Final = 64 << 30
"""Of address space, not of the disk."""


def sqlite(keys: str, batch: str, octets: str, folder: str) -> Figures:
    """Rows in a table by fingerprint, with a log and `synchronous=FULL`."""
    db = sqlite3.connect(Path(folder) / "peer.db", isolation_level=None)
    for pragma in ("page_size = 8192", "journal_mode = WAL", "synchronous = FULL"):
        db.execute(f"PRAGMA {pragma}").fetchall()
    db.execute("CREATE TABLE obj (seq INTEGER PRIMARY KEY, fp BLOB NOT NULL UNIQUE, v BLOB)")

    def put(pairs: Pairs) -> None:
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO obj VALUES (NULL, ?, ?)", pairs)
        db.execute("COMMIT")

    def end() -> None:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        db.close()

    return _timed(put, end, keys, batch, octets)


def lmdb(keys: str, batch: str, octets: str, folder: str) -> Figures:
    """A map by fingerprint, synchronised with each transaction."""
    environment = imported("lmdb").open(folder, map_size=_MAP_BYTES)

    def put(pairs: Pairs) -> None:
        with environment.begin(write=True) as transaction:
            for key, value in pairs:
                transaction.put(key, value)

    return _timed(put, environment.close, keys, batch, octets)


def git(keys: str, batch: str, octets: str, folder: str) -> Figures:
    """Files named by fingerprint, by `git fast-import`, a commit for each batch."""
    try:
        subprocess.run(["git", "init", "--quiet", "--bare", folder], check=True)
    except OSError as error:
        raise NotRunError("git is not installed: apt-get install git") from error
    command = ["git", "-c", "core.fsync=all", "fast-import", "--quiet"]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE) as importer:
        stream = importer.stdin
        assert stream is not None

        def put(pairs: Pairs) -> None:
            parts = [b"commit refs/heads/main\ncommitter a <a> 0 +0000\ndata 0\n"]
            for key, value in pairs:
                path = key.hex().encode()
                parts.append(b"M 644 inline %s/%s\ndata %d\n" % (path[:2], path[2:], len(value)))
                parts += (value, b"\n")
            stream.write(b"".join(parts))
            stream.flush()

        def end() -> None:
            stream.close()
            if importer.wait():
                raise NotRunError("git fast-import failed")

        return _timed(put, end, keys, batch, octets)


def dulwich(keys: str, batch: str, octets: str, folder: str) -> Figures:
    """Objects named by their hash, a pack for each batch."""
    blob = imported("dulwich.objects").Blob.from_string
    repository = imported("dulwich.repo").Repo.init_bare(folder)

    def put(pairs: Pairs) -> None:
        repository.object_store.add_objects([(blob(value), None) for _, value in pairs])

    return _timed(put, repository.close, keys, batch, octets)


def prollytree(keys: str, batch: str, octets: str, folder: str) -> Figures:
    """A Merkle map whose root depends on the set alone, in files, saved with each batch."""
    tree = imported("prollytree").ProllyTree(storage_type="file", path=folder)

    def put(pairs: Pairs) -> None:
        tree.insert_batch(list(pairs))
        tree.save_config()

    return _timed(put, lambda: None, keys, batch, octets)


def _timed(
    put: Callable[[Pairs], None], end: Callable[[], None], keys: str, batch: str, octets: str
) -> Figures:
    took: list[float] = []
    size, begun_bytes = int(batch), written_bytes()
    for first in range(0, int(keys), size):
        numbers = range(first, first + size)
        pairs = [(bytes(name(at)), Random(at).randbytes(int(octets))) for at in numbers]
        begun = perf_counter()
        put(pairs)
        took.append((perf_counter() - begun) / size * 1e6)
    begun = perf_counter()
    end()
    spent = sum(took) * size / 1e6 + perf_counter() - begun
    written = (written_bytes() - begun_bytes) / (int(keys) * int(octets))
    return {"p50": median(took), "all_in": spent / int(keys) * 1e6, "written": written}

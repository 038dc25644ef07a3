"""Bits that flip in a shard's files: what a check finds of them, and what is served in spite of it.

A shard is made once, and copied for each flip of one bit, anywhere: in rows, in free space, in an
index, in a log. Then it is checked, opened, and asked all that can be asked of it.
"""

import random
import shutil
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import anyio
import msgspec

from keygrove.errors import KeygroveError
from keygrove.storage.audit import Action, Effect, Record
from keygrove.storage.fsck.checking import Subject, check_shard
from keygrove.storage.fsck.findings import Level
from keygrove.storage.fsck.tell import untold
from keygrove.storage.mark import Snapshot
from keygrove.storage.opening import Home, open_store
from keygrove.storage.sqlite import SqliteStore
from keygrove.storage.write import Denial, Lift, Put, Redaction
from keygrove.system.rawfiles import RawFiles
from keygrove.system.sqlite import SqliteFiles
from keygrove_chaos.certificates import made, put_of, with_aside
from keygrove_protocols.openpgp.redaction import PartHash

HOME = Home("shard-0", "0/1", bytes(16))
NAMES = ("heap.db", "heap.db-wal", "index.db", "index.db-wal")
CERTIFICATES = 60
OPENINGS = 3
"""An index that is not right is made anew by the second, as the actor of the shard has it."""
REFUSED = "refused"
"""The answer of who sees that what he read is not what was written."""

Seen: TypeAlias = Mapping[str, object]
"""All answers, by what was asked."""


def puts() -> list[Put]:
    """What the shard holds, or held: certificates of up to two kilobytes."""
    some = [
        put_of(made(number, f"Name{number} Surname <n{number}@example.org>" + "x" * number * 30))
        for number in range(CERTIFICATES)
    ]
    return [*some[1:], with_aside(some[0], b"aside" * 500)]


def newer() -> Put:
    """Another version of one of them."""
    return put_of(made(2, "Other <other@example.org>"))


class Flip(msgspec.Struct, frozen=True):
    """A bit of a file."""

    file: str
    bit: int


class Verdict(msgspec.Struct, frozen=True):
    """What became of a shard in which a bit had flipped."""

    is_found: bool
    """By a check up to level 4."""
    differing: tuple[str, ...]
    """What was answered otherwise than before."""
    served: tuple[str, ...]
    """Of these, certificates answered with what never was acknowledged."""

    @property
    def is_well(self) -> bool:
        """It was found, or did no harm; and nothing of it was served."""
        return not self.served and (self.is_found or not self.differing)


async def make(root: Path, *, is_stopped: bool) -> None:
    """Make the shard: stopped in order, with empty logs, or ended in the middle of its work."""
    async with open_store(SqliteFiles(root), HOME, anyio.Semaphore(1), durable=True) as opening:
        store = await opening.finish()
        some = puts()
        for start in range(0, len(some), 6):
            await store.commit(some[start : start + 6])
            if start == len(some) // 2:
                await store.settle()
        first, second = some[0], some[1].fingerprint
        name, reason = first.fingerprint, "spam"
        record = Record(None, Action.DENY, Effect.DONE, name, reason, 5, bytes(8))
        hidden = Redaction(second, frozenset([PartHash(bytes(32))]), 5)
        denial = Denial(name, reason, 5, (first.digest,))
        await store.commit([denial], [record], [hidden], [Snapshot("before", b"", 7)])
        await store.commit([Lift(second, 6)])
        await store.commit([newer()])
        if is_stopped:
            await store.settle()


def flip_of(root: Path, seed: str) -> Flip:
    """Some bit of its files."""
    chance = random.Random(seed)  # noqa: S311 - seeded
    sizes = {name: path.stat().st_size for name in NAMES if (path := _path(root, name)).exists()}
    file = chance.choice([name for name, size in sizes.items() if size])
    return Flip(file, chance.randrange(sizes[file] * 8))


async def judge(made_at: Path, before: Seen, flip: Flip, scratch: Path) -> Verdict:
    """Flip a bit in a copy, check it, and ask it everything."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(made_at, scratch)
    path = _path(scratch, flip.file)
    data = bytearray(path.read_bytes())
    data[flip.bit // 8] ^= 1 << flip.bit % 8
    path.write_bytes(data)
    subject = Subject(SqliteFiles(scratch), RawFiles(scratch), "shard-0", 0, 1, is_live=False)
    checked = await check_shard(subject, Level.TREE, untold)
    after = await seen(scratch)
    differing = tuple(name for name, answer in before.items() if after.get(name) != answer)
    genuine = {put.packets for put in (*puts(), newer())}
    served = tuple(name for name in differing if _is_forged(after.get(name), genuine))
    return Verdict(bool(checked.findings.all()), differing, served)


def _is_forged(answer: object, genuine: set[bytes]) -> bool:
    return isinstance(answer, bytes) and answer not in genuine


async def seen(root: Path) -> Seen:
    """Everything that a shard answers; nothing at all if it cannot be opened."""
    found: dict[str, object] = {}
    with suppress(KeygroveError):
        async with open_store(SqliteFiles(root), HOME, anyio.Semaphore(1), durable=True) as opening:
            for _ in range(OPENINGS - 1):
                with suppress(KeygroveError):
                    await opening.finish()
            await _ask_all(await opening.finish(), found)
    return found


async def _ask_all(store: SqliteStore, found: dict[str, object]) -> None:
    async def ask(name: str, work: Awaitable[object]) -> None:
        try:
            found[name] = await work
        except KeygroveError:
            found[name] = REFUSED

    async def packets(put: Put) -> bytes | None:
        (version,) = await store.get([put.fingerprint])
        return None if version is None else version.packets

    for put in (*puts(), newer()):
        names, hexed = [put.fingerprint], put.digest.hex()
        await ask(f"get {hexed}", packets(put))
        await ask(f"whole {hexed}", store.get_whole(names))
        await ask(f"find {hexed}", store.find(sorted(put.terms, key=repr), 10))
        await ask(f"denial {hexed}", store.denials_of(names))
        await ask(f"redactions {hexed}", store.redactions_of(names))
    for word in ("surname", "example", "other", "n7"):
        await ask(f"search {word}", store.search(frozenset([word]), 100))
    history = store.history
    await ask("audit", store.audit(None, 10))
    await ask("snapshots", history.snapshots())
    await ask("log", history.log(None, 1000))
    await ask("change at", history.change_at(6))
    found["counts"], found["head"] = store.counts(), store.head()
    for change in range(1, store.head().change + 1):
        await ask(f"head {change}", history.head(change))


def _path(root: Path, name: str) -> Path:
    return root / "shard-0" / name

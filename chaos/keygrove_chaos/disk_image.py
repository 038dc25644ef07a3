"""What a disk holds: contents and names, each as programs see it and as the medium has it.

A file has a durable image, a cache image, and the changes between them in the order they were
made. Names have the same: creating, renaming and removing are changes of a folder, and durable
when that folder was synchronised. When the power fails each change fares for itself: it is
lost, kept, or torn at the borders of sectors, so later changes may survive earlier ones.
"""

from collections.abc import Iterator
from hashlib import blake2b
from posixpath import dirname
from random import Random
from typing import TypeAlias

import msgspec

from keygrove_chaos.disk_faults import BLOCK_BYTES

SECTORS_BYTES = (512, BLOCK_BYTES)
LOST, KEPT = 0.4, 0.7
"""Below the one a write is lost, below the other kept, above it torn. Source: chaos A.4."""


class Write(msgspec.Struct, frozen=True):
    """Octets at an offset."""

    offset: int
    data: bytes


class Resize(msgspec.Struct, frozen=True):
    """A new length: cut off, or filled up with zeros."""

    size: int


Change: TypeAlias = Write | Resize


class Inode:
    """A file's contents, or a folder."""

    def __init__(self, *, is_folder: bool = False) -> None:
        self.is_folder = is_folder
        self.durable = bytearray()
        self.cache = bytearray()
        self.pending: list[Change] = []

    def change(self, change: Change, *, is_lost: bool = False) -> None:
        """Change what programs see; the medium gets it with the next sync, unless it is lost."""
        _apply(self.cache, change)
        if not is_lost:
            self.pending.append(change)

    def settle(self) -> None:
        """Everything is on the medium now."""
        for change in self.pending:
            _apply(self.durable, change)
        self.pending.clear()

    def drop(self, *, is_evicted: bool) -> None:
        """The medium never gets what it lacks; evicted, reads no longer see it either."""
        self.pending.clear()
        if is_evicted:
            self.cache = bytearray(self.durable)

    def crash(self, chance: Random, torn_bytes: int | None) -> int:
        """The power fails; with `torn_bytes` every write tears there. The number of torn ones."""
        torn = 0
        for change in self.pending:
            torn += _fare(self.durable, change, chance, torn_bytes)
        self.drop(is_evicted=True)
        return torn


def _apply(image: bytearray, change: Change) -> None:
    if isinstance(change, Write):
        _fill(image, change.offset)
        image[change.offset : change.offset + len(change.data)] = change.data
    else:
        _fill(image, change.size)
        del image[change.size :]


def _fill(image: bytearray, size: int) -> None:
    if len(image) < size:
        image.extend(bytes(size - len(image)))


def _fare(image: bytearray, change: Change, chance: Random, torn_bytes: int | None) -> int:
    """What a power failure makes of one change; 1 if it was torn."""
    if isinstance(change, Resize):
        if chance.random() < 0.5:
            _apply(image, change)
        return 0
    fate = chance.random()
    if torn_bytes is None and fate < KEPT:
        if fate >= LOST:
            _apply(image, change)
        return 0
    sector = torn_bytes or chance.choice(SECTORS_BYTES)
    for part in _sectors(change, sector):
        if chance.random() < 0.5:
            _apply(image, part)
    return 1


def _sectors(write: Write, sector: int) -> Iterator[Write]:
    """The parts of a write between the borders of sectors, which are the file's, not its own."""
    end = write.offset + len(write.data)
    start = write.offset
    while start < end:
        border = min(end, start - start % sector + sector)
        yield Write(start, write.data[start - write.offset : border - write.offset])
        start = border


class Entry(msgspec.Struct, frozen=True):
    """A change of a folder: a name that it gets, one that goes, or both at once."""

    folder: str
    dropped: str | None = None
    put: str | None = None
    inode: Inode | None = None


class Names:
    """Which file or folder is called what. The root is "" and always there."""

    def __init__(self, *, is_strict: bool) -> None:
        self._is_strict = is_strict
        self._durable: dict[str, Inode] = {}
        self._cache: dict[str, Inode] = {}
        self._pending: list[Entry] = []

    def find(self, path: str) -> Inode | None:
        """What programs see under this name."""
        return self._cache.get(path)

    def has_folder(self, path: str) -> bool:
        """Is there such a folder?"""
        inode = self._cache.get(path)
        return path == "" or (inode is not None and inode.is_folder)

    def put(self, path: str, inode: Inode) -> None:
        """Give it a name."""
        self._change(Entry(dirname(path), put=path, inode=inode))

    def drop(self, path: str) -> None:
        """Take a name away; whoever has the file open keeps it."""
        self._change(Entry(dirname(path), dropped=path))

    def rename(self, old: str, new: str) -> None:
        """Take what bears the one name to the other, in one step."""
        self._change(Entry(dirname(new), old, new, self._cache[old]))

    def settle(self, folder: str) -> int:
        """The changes of this folder are on the medium now; how many there were."""
        settled = [entry for entry in self._pending if entry.folder == folder]
        for entry in settled:
            _enter(self._durable, entry)
        self._pending = [entry for entry in self._pending if entry.folder != folder]
        return len(settled)

    def crash(self, chance: Random, torn_bytes: int | None) -> int:
        """The power fails: see `Inode.crash`. What was in a lost folder is gone with it."""
        for entry in self._pending:
            if chance.random() < 0.5:
                _enter(self._durable, entry)
        self._pending.clear()
        self._cache = {}
        for path in sorted(self._durable):  # a folder before what is in it
            if self.has_folder(dirname(path)):
                self._cache[path] = self._durable[path]
        self._durable = dict(self._cache)
        return sum(inode.crash(chance, torn_bytes) for inode in self._cache.values())

    def files(self) -> dict[str, Inode]:
        """The files that programs see, by path in order."""
        found = sorted(self._cache.items())
        return {path: inode for path, inode in found if not inode.is_folder}

    def digest(self) -> str:
        """Names both images, with all that is in them."""
        total = blake2b(digest_size=16)
        for names, image in ((self._durable, "durable"), (self._cache, "cache")):
            for path, inode in sorted(names.items()):
                content = inode.durable if image == "durable" else inode.cache
                head = f"{image} {path} {inode.is_folder:d} {len(content)}\n"
                total.update(head.encode() + content)
        return total.hexdigest()

    def _change(self, entry: Entry) -> None:
        _enter(self._cache, entry)
        if self._is_strict:
            self._pending.append(entry)
        else:
            _enter(self._durable, entry)


def _enter(names: dict[str, Inode], entry: Entry) -> None:
    if entry.dropped is not None:
        names.pop(entry.dropped, None)
    if entry.put is not None and entry.inode is not None:
        names[entry.put] = entry.inode

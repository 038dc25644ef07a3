"""A node's disk: it keeps what was synchronised, and fails when it is told to.

Nothing waits here. Each operation costs virtual seconds that pile up until whoever asked takes
them (`take_owed_s`) and lets them pass; SQLite calls back in the middle of a statement, where
nothing can be awaited. When the power fails, or the process dies, whatever was opened before
is fenced: it fails for ever. Without that, closing a dead connection would write into the next
life's files and look like lost data (chaos §1.6).
"""

import errno
from collections.abc import Sequence
from posixpath import dirname

import msgspec

from keygrove_chaos.disk_faults import (
    Active,
    DiskFault,
    Enospc,
    Erofs,
    FaultStack,
    FsyncFail,
    FsyncLie,
    Lost,
    Operation,
    Rot,
    Torn,
    error,
)
from keygrove_chaos.disk_image import Inode, Names, Resize, Write
from keygrove_chaos.timeline import Timeline

BOUNDLESS_BYTES = 1 << 40
"""What is free on a disk to which no fault has given a capacity."""


class PowerCutError(OSError):
    """The power failed, or the process died: whoever asked this no longer exists."""

    def __init__(self) -> None:
        super().__init__(errno.EIO, "the node is dead")


class Timing(msgspec.Struct, frozen=True):
    """What operations cost, in virtual seconds; by default only what reaches the medium does."""

    read_s: float = 0.0
    write_s: float = 0.0
    sync_s: float = 0.001


class Disk:
    """Files of one node, through all its lives.

    With `is_strict` (POSIX's letter) a name is durable once its folder was synchronised;
    otherwise at once, as file systems with a journal nearly have it.
    """

    def __init__(
        self, timeline: Timeline, node: str, *, is_strict: bool = True, timing: Timing | None = None
    ) -> None:
        self._timeline = timeline
        self._node = node
        self._timing = timing or Timing()
        self._chance = timeline.stream(f"disk:{node}")
        self.names = Names(is_strict=is_strict)
        self.faults = FaultStack()
        self._owed_s = 0.0
        self._cut_at: int | None = None
        self.life = 0
        """How often it was switched on."""
        self.busy_until = 0.0
        """When the last of what was asked of it in this life will be done."""
        self.is_on = False
        self.reserved_bytes = 0
        """Of a file that keeps room, see `volume`; like all that is on the disk it outlives us."""
        self.operations = 0
        """Asked of it so far, in all lives."""

    def boot(self) -> "Mount":
        """Switch it on; what comes back is the only way to its files, for this life."""
        self.life += 1
        self.is_on = True
        self._owed_s = self.busy_until = 0.0
        return Mount(self, self.life)

    def kill(self) -> None:
        """The process dies: all that is open is fenced, and everything written stays."""
        self.is_on = False
        self._cut_at = None

    def crash(self) -> None:
        """The power fails: what was not synchronised is lost, kept or torn, by chance."""
        self.kill()
        fault, active = next(self.faults.of(Torn), (None, None))
        torn = self.names.crash(self._chance, fault.sector_bytes if fault else None)
        if active is not None:
            active.effect += torn
        self._timeline.note("disk", self._node, "power failed", self.digest())

    def crash_in(self, operations: int) -> None:
        """Let the power fail with the n-th operation from here (1 is the next), or just before."""
        self._cut_at = self.operations + operations

    def push(self, fault_id: str, fault: DiskFault) -> None:
        """Put a fault in force, beside those that are."""
        chance = self._timeline.stream(f"disk:{self._node}:{fault_id}")
        active = self.faults.push(fault_id, fault, chance)
        if isinstance(fault, Rot):
            self._rot(fault, active)

    def pop(self, fault_id: str) -> int:
        """Take a fault out of force; what effect it had."""
        return self.faults.pop(fault_id)

    def effect(self, fault_id: str) -> int:
        """How often a fault in force has struck; 0 means that it is inert so far."""
        return self.faults.effect(fault_id)

    def take_owed_s(self) -> float:
        """The virtual seconds that operations have cost since this was last asked."""
        owed_s, self._owed_s = self._owed_s, 0.0
        return owed_s

    def owe(self, duration_s: float) -> None:
        """Let something beside an operation cost time, too."""
        self._owed_s += duration_s

    @property
    def used_bytes(self) -> int:
        """How long all files are, with what is kept in reserve."""
        files = self.names.files().values()
        return self.reserved_bytes + sum(len(inode.cache) for inode in files)

    @property
    def total_bytes(self) -> int:
        """How large it is."""
        capacities = [
            fault.capacity_bytes
            for fault, _ in self.faults.of(Enospc)
            if fault.capacity_bytes is not None
        ]
        return min([*capacities, BOUNDLESS_BYTES])

    @property
    def is_read_only(self) -> bool:
        """Whether whatever is to be written from here on fails for that reason."""
        return any(active.is_certain for _, active in self.faults.of(Erofs))

    @property
    def free_bytes(self) -> int:
        """How much room is left, as an operator would see it."""
        rooms = [
            fault.capacity_bytes - self.used_bytes
            for fault, _ in self.faults.of(Enospc)
            if fault.capacity_bytes is not None
        ]
        return max(0, min([*rooms, BOUNDLESS_BYTES]))

    def digest(self) -> str:
        """Names everything on it: what programs see, and what the medium has."""
        return self.names.digest()

    def begin(self, life: int, operation: Operation, path: str, first: int, size: int) -> None:
        """An operation is asked for by that life. For mounts and files.

        Raises:
            PowerCutError: that life is over.
            OSError: a fault has it fail.
        """
        if not self.is_on or life != self.life:
            raise PowerCutError
        self.operations += 1
        if self.operations == self._cut_at and self._chance.random() < 0.5:
            self.crash()
            raise PowerCutError
        self._owed_s += self._cost_s(operation) + self.faults.delay_s(operation, path)
        self.faults.check(operation, path, first, size)

    def end(self) -> None:
        """The operation is done, but perhaps nobody will ever hear of it. For mounts and files."""
        if self._cut_at is not None and self.operations >= self._cut_at:
            self.crash()
            raise PowerCutError

    def _cost_s(self, operation: Operation) -> float:
        match operation:
            case Operation.READ:
                return self._timing.read_s
            case Operation.WRITE:
                return self._timing.write_s
            case Operation.SYNC:
                return self._timing.sync_s
            case Operation.ENTRY:
                return 0.0

    def _rot(self, fault: Rot, active: Active) -> None:
        files = [
            inode
            for path, inode in self.names.files().items()
            if active.concerns(path) and len(inode.durable) > fault.first_byte
        ]
        if not files:
            return
        inode = active.chance.choice(files)
        end = min(len(inode.durable), fault.end_byte or len(inode.durable))
        for _ in range(fault.bits):
            at, bit = active.chance.randrange(fault.first_byte, end), active.chance.randrange(8)
            inode.durable[at] ^= 1 << bit
            if at < len(inode.cache):  # nobody has it open, so nobody has it in a cache
                inode.cache[at] = inode.durable[at]
            active.effect += 1


class Mount:
    """The files as one life of the node reaches them. Paths are relative, with slashes.

    Every method raises PowerCutError when that life is over, and OSError where a fault strikes.
    """

    def __init__(self, disk: Disk, life: int) -> None:
        self.disk = disk
        self.life = life

    def open(self, path: str, *, create: bool = False) -> "File":
        """Open a file, made if need be.

        Raises:
            FileNotFoundError: neither it nor leave to make it, or no such folder.
        """
        inode = self.disk.names.find(path)
        if inode is None:
            if not create or not self.disk.names.has_folder(dirname(path)):
                raise error(errno.ENOENT, path)
            self._begin_entry(path)
            inode = Inode()
            self.disk.names.put(path, inode)
            self.disk.end()
        elif not self.is_alive:
            raise PowerCutError
        return File(self.disk, self.life, path, inode)

    def open_unnamed(self) -> "File":
        """A file that nothing names, gone when it is closed."""
        return File(self.disk, self.life, "", Inode())

    @property
    def is_alive(self) -> bool:
        """Is that life still going on?"""
        return self.disk.is_on and self.disk.life == self.life

    def exists(self, path: str) -> bool:
        """Is there such a file?"""
        if not self.is_alive:
            raise PowerCutError
        return self.disk.names.find(path) is not None

    def paths(self) -> Sequence[str]:
        """All files, in order."""
        return list(self.disk.names.files())

    def make_folder(self, path: str) -> bool:
        """Make a folder, and those above it; whether there was anything to make."""
        if not self.is_alive:
            raise PowerCutError
        if self.disk.names.has_folder(path):
            return False
        self.make_folder(dirname(path))
        self._begin_entry(path)
        self.disk.names.put(path, Inode(is_folder=True))
        self.disk.end()
        return True

    def remove(self, path: str) -> None:
        """Take a file's name away.

        Raises:
            FileNotFoundError: it has none.
        """
        if not self.exists(path):
            raise error(errno.ENOENT, path)
        self._begin_entry(path)
        self.disk.names.drop(path)
        self.disk.end()

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, and take that from whatever had it."""
        self._begin_entry(new)
        self.disk.names.rename(old, new)
        self.disk.end()

    def sync_folder(self, path: str) -> None:
        """Make the names in a folder durable."""
        self.disk.begin(self.life, Operation.SYNC, path, 0, 0)
        if self.disk.faults.struck(FsyncLie, path) is None:
            self.disk.names.settle(path)
        self.disk.end()

    def _begin_entry(self, path: str) -> None:
        self.disk.begin(self.life, Operation.ENTRY, path, 0, 0)


class File:
    """An open file. Errors as for `Mount`."""

    def __init__(self, disk: Disk, life: int, path: str, inode: Inode) -> None:
        self._disk = disk
        self._life = life
        self._inode = inode
        self.path = path

    def read(self, amount: int, offset: int) -> bytes:
        """Up to so many octets from there: fewer at the end, and perhaps under a fault."""
        self._disk.begin(self._life, Operation.READ, self.path, offset, amount)
        found = bytes(self._inode.cache[offset : offset + amount])
        found = found[: self._disk.faults.shortened(Operation.READ, self.path, offset, len(found))]
        self._disk.end()
        return found

    def write(self, data: bytes, offset: int) -> int:
        """Write them there; how many were written, fewer perhaps under a fault."""
        self._disk.begin(self._life, Operation.WRITE, self.path, offset, len(data))
        size = self._disk.faults.shortened(Operation.WRITE, self.path, offset, len(data))
        self._make_room(offset + size)
        is_lost = self._disk.faults.struck(Lost, self.path, offset, size) is not None
        self._inode.change(Write(offset, data[:size]), is_lost=is_lost)
        self._disk.end()
        return size

    def truncate(self, size: int) -> None:
        """Give it that length."""
        self._disk.begin(self._life, Operation.WRITE, self.path, size, 0)
        self._make_room(size)
        self._inode.change(Resize(size))
        self._disk.end()

    def sync(self) -> None:
        """Make what was written durable, the file's name apart."""
        self._disk.begin(self._life, Operation.SYNC, self.path, 0, 0)
        failed = self._disk.faults.struck(FsyncFail, self.path)
        if failed is not None:
            self._inode.drop(is_evicted=failed.is_evicted)
            raise error(errno.EIO, self.path)
        if self._disk.faults.struck(FsyncLie, self.path) is None:
            self._inode.settle()
        self._disk.end()

    def forget(self) -> None:
        """Have the system read it anew from the medium: what was not synchronised is lost."""
        if not self._disk.is_on or self._disk.life != self._life:
            raise PowerCutError
        self._inode.drop(is_evicted=True)

    @property
    def size(self) -> int:
        """How long it is."""
        if not self._disk.is_on or self._disk.life != self._life:
            raise PowerCutError
        return len(self._inode.cache)

    def _make_room(self, size: int) -> None:
        growth = size - len(self._inode.cache)
        if growth > 0:
            self._disk.faults.check_room(self.path, self._disk.used_bytes, growth)

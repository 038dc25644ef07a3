"""What can go wrong with a disk, as data; and the faults in force, which strike or do not.

Every fault names the files that it is for, as a shell pattern of their paths. Kinds are those
of the experiment file. `Expectation` says what the product owes us under a fault: a store must
go on or fail cleanly under most, and notice at least that a disk lied or rotted.
"""

import errno
import os
from collections.abc import Iterator
from enum import Enum
from fnmatch import fnmatchcase
from random import Random
from typing import Annotated, ClassVar, TypeAlias, TypeVar

import msgspec

from keygrove_chaos.checked import Checked

BLOCK_BYTES = 4096
"""What a disk hands out room in, and the coarser of the two borders that a write tears at."""


Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]
Octets: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]


class Expectation(Enum):
    """What a product has to do under a fault."""

    TOLERATE = "tolerate"
    """Keep every promise: what was acknowledged stays, what fails says so."""
    DETECT = "detect"
    """The damage cannot be helped: refuse to go on with it."""
    UNMODELLED = "unmodelled"
    """Out of contract."""


class Operation(Enum):
    """What is asked of a disk."""

    READ = "read"
    WRITE = "write"
    """Truncation, too."""
    SYNC = "sync"
    ENTRY = "entry"
    """Create, rename, remove, or synchronise a folder."""


class _Fault(Checked, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """Which operations are struck: of these files, in this range, so many times."""

    expectation: ClassVar[Expectation] = Expectation.TOLERATE

    path: str = "*"
    """A shell pattern; `*` matches slashes, too."""
    first_byte: Octets = 0
    """Reads and writes that end before it are spared."""
    end_byte: Octets | None = None
    """Reads and writes from it on are spared."""
    after: Octets = 0
    """So many operations pass first."""
    times: Count | None = None
    """Single shot with 1; permanent with None."""
    chance: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0


class Eio(_Fault, frozen=True, kw_only=True, tag="disk.eio"):
    """An operation fails. A failed sync leaves what it was for to the next one."""

    operation: Operation


class Enospc(_Fault, frozen=True, kw_only=True, tag="disk.enospc"):
    """No room: beyond a capacity of the whole disk, or now and then where there is none."""

    capacity_bytes: Octets | None = None
    is_quota: bool = False
    """EDQUOT in place of ENOSPC."""


class Erofs(_Fault, frozen=True, kw_only=True, tag="disk.erofs"):
    """Remounted read-only: nothing can be written, made or removed any more."""


class Slow(_Fault, frozen=True, kw_only=True, tag="disk.slow"):
    """Each operation takes longer: a fixed time, and a random one of this mean."""

    operations: tuple[Operation, ...] = (Operation.READ, Operation.WRITE, Operation.SYNC)
    delay_s: Seconds = 0.0
    jitter_s: Seconds = 0.0


class Stall(_Fault, frozen=True, kw_only=True, tag="disk.stall"):
    """The disk hangs, and then goes on as if nothing had been."""

    operations: tuple[Operation, ...] = (Operation.WRITE, Operation.SYNC)
    delay_s: Seconds = 30.0
    times: Count | None = 1


class Short(_Fault, frozen=True, kw_only=True, tag="disk.short"):
    """A read or write does only its first part, and says so, as POSIX allows."""

    operation: Operation = Operation.WRITE


class Torn(_Fault, frozen=True, kw_only=True, tag="disk.torn"):
    """When the power fails, every write on its way is torn at this border; none is lost whole."""

    sector_bytes: Count = BLOCK_BYTES


class Lost(_Fault, frozen=True, kw_only=True, tag="disk.lost"):
    """A write is acknowledged and even synchronised, and the medium never gets it."""

    expectation: ClassVar[Expectation] = Expectation.DETECT


class Rot(_Fault, frozen=True, kw_only=True, tag="disk.rot"):
    """Bits flip on the medium, at rest, when the fault begins. One file of those it is for."""

    expectation: ClassVar[Expectation] = Expectation.DETECT

    bits: Count = 1


class FsyncFail(_Fault, frozen=True, kw_only=True, tag="disk.fsync_fail"):
    """A sync fails and what it was for never reaches the medium; the next one succeeds.

    Linux marks such pages as clean. Reads still see them, until the cache evicts them.
    """

    is_evicted: bool = False
    """Reads see the medium at once."""
    times: Count | None = 1


class FsyncLie(_Fault, frozen=True, kw_only=True, tag="disk.fsync_lie"):
    """A sync succeeds and does nothing, neither for a file nor for a folder."""

    expectation: ClassVar[Expectation] = Expectation.DETECT


DiskFault: TypeAlias = (
    Eio | Enospc | Erofs | Slow | Stall | Short | Torn | Lost | Rot | FsyncFail | FsyncLie
)


F = TypeVar("F", bound=_Fault)


class Active:
    """A fault that is in force, with its own chance and a count of what it did.

    `effect` is 0 for a fault that never struck: then it was inert.
    """

    def __init__(self, fault: DiskFault, chance: Random) -> None:
        self.fault = fault
        self.chance = chance
        self.effect = 0
        self._seen = 0

    def concerns(self, path: str) -> bool:
        """Is it for this file?"""
        return fnmatchcase(path, self.fault.path)

    @property
    def is_certain(self) -> bool:
        """Does it strike the next operation that it is for, whichever file that is of?"""
        fault = self.fault
        return (
            fault.path == "*"
            and fault.chance == 1.0
            and self._seen >= fault.after
            and (fault.times is None or self.effect < fault.times)
        )

    def strikes(self, path: str, first: int = 0, size: int = 0) -> bool:
        """Does it strike an operation on these octets? Each question counts as one."""
        fault = self.fault
        if not self.concerns(path) or self._is_spared(first, size):
            return False
        self._seen += 1
        if self._seen <= fault.after or (fault.times is not None and self.effect >= fault.times):
            return False
        if fault.chance < 1.0 and self.chance.random() >= fault.chance:
            return False
        self.effect += 1
        return True

    def _is_spared(self, first: int, size: int) -> bool:
        if not size:  # a sync or an entry has no range
            return False
        end = self.fault.end_byte
        return first + size <= self.fault.first_byte or (end is not None and first >= end)


class FaultStack:
    """The faults in force on one disk, in the order in which they began."""

    def __init__(self) -> None:
        self._active: dict[str, Active] = {}

    def push(self, fault_id: str, fault: DiskFault, chance: Random) -> Active:
        """Put a fault in force, beside those that are."""
        assert fault_id not in self._active, f"{fault_id} is in force already"
        self._active[fault_id] = active = Active(fault, chance)
        return active

    def pop(self, fault_id: str) -> int:
        """Take a fault out of force; what effect it had."""
        return self._active.pop(fault_id).effect

    def effect(self, fault_id: str) -> int:
        """How often it has struck."""
        return self._active[fault_id].effect

    def of(self, kind: type[F]) -> Iterator[tuple[F, Active]]:
        """Those of one kind."""
        for active in self._active.values():
            if isinstance(active.fault, kind):
                yield active.fault, active

    def struck(self, kind: type[F], path: str, first: int = 0, size: int = 0) -> F | None:
        """The first fault of this kind that strikes."""
        for fault, active in self.of(kind):
            if active.strikes(path, first, size):
                return fault
        return None

    def delay_s(self, operation: Operation, path: str) -> float:
        """By how much those that delay, delay this operation."""
        total_s = 0.0
        for active in self._active.values():
            fault = active.fault
            if not isinstance(fault, Slow | Stall) or operation not in fault.operations:
                continue
            if active.strikes(path):
                total_s += fault.delay_s
                if isinstance(fault, Slow) and fault.jitter_s:
                    total_s += active.chance.expovariate(1 / fault.jitter_s)
        return total_s

    def check(self, operation: Operation, path: str, first: int, size: int) -> None:
        """Have the operation fail, if one of the faults says so.

        Raises:
            OSError: EIO, ENOSPC, EDQUOT or EROFS.
        """
        for active in self._active.values():
            code = _code(active.fault, operation)
            if code and active.strikes(path, first, size):
                raise error(code, path)

    def check_room(self, path: str, used_bytes: int, growth: int) -> None:
        """Have a file not grow, if that would go beyond a capacity.

        Raises:
            OSError: ENOSPC or EDQUOT.
        """
        for fault, active in self.of(Enospc):
            is_beyond = fault.capacity_bytes is not None and (
                used_bytes + growth > fault.capacity_bytes
            )
            if is_beyond and active.strikes(path):
                raise error(_no_room(fault), path)

    def shortened(self, operation: Operation, path: str, first: int, size: int) -> int:
        """How much of a read or write is done: all, or a random part."""
        for fault, active in self.of(Short):
            is_meant = fault.operation is operation and size > 1
            if is_meant and active.strikes(path, first, size):
                return active.chance.randrange(1, size)
        return size


def error(code: int, path: str) -> OSError:
    """The system's error of this number."""
    return OSError(code, os.strerror(code), path)


def _code(fault: DiskFault, operation: Operation) -> int:
    """By which error the fault has such an operation fail, or 0."""
    is_write = operation is Operation.WRITE
    match fault:
        case Eio(operation=meant) if meant is operation:
            return errno.EIO
        case Erofs() if is_write or operation is Operation.ENTRY:
            return errno.EROFS
        case Enospc(capacity_bytes=None) if is_write:
            return _no_room(fault)
        case _:
            return 0


def _no_room(fault: Enospc) -> int:
    return errno.EDQUOT if fault.is_quota else errno.ENOSPC

"""What a simulated disk keeps, loses and refuses."""

import errno
from typing import get_args

import msgspec
import pytest

from keygrove_chaos.disk import BOUNDLESS_BYTES, Disk, File, Mount, PowerCutError, Timing
from keygrove_chaos.disk_faults import (
    DiskFault,
    Eio,
    Enospc,
    Erofs,
    Expectation,
    FsyncFail,
    FsyncLie,
    Lost,
    Operation,
    Rot,
    Short,
    Slow,
    Stall,
    Torn,
)
from tests.simulation.timelines import SeededTimeline

SEEDS = range(50)
OLD, NEW = b"o" * 8192, b"n" * 8192


def made(seed: int = 0, *, is_strict: bool = True) -> Disk:
    return Disk(SeededTimeline(seed), "node", is_strict=is_strict)


def durable(mount: Mount, path: str = "a", data: bytes = OLD) -> File:
    file = mount.open(path, create=True)
    file.write(data, 0)
    file.sync()
    mount.sync_folder("")
    return file


def after_crash(disk: Disk, path: str = "a") -> bytes:
    disk.crash()
    return disk.boot().open(path).read(1 << 20, 0)


# The power fails.


def test_what_was_synchronised_survives() -> None:
    for seed in SEEDS:
        disk = made(seed)
        durable(disk.boot())
        assert after_crash(disk) == OLD


def test_what_was_not_is_lost_kept_or_torn_at_the_borders_of_sectors() -> None:
    fates: dict[str, int] = {"lost": 0, "kept": 0, "torn": 0}
    for seed in SEEDS:
        disk = made(seed)
        durable(disk.boot()).write(NEW, 0)
        found = after_crash(disk)
        sectors = {found[at : at + 512] for at in range(0, len(found), 512)}
        assert sectors <= {OLD[:512], NEW[:512]}
        fates["torn" if len(sectors) == 2 else "kept" if found == NEW else "lost"] += 1
    assert min(fates.values()) > 5, fates


def test_a_later_write_may_survive_an_earlier_one() -> None:
    def survivors(seed: int) -> tuple[bool, bool]:
        disk = made(seed)
        file = durable(disk.boot())
        file.write(b"1", 0)
        file.write(b"2", 600)
        found = after_crash(disk)
        return found[:1] == b"1", found[600:601] == b"2"

    assert {survivors(seed) for seed in SEEDS} == {
        (first, second) for first in (True, False) for second in (True, False)
    }


def test_a_truncation_may_be_lost() -> None:
    def length(seed: int) -> int:
        disk = made(seed)
        durable(disk.boot()).truncate(100)
        return len(after_crash(disk))

    assert {length(seed) for seed in SEEDS} == {100, len(OLD)}


def test_a_name_is_durable_once_its_folder_was_synchronised() -> None:
    def names(seed: int, *, is_strict: bool, is_synced: bool) -> tuple[str, ...]:
        disk = made(seed, is_strict=is_strict)
        mount = disk.boot()
        durable(mount)
        mount.rename("a", "b")
        mount.open("c", create=True).sync()
        if is_synced:
            mount.sync_folder("")
        disk.crash()
        return tuple(disk.boot().paths())

    assert {names(seed, is_strict=True, is_synced=True) for seed in SEEDS} == {("b", "c")}
    assert {names(seed, is_strict=False, is_synced=False) for seed in SEEDS} == {("b", "c")}
    assert {names(seed, is_strict=True, is_synced=False) for seed in SEEDS} == {
        ("a",),
        ("a", "c"),
        ("b",),
        ("b", "c"),
    }


def test_what_is_in_a_lost_folder_is_lost() -> None:
    def paths(seed: int) -> tuple[str, ...]:
        disk = made(seed)
        mount = disk.boot()
        mount.make_folder("x/y")
        mount.sync_folder("x")
        mount.open("x/y/a", create=True).sync()
        mount.sync_folder("x/y")
        disk.crash()
        return tuple(disk.boot().paths())

    assert {paths(seed) for seed in SEEDS} == {(), ("x/y/a",)}


def test_a_removed_file_may_come_back() -> None:
    def is_back(seed: int) -> bool:
        disk = made(seed)
        mount = disk.boot()
        durable(mount)
        mount.remove("a")
        disk.crash()
        return disk.boot().exists("a")

    assert {is_back(seed) for seed in SEEDS} == {True, False}


def test_a_killed_process_loses_nothing() -> None:
    disk = made()
    mount = disk.boot()
    mount.open("a", create=True).write(NEW, 0)
    disk.kill()
    assert disk.boot().open("a").read(1 << 20, 0) == NEW


def test_what_was_opened_before_a_crash_is_fenced() -> None:
    disk = made()
    mount = disk.boot()
    file = durable(mount)
    disk.crash()
    for is_on in (False, True):
        if is_on:
            disk.boot()
        before = disk.digest()
        for attempt in (
            lambda: file.read(1, 0),
            lambda: file.write(b"x", 0),
            lambda: file.truncate(0),
            file.sync,
            lambda: file.size,
            lambda: mount.open("a"),
            lambda: mount.open("b", create=True),
            lambda: mount.exists("a"),
            lambda: mount.remove("a"),
            lambda: mount.rename("a", "b"),
            lambda: mount.sync_folder(""),
            lambda: mount.make_folder("x"),
        ):
            with pytest.raises(PowerCutError):
                attempt()
        assert disk.digest() == before


def test_the_power_fails_with_the_operation_that_was_named() -> None:
    for seed in SEEDS:
        disk = made(seed)
        file = durable(disk.boot())
        disk.crash_in(3)
        file.write(NEW, 0)
        file.write(NEW, 0)
        with pytest.raises(PowerCutError):
            file.sync()
        assert not disk.is_on


def test_the_same_seed_leaves_the_same_image() -> None:
    def image(seed: int) -> str:
        disk = made(seed)
        file = durable(disk.boot())
        for at in range(20):
            file.write(NEW[: at * 100], at * 300)
        disk.crash()
        return disk.digest()

    assert [image(seed) for seed in SEEDS] == [image(seed) for seed in SEEDS]
    assert len({image(seed) for seed in SEEDS}) > len(SEEDS) // 2


# Faults.


def test_a_single_shot_fails_one_operation_and_a_permanent_one_all() -> None:
    disk = made()
    file = durable(disk.boot())
    for operation, attempt in (
        (Operation.READ, lambda: file.read(1, 0)),
        (Operation.WRITE, lambda: file.write(b"x", 0)),
        (Operation.SYNC, file.sync),
    ):
        disk.push("once", Eio(operation=operation, after=1, times=1))
        attempt()
        with pytest.raises(OSError, match="Input/output"):
            attempt()
        attempt()
        assert disk.pop("once") == 1
        disk.push("ever", Eio(operation=operation))
        for _ in range(3):
            with pytest.raises(OSError, match="Input/output"):
                attempt()
        assert disk.pop("ever") == 3
        attempt()


def test_a_fault_is_for_its_files_and_its_octets() -> None:
    disk = made()
    mount = disk.boot()
    mount.make_folder("x")
    one, other = durable(mount, "x/heap.db"), durable(mount, "x/index.db")
    disk.push("f", Eio(operation=Operation.READ, path="*/heap.db", first_byte=100, end_byte=200))
    other.read(8192, 0)
    one.read(100, 0)
    one.read(100, 200)
    with pytest.raises(OSError, match="heap"):
        one.read(2, 99)
    with pytest.raises(OSError, match="heap"):
        one.read(2, 199)
    assert disk.effect("f") == 2


def test_a_full_disk_takes_what_does_not_make_it_longer() -> None:
    disk = made()
    file = durable(disk.boot())
    assert disk.free_bytes == BOUNDLESS_BYTES
    disk.push("f", Enospc(capacity_bytes=len(OLD) + 10))
    assert disk.free_bytes == 10
    file.write(NEW, 0)
    file.write(b"x" * 10, len(OLD))
    with pytest.raises(OSError, match="No space") as caught:
        file.write(b"x", len(OLD) + 10)
    assert caught.value.errno == errno.ENOSPC
    file.truncate(0)
    file.write(NEW, 0)
    assert disk.pop("f") == 1


def test_room_may_lack_now_and_then_and_by_quota() -> None:
    disk = made()
    file = durable(disk.boot())
    disk.push("f", Enospc(chance=0.5, is_quota=True))
    codes: list[int | None] = []
    for _ in range(100):
        try:
            file.write(b"x", 0)
        except OSError as error:
            codes.append(error.errno)
    assert 20 < len(codes) < 80
    assert set(codes) == {errno.EDQUOT}
    assert disk.effect("f") == len(codes)


def test_a_disk_mounted_read_only_changes_nothing() -> None:
    disk = made()
    mount = disk.boot()
    file = durable(mount)
    disk.push("f", Erofs())
    before = disk.digest()
    for attempt in (
        lambda: file.write(b"x", 0),
        lambda: file.truncate(0),
        lambda: mount.open("b", create=True),
        lambda: mount.remove("a"),
        lambda: mount.rename("a", "b"),
    ):
        with pytest.raises(OSError, match="Read-only"):
            attempt()
    assert file.read(3, 0) == OLD[:3]
    assert disk.digest() == before


def test_slow_operations_are_owed_for() -> None:
    disk = Disk(SeededTimeline(0), "node", timing=Timing(read_s=0.5, write_s=0.25, sync_s=2.0))
    file = durable(disk.boot())
    assert disk.take_owed_s() == 0.25 + 2 * 2.0
    disk.push("slow", Slow(operations=(Operation.READ,), delay_s=10.0))
    disk.push("stall", Stall(delay_s=30.0))
    file.read(1, 0)
    assert disk.take_owed_s() == 10.5
    file.write(b"x", 0)
    file.write(b"x", 0)
    assert disk.take_owed_s() == 30.0 + 2 * 0.25
    disk.push("jitter", Slow(operations=(Operation.WRITE,), jitter_s=1.0))
    file.write(b"x", 0)
    assert disk.take_owed_s() > 0.25
    assert [disk.pop(name) for name in ("slow", "stall", "jitter")] == [1, 1, 1]


def test_a_short_write_writes_its_first_part() -> None:
    disk = made()
    file = durable(disk.boot())
    disk.push("f", Short(times=1))
    size = file.write(NEW, 0)
    assert 0 < size < len(NEW)
    assert file.read(1 << 20, 0) == NEW[:size] + OLD[size:]
    assert file.write(NEW, 0) == len(NEW)


def test_a_short_read_reads_its_first_part() -> None:
    disk = made()
    file = durable(disk.boot())
    disk.push("f", Short(operation=Operation.READ, times=1))
    assert 0 < len(file.read(100, 0)) < 100
    assert len(file.read(100, 0)) == 100


def test_torn_writes_tear_at_their_border_and_are_counted() -> None:
    for seed in SEEDS:
        disk = made(seed)
        disk.push("f", Torn(sector_bytes=4096))
        durable(disk.boot()).write(NEW, 0)
        found = after_crash(disk)
        assert {found[:4096], found[4096:]} <= {OLD[:4096], NEW[:4096]}
        assert disk.effect("f") == 1


@pytest.mark.parametrize("fault", [Lost(), FsyncLie()], ids=lambda fault: type(fault).__name__)
def test_a_disk_that_lies_shows_it_after_the_crash_only(fault: Lost | FsyncLie) -> None:
    images: set[bytes] = set()
    for seed in SEEDS:
        disk = made(seed)
        file = durable(disk.boot())
        disk.push("f", fault)
        file.write(b"x", 0)
        file.sync()
        assert file.read(1, 0) == b"x"
        assert disk.effect("f") == 1
        images.add(after_crash(disk)[:1])
    assert b"o" in images


def test_rot_flips_bits_of_what_is_at_rest() -> None:
    disk = made()
    durable(disk.boot())
    disk.push("f", Rot(bits=3))
    found = disk.boot().open("a").read(1 << 20, 0)
    flipped = sum((one ^ other).bit_count() for one, other in zip(found, OLD, strict=True))
    assert flipped == disk.effect("f") == 3


@pytest.mark.parametrize("is_evicted", [True, False])
def test_a_failed_sync_drops_what_it_was_for_and_the_next_one_succeeds(*, is_evicted: bool) -> None:
    disk = made()
    file = durable(disk.boot())
    disk.push("f", FsyncFail(is_evicted=is_evicted))
    file.write(NEW, 0)
    with pytest.raises(OSError, match="Input/output"):
        file.sync()
    file.sync()
    assert file.read(1 << 20, 0) == (OLD if is_evicted else NEW)
    assert disk.effect("f") == 1
    assert after_crash(disk) == OLD


def test_a_failed_sync_of_the_other_kind_leaves_it_to_the_next_one() -> None:
    disk = made()
    file = durable(disk.boot())
    disk.push("f", Eio(operation=Operation.SYNC, times=1))
    file.write(NEW, 0)
    with pytest.raises(OSError, match="Input/output"):
        file.sync()
    file.sync()
    assert after_crash(disk) == NEW


def test_faults_stack_and_unstack_each_for_itself() -> None:
    disk = made()
    file = durable(disk.boot())
    disk.push("read", Eio(operation=Operation.READ))
    disk.push("write", Eio(operation=Operation.WRITE))
    disk.pop("read")
    file.read(1, 0)
    with pytest.raises(OSError, match="Input/output"):
        file.write(b"x", 0)
    assert disk.pop("write") == 1


def test_one_fault_more_changes_no_other_chance() -> None:
    def failures(*, beside: bool) -> list[bool]:
        disk = made()
        file = durable(disk.boot())
        disk.push("f", Enospc(chance=0.5))
        if beside:
            disk.push("g", Slow(chance=0.5, delay_s=1.0))
        outcomes: list[bool] = []
        for _ in range(50):
            try:
                file.write(b"x", 0)
            except OSError:
                outcomes.append(True)
            else:
                outcomes.append(False)
        return outcomes

    assert failures(beside=True) == failures(beside=False)


def test_every_kind_is_data_and_says_what_is_expected() -> None:
    decoder = msgspec.json.Decoder[DiskFault](DiskFault)
    kinds = get_args(DiskFault)
    for kind in kinds:
        fault = kind(operation=Operation.READ) if kind is Eio else kind()
        assert decoder.decode(msgspec.json.encode(fault)) == fault
        assert isinstance(fault.expectation, Expectation)
    names = ", ".join(sorted(kind.__struct_config__.tag for kind in kinds))
    assert names.replace("disk.", "") == (
        "eio, enospc, erofs, fsync_fail, fsync_lie, lost, rot, short, slow, stall, torn"
    )

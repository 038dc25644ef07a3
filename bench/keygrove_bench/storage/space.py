"""A disk that is filled to the last block and freed again, many times, under a whole node.

The file system is a real one, small and in memory, which only root can mount. In each cycle it is
filled from outside, certificates are submitted until one is refused, all that is held is looked
up, room is made, and submissions are taken again. What is counted is what S-16 of the storage
contract allows none of: damage, restarts, lookups without an answer.
"""

import os
import sqlite3
import subprocess
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import msgspec

from keygrove.serve import Endpoints, Site, open_node
from keygrove.settings import Settings, StorageSettings
from keygrove.system.world import system_ports
from keygrove_actors import ChildRestarting, Report
from keygrove_bench.report import Row, aimed, row
from keygrove_bench.storage.worker import NotRunError
from keygrove_chaos.certificates import armored, made
from keygrove_chaos.client import Hkp
from keygrove_chaos.node import MemoryLog
from keygrove_chaos.servers import Door, DoorServers
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.certificate import fingerprint, to_bytes

CYCLES = 50
FEW_CYCLES = 2
DISK_BYTES = 64 << 20
BLOCK = bytes(4096)
SUBMITTED_MAX = 200
"""In one cycle: far fewer fit into the reserve of so small a disk."""
HEAL_S = 30.0
"""Within which submissions are to be taken again."""
LOOK_S = 0.1
SHARDS = 2
TAKEN, FULL = 200, 507


class Space(msgspec.Struct):
    """What the cycles came to."""

    cycles: int = 0
    taken: int = 0
    """Submissions that were acknowledged."""
    refused: int = 0
    """Of the others, those that were told that the disk is full."""
    refused_otherwise: int = 0
    lookups: int = 0
    answered: int = 0
    """Of these, with the very octets that were acknowledged."""
    restarts: int = 0
    """Actors that a supervisor had to start again."""
    damaged: int = 0
    """Files in which SQLite finds anything wrong when all is over."""
    heal_s_max: float = 0.0
    """The longest time from when room was made to a submission that was taken."""


def rows(folder: Path, *, quick: bool = False) -> list[Row]:
    """Measure, on a file system of its own that is mounted in `folder`."""
    cycles = FEW_CYCLES if quick else CYCLES
    words = f"{cycles} times a disk is full, and has room again: look-ups left without an answer"
    try:
        found = measure(folder, cycles)
    except NotRunError as error:
        return [row(("S-16", words), str(error), "", {})]
    asked = {"look-ups": found.lookups, "taken": found.taken, "refused": found.refused}
    counts: dict[str, tuple[str, int, dict[str, int]]] = {
        "S-16": (words, found.lookups - found.answered, asked),
        "S-16-damaged": ("damaged files behind it", found.damaged, {}),
        "S-16-restarts": ("restarts by supervision", found.restarts, {}),
        "S-16-refused": ("refusals that do not say that it is full", found.refused_otherwise, {}),
    }
    return [
        *(
            aimed(row((name, text), [count], "", peers), 0, is_limit=True)
            for name, (text, count, peers) in counts.items()
        ),
        row(("S-16-heal", "until submissions are taken again"), [found.heal_s_max], "s", {}),
    ]


def measure(folder: Path, cycles: int) -> Space:
    """Fill and free a disk so often.

    Raises:
        NotRunError: only root can mount one, and not everywhere.
    """
    with _mounted(folder / "disk") as disk:
        found = anyio.run(_cycles, disk, cycles)
        found.damaged = sum(not _is_sound(path) for path in disk.glob("data/shard-*/*.db"))
        return found


@contextmanager
def _mounted(path: Path) -> Generator[Path, None, None]:
    if os.geteuid() != 0:
        raise NotRunError("only root may mount the small file system that is filled")
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "keygrove-bench", str(path)]
    made_it = subprocess.run(mount, capture_output=True, text=True, check=False)
    if made_it.returncode != 0:
        raise NotRunError(f"no small file system can be mounted: {made_it.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def _is_sound(path: Path) -> bool:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        return db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def _cycles(disk: Path, cycles: int) -> Space:
    found, data = Space(), disk / "data"
    data.mkdir()

    def observe(report: Report) -> None:
        found.restarts += isinstance(report, ChildRestarting)

    door = Door("bench:11371")
    site = Site(
        ports=msgspec.structs.replace(system_ports(data), servers=DoorServers()),
        endpoints=Endpoints(http=(door,)),
        log=MemoryLog(),
        version="bench",
        pid=os.getpid(),
        observe=observe,
    )
    settings = Settings(data_dir=str(data), storage=StorageSettings(shards=SHARDS))
    async with open_node(settings, site):
        run = _Run(Hkp(door.ask), disk / "ballast", found)
        await run.submit()
        for _ in range(cycles):
            await run.cycle()
    return found


class _Run:
    """The cycles of one node, by way of its HKP listener."""

    def __init__(self, hkp: Hkp, ballast: Path, found: Space) -> None:
        self._hkp = hkp
        self._ballast = ballast
        self._found = found
        self._held: dict[str, bytes] = {}
        self._number = 0

    async def cycle(self) -> None:
        """Fill the disk, see what is refused and what is found, free it, and see it heal."""
        await anyio.to_thread.run_sync(self._fill)
        for _ in range(SUBMITTED_MAX):
            if not await self.submit():
                break
        await self._look_up()
        self._ballast.unlink()
        freed = anyio.current_time()
        with anyio.fail_after(HEAL_S):
            while not await self.submit():  # noqa: ASYNC110 - the disk is looked at by the clock
                await anyio.sleep(LOOK_S)
        self._found.heal_s_max = max(self._found.heal_s_max, anyio.current_time() - freed)
        self._found.cycles += 1

    async def submit(self) -> bool:
        """Submit one more; whether it was taken."""
        certificate = made(self._number, f"n{self._number} <n{self._number}@bench.example>")
        reply = await self._hkp.put(armored(certificate))
        if reply.status == TAKEN:
            self._held[fingerprint(certificate).hex()] = to_bytes(certificate)
            self._number += 1
            self._found.taken += 1
            return True
        self._found.refused += reply.status == FULL
        self._found.refused_otherwise += reply.status != FULL
        return False

    async def _look_up(self) -> None:
        for name, packets in self._held.items():
            reply = await self._hkp.get(name)
            self._found.lookups += 1
            if reply.status == TAKEN:
                self._found.answered += dearmor(reply.body, BULK).data == packets

    def _fill(self) -> None:
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(BLOCK)
            except OSError:
                return

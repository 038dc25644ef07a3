"""Acknowledged is synchronised: seen below SQLite, on the simulated disk's own books."""

import anyio
import pytest

from keygrove.settings import Settings, StorageSettings
from keygrove_chaos.certificates import armored, made
from keygrove_chaos.client import Hkp
from keygrove_chaos.machine import Machine
from keygrove_chaos.network import Network
from keygrove_chaos.record import Record
from keygrove_chaos.running import run
from keygrove_chaos.world import ENGINES, EngineName, Options, World

LOG = "shard-0/heap.db-wal"
SUBMISSIONS = 12


async def left(world: World, settings: Settings) -> list[int]:
    """How many changes of its log a node had not synchronised at each acknowledgement."""
    machine = Machine(world, Network(world), "n0", settings, Record(world))
    found: list[int] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(machine.keep)
        await anyio.sleep(2.0)
        written = 0
        for number in range(SUBMISSIONS):
            # The same few keys: most submissions are merged into what is held.
            certificate = made(number % 4, f"User {number}")
            assert (await Hkp(machine.door.ask).put(armored(certificate))).status == 200
            log = machine.disk.names.find(LOG)
            assert log is not None
            assert len(log.cache) > written, "a commit was written"
            written = len(log.cache)
            found.append(len(log.pending))
        tasks.cancel_scope.cancel()
    return found


FULL = Settings(storage=StorageSettings(shards=1, durability="full"))
RELAXED = Settings(storage=StorageSettings(shards=1, durability="relaxed"))


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_is_acknowledged_before_it_is_synchronised(engine: EngineName) -> None:
    options = Options(engine=engine)
    found = run(lambda world: left(world, FULL), seed=1, options=options).result
    assert found == [0] * SUBMISSIONS


def test_relaxed_acknowledges_what_is_not() -> None:
    found = run(lambda world: left(world, RELAXED), seed=1).result
    assert min(found) > 0

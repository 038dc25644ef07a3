"""A machine whose node dies: what the node does on its way out, and what it does not."""

import anyio

from keygrove.settings import Settings, StorageSettings
from keygrove_chaos.certificates import armored, made
from keygrove_chaos.client import Hkp
from keygrove_chaos.machine import Machine
from keygrove_chaos.network import Network
from keygrove_chaos.record import Record
from keygrove_chaos.running import run
from keygrove_chaos.world import World

SETTINGS = Settings(storage=StorageSettings(shards=2))


async def digests(world: World, end: str) -> list[str]:
    """A hash of the disk of a node that took a key: before the node ends, and long after."""
    network = Network(world)
    found: list[str] = []
    machine = Machine(world, network, "n0", SETTINGS, Record(world))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(machine.keep)
        while not machine.is_whole:  # noqa: ASYNC110 - no time is real
            await anyio.sleep(0.5)
        reply = await Hkp(machine.door.ask).put(armored(made(1, "a <a@x.example>")))
        assert reply.status == 200
        machine.hold("test")
        found.append(machine.disk.digest())
        if end == "crash":
            assert machine.crash("process")
        else:
            assert await machine.stop()
        await anyio.sleep(60)
        found.append(machine.disk.digest())
        tasks.cancel_scope.cancel()
    return found


def test_c019_a_node_that_is_killed_cleans_nothing_up() -> None:
    before, after = run(lambda world: digests(world, "crash"), seed=1).result
    assert after == before


def test_c019_a_node_that_stops_in_order_does() -> None:
    before, after = run(lambda world: digests(world, "stop"), seed=1).result
    assert after != before

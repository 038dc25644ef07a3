"""From where on a target is sent what changes, when it is named first."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import quote_from_bytes

import anyio
import msgspec
import pytest

from keygrove.asking import HttpReply, HttpRequest
from keygrove.cluster.placement import Placement
from keygrove.push.messages import TARGETS, GetTargets, SetTargets, TargetsApi, TargetStatus
from keygrove.settings import PushTarget, Settings, StorageSettings
from keygrove.storage.memory import MemoryStore
from keygrove.storage.shard import OpenStore
from keygrove_chaos.certificates import armored, made, put_of
from keygrove_chaos.disk import Disk
from keygrove_chaos.node import SimulatedNode, simulated_node, simulated_ports
from keygrove_chaos.sqlite import SimulatedDatabases
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint
from tests.simulation.push.servers import LONG_S, form_of, target, until
from tests.simulation.test_starting import Slow
from tests.simulation.timelines import SeededTimeline

pytestmark = pytest.mark.anyio

SHARDS = 2
SLOW = 1
HOUR_S = 3_600.0


def in_shard(number: int, at: int) -> Certificate:
    """A certificate that belongs there; of each number another one."""
    names = (made(seed, f"<u{seed}@x.example>") for seed in range(100 * number, 100 * number + 100))
    return next(one for one in names if Placement(SHARDS).shard(fingerprint(one)) == at)


OLD, EARLY, LATE = in_shard(1, 0), in_shard(2, 0), in_shard(3, SLOW)


class Taking:
    """See `asking.HttpClient`: a server that takes all, and remembers it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def post(self, request: HttpRequest) -> HttpReply:
        self.bodies.append(request.body)
        return HttpReply(200, b"")


@asynccontextmanager
async def pushing(
    client: Taking, stores: Sequence[OpenStore], *targets: PushTarget, data: Disk
) -> AsyncGenerator[SimulatedNode, None]:
    timeline = SeededTimeline(0)
    databases = SimulatedDatabases(timeline, "node", data.boot(), timeline.now)
    ports = msgspec.structs.replace(simulated_ports(), databases=databases, client=client)
    settings = Settings(storage=StorageSettings(shards=SHARDS), push=targets)
    async with simulated_node(settings, stores=stores, ports=ports) as node:
        with anyio.fail_after(LONG_S):
            yield node
    databases.close()


async def submit(node: SimulatedNode, certificate: Certificate) -> None:
    body = b"keytext=" + quote_from_bytes(armored(certificate), safe="").encode()
    reply = await node.http.ask("POST", "/pks/add", body)
    assert reply.status == 200, reply.text


async def statuses(node: SimulatedNode) -> Sequence[TargetStatus]:
    return await node.runtime.whereis(TARGETS, TargetsApi).call(GetTargets())


async def test_a_new_target_is_sent_all_that_comes_after_the_start() -> None:
    """Though one shard takes an hour to be brought up, while another one takes what comes."""
    quick, slow, client = MemoryStore(), Slow(), Taking()
    await quick.commit([put_of(OLD)])
    disk = Disk(SeededTimeline(0), "node")
    async with pushing(client, [quick.opened, slow.open], target("new"), data=disk) as node:
        await submit(node, EARLY)
        await anyio.sleep(HOUR_S)
        (status,) = await statuses(node)
        assert status.last_error == ""
        slow.may_finish()
        await anyio.sleep(10.0)
        await submit(node, LATE)
        await until(lambda: has_all(node))
    assert set(client.bodies) == {form_of(EARLY), form_of(LATE)}


async def has_all(node: SimulatedNode) -> bool:
    return all(one.lag == 0 for one in await statuses(node))


async def test_one_that_is_named_later_begins_there() -> None:
    quick, slow, client = MemoryStore(), Slow(), Taking()
    disk = Disk(SeededTimeline(0), "node")
    first, second = target("first"), target("second")
    async with pushing(client, [quick.opened, slow.open], first, data=disk) as node:
        await submit(node, EARLY)
        await until(lambda: has_all(node))
        keeper = node.runtime.whereis(TARGETS, TargetsApi)
        await keeper.call(SetTargets((first, second), ()))
        slow.may_finish()
        await anyio.sleep(10.0)
        await submit(node, LATE)
        await until(lambda: has_all(node))
    assert client.bodies.count(form_of(EARLY)) == 1
    assert client.bodies.count(form_of(LATE)) == 2

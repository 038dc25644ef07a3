"""Large loads are parsed by processes of their own, and nobody can tell by the answers."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from keygrove.ingest.bulk import IDLE_S, PARSERS, PROCESSES_MAX, WORTH_BYTES, pool_of
from keygrove.ingest.messages import INGEST, IngestApi, Submit, Submitted
from keygrove.ingest.parsing import Parse, parse
from keygrove.ingest.pipeline import INLINE_BYTES, Reply
from keygrove.ingest.steps import Draft, prepare
from keygrove.ingest.verdicts import Blame, Rejected
from keygrove.ports import Workers
from keygrove.settings import LoadSettings, Settings, StorageSettings
from keygrove.storage.store import Cause
from keygrove_actors import Crash, State, SupSpec
from keygrove_actors.census import Snapshot, tree_snapshot
from keygrove_actors.port_fake import Died, in_memory
from keygrove_actors.work import codec_of
from keygrove_actors.worker import Job, Table
from keygrove_chaos.certificates import binary, made
from keygrove_chaos.node import SimulatedNode, memory_stores, simulated_node, simulated_ports
from keygrove_protocols.openpgp.packets import Packet, Tag, join

pytestmark = pytest.mark.anyio

BIG = binary(made(n, f"User {n}") for n in range(20)) + join(
    [Packet(Tag.USER_ATTRIBUTE, bytes(3 << 20))]
)
ENOUGH = WORTH_BYTES // len(BIG) + 1


class Workplace:
    """What the workers of a node do instead of parsing, if a test says so, and how often."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Callable[[Parse, Job], Draft | Rejected] = parse

    def table(self) -> Table:
        table = Table()

        @table.on(Parse)
        def count(message: Parse, job: Job) -> Draft | Rejected:
            self.asked += 1
            return self.answer(message, job)

        return table


@asynccontextmanager
async def loading(
    place: Workplace, count: int = 2, processes: int = 0
) -> AsyncGenerator[SimulatedNode, None]:
    settings = Settings(storage=StorageSettings(shards=1), load=LoadSettings(processes=processes))
    workers = Workers(count, in_memory(place.table()))
    ports = msgspec.structs.replace(simulated_ports(), workers=workers)
    async with simulated_node(settings, ports=ports, stores=memory_stores(1)) as node:
        yield node


async def submit(node: SimulatedNode, data: bytes = BIG, cause: Cause = Cause.LOAD) -> Reply:
    ingest = node.runtime.whereis(INGEST, IngestApi)
    return await ingest.call(Submit(data, cause), timeout=60.0)


async def submit_enough(node: SimulatedNode) -> None:
    """So much that a pool is worth it, and the time to start it."""
    for _ in range(ENOUGH):
        assert isinstance(await submit(node), Submitted)
    await anyio.sleep(0.1)


async def workers_of(node: SimulatedNode) -> list[str]:
    tree = await tree_snapshot(node.runtime)
    (parsers,) = [child for child in tree.children if child.id == PARSERS]
    pools: tuple[Snapshot, ...] = parsers.children
    return [seat.kind for pool in pools for seat in pool.children if seat.state is State.UP]


async def test_a_small_load_starts_no_process() -> None:
    place = Workplace()
    async with loading(place) as node:
        for _ in range(ENOUGH - 2):
            await submit(node)
        await anyio.sleep(1.0)
        assert (await workers_of(node), place.asked) == ([], 0)


async def test_a_large_load_goes_to_processes_that_end_when_it_is_over() -> None:
    place = Workplace()
    async with loading(place) as node:
        before = await submit(node)
        await submit_enough(node)
        assert (await workers_of(node)).count("Seat") == 2
        assert await submit(node) != before, "new at first, known now"
        assert isinstance(before, Submitted)
        again = await submit(node)
        assert isinstance(again, Submitted)
        assert [fate.fingerprint for fate in again.fates] == [f.fingerprint for f in before.fates]
        assert place.asked == 2
        await anyio.sleep(IDLE_S - 1.0)
        await submit(node)
        await anyio.sleep(IDLE_S - 1.0)
        assert (await workers_of(node)).count("Seat") == 2, "it may go on"
        await anyio.sleep(2.0)
        assert await workers_of(node) == []
        await submit_enough(node)
        assert (await workers_of(node)).count("Seat") == 2, "the next load has a pool again"


async def test_small_submissions_and_those_of_clients_are_parsed_where_they_were() -> None:
    place = Workplace()
    async with loading(place) as node:
        await submit_enough(node)
        await submit(node, cause=Cause.UPLOAD)
        await submit(node, binary([made(1)]))
        assert place.asked == 0
        assert len(binary([made(1)])) < INLINE_BYTES


async def test_what_cannot_be_taken_is_rejected_in_the_same_words() -> None:
    place = Workplace()
    bad = BIG + b"\x00"
    async with loading(place) as node:
        before = await submit(node, bad)
        assert isinstance(before, Rejected)
        assert before.blame is Blame.MALFORMED
        await submit_enough(node)
        assert await submit(node, bad) == before
        assert place.asked == 1


async def test_a_worker_that_dies_is_restarted_and_its_work_done() -> None:
    place = Workplace()

    def die(message: Parse, job: Job) -> Draft | Rejected:
        if place.asked % 2:
            raise Died(9)
        return parse(message, job)

    async with loading(place) as node:
        await submit_enough(node)
        place.answer = die
        for number in range(8):
            # each other: the same request twice at a crash would be refused as poisoned
            reply = await submit(node, BIG + join([Packet(Tag.USER_ID, b"%d" % number)]))
            assert isinstance(reply, Submitted)
            assert len(reply.fates) == 20
            await anyio.sleep(0.5)
        assert place.asked == 8
        assert (await workers_of(node)).count("Seat") == 2
        ended = [line.facts["child"] for line in node.log.events("actor ended")]
        assert len(ended) == 4
        assert all(str(child).startswith("worker-") for child in ended)


@pytest.mark.slow
async def test_workers_that_keep_dying_are_given_up_and_the_load_goes_on() -> None:
    place = Workplace()

    def die(message: Parse, job: Job) -> Draft | Rejected:
        raise Died(11)

    async with loading(place) as node:
        await submit_enough(node)
        place.answer = die
        for number in range(20):
            reply = await submit(node, BIG + join([Packet(Tag.USER_ID, b"%d" % number)]))
            assert isinstance(reply, Submitted)
            await anyio.sleep(0.1)
        assert await workers_of(node) == []
        assert (await node.http.ask("GET", "/readyz")).status == 200


async def test_a_bug_of_the_worker_is_done_again_here_where_it_is_logged() -> None:
    place = Workplace()

    async with loading(place) as node:
        await submit_enough(node)

        def fail(message: Parse, job: Job) -> Draft | Rejected:
            return parse(Parse(None, Cause.LOAD), job)  # type: ignore[arg-type]

        place.answer = fail
        assert isinstance(await submit(node), Submitted)
        assert node.log.events("actor ended") == []


async def test_an_ingest_actor_that_crashes_leaves_no_pool_behind() -> None:
    async with loading(Workplace()) as node:
        await submit_enough(node)
        node.runtime.whereis(INGEST, object).exit(Crash("Test", ""))
        await anyio.sleep(3 * IDLE_S)
        assert await workers_of(node) == []
        assert isinstance(await submit(node), Submitted)


async def test_processes_that_cannot_start_leave_the_work_where_it_was() -> None:
    @asynccontextmanager
    async def launch(*_: object) -> AsyncGenerator[Any, None]:
        raise OSError(11, "no more processes")
        yield

    ports = msgspec.structs.replace(simulated_ports(), workers=Workers(2, launch))
    settings = Settings(storage=StorageSettings(shards=4))
    async with simulated_node(settings, ports=ports, stores=memory_stores(4)) as node:
        await submit_enough(node)
        for _ in range(ENOUGH):
            assert isinstance(await submit(node), Submitted)
        failed = node.log.events("actor did not start")
        assert [line.facts["child"] for line in failed].count("parser-pool") == 1, "once a load"


@pytest.mark.parametrize(
    ("cores", "wanted", "size"),
    [(1, 0, 0), (2, 0, 2), (64, 0, PROCESSES_MAX), (8, 1, 0), (1, 3, 3), (2, 16, 16)],
)
def test_how_many_there_are(cores: int, wanted: int, size: int) -> None:
    make = pool_of(Workers(cores), wanted)
    seats = 0
    if make is not None:
        start = make().start
        assert isinstance(start, SupSpec)
        seats = len(start.children) - 2  # the dispatcher, and the seat that is left over
    assert seats == size


def test_what_a_worker_answers_is_the_same_on_this_side_of_the_wire(
    vector: Callable[[str], bytes],
) -> None:
    codec = codec_of(Parse)
    for data in (BIG, vector("v3-rsa.pgp")):
        message = codec.decode(codec.encode(Parse(data, Cause.LOAD)))
        answer = prepare(message.data, message.cause)
        assert codec.decode_reply(codec.encode_reply(answer)) == prepare(data, Cause.LOAD)

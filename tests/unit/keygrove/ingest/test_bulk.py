"""Large loads are parsed by processes of their own, and nobody can tell by the answers."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from keygrove.ingest.bulk import IDLE_S, PARSE_S, PARSERS, PROCESSES_MAX, WORTH_BYTES, pool_of
from keygrove.ingest.messages import INGEST, IngestApi, Load, Result, Submit, Submitted, Unavailable
from keygrove.ingest.parsing import Look, LookIntoDump, look, look_at_dump
from keygrove.ingest.pipeline import Reply
from keygrove.ingest.steps import (
    HEAVY_US,
    INLINE_BYTES,
    Prepared,
    look_into,
    look_into_dump,
    read,
)
from keygrove.ingest.verdicts import Rejected
from keygrove.ports import Workers
from keygrove.settings import LoadSettings, Settings, StorageSettings
from keygrove_actors import Crash, Ctx, PortSpec, State, SupSpec
from keygrove_actors.census import Snapshot, tree_snapshot
from keygrove_actors.port_fake import Died, in_memory
from keygrove_actors.port_process import Launch, Process, Sink
from keygrove_actors.work import codec_of
from keygrove_actors.worker import Job, Table
from keygrove_chaos.certificates import binary, laborious, made
from keygrove_chaos.node import SimulatedNode, memory_stores, simulated_node, simulated_ports
from keygrove_protocols.openpgp.certificate import fingerprint
from keygrove_protocols.openpgp.packets import Packet, Tag, join
from keygrove_protocols.openpgp.policy import SKS_COMPATIBLE, VERIFIED, Policy

pytestmark = pytest.mark.anyio

STUFFING = join([Packet(Tag.USER_ATTRIBUTE, bytes(3 << 20))])
BIG = (*(binary([made(n, f"User {n}")]) for n in range(20)), binary([made(20)]) + STUFFING)
BIG_OCTETS = sum(map(len, BIG))
ENOUGH = WORTH_BYTES // BIG_OCTETS + 1
HEAVY = binary([laborious(1, HEAVY_US)])


def big(number: int) -> tuple[bytes, ...]:
    """Each another, and none of them held."""
    return (*BIG[:-1], BIG[-1] + join([Packet(Tag.USER_ID, b"%d" % number)]))


class Workplace:
    """What the workers of a node do instead of their work, if a test says so, and how often."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Callable[[LookIntoDump, Job], Prepared | Rejected] = look_at_dump
        self.answer_client: Callable[[Look, Job], Prepared | Rejected] = look

    def table(self) -> Table:
        table = Table()

        @table.on(LookIntoDump)
        def count(message: LookIntoDump, job: Job) -> Prepared | Rejected:
            self.asked += 1
            return self.answer(message, job)

        @table.on(Look)
        def count_client(message: Look, job: Job) -> Prepared | Rejected:
            self.asked += 1
            return self.answer_client(message, job)

        return table


@asynccontextmanager
async def loading(
    place: Workplace, count: int = 2, processes: int = 0, launch: Launch | None = None
) -> AsyncGenerator[SimulatedNode, None]:
    settings = Settings(storage=StorageSettings(shards=1), load=LoadSettings(processes=processes))
    workers = Workers(count, launch or in_memory(place.table()))
    ports = msgspec.structs.replace(simulated_ports(), workers=workers)
    async with simulated_node(settings, ports=ports, stores=memory_stores(1)) as node:
        yield node


async def submit(node: SimulatedNode, data: bytes) -> Reply:
    ingest = node.runtime.whereis(INGEST, IngestApi)
    return await ingest.call(Submit(data), timeout=60.0)


async def load(node: SimulatedNode, certificates: tuple[bytes, ...]) -> Reply:
    ingest = node.runtime.whereis(INGEST, IngestApi)
    return await ingest.call(Load(certificates), timeout=60.0)


async def load_enough(node: SimulatedNode, first: int = 1_000) -> None:
    """So much that a pool is worth it, and the time to start it."""
    for number in range(ENOUGH):
        assert isinstance(await load(node, big(first + number)), Submitted)
    await anyio.sleep(0.1)


async def workers_of(node: SimulatedNode) -> list[str]:
    tree = await tree_snapshot(node.runtime)
    (parsers,) = [child for child in tree.children if child.id == PARSERS]
    pools: tuple[Snapshot, ...] = parsers.children
    return [seat.kind for pool in pools for seat in pool.children if seat.state is State.UP]


async def test_a_small_load_starts_no_process() -> None:
    place = Workplace()
    async with loading(place) as node:
        for number in range(ENOUGH - 2):
            await load(node, big(number))
        await anyio.sleep(1.0)
        assert (await workers_of(node), place.asked) == ([], 0)


async def test_a_large_load_goes_to_processes_that_end_when_it_is_over() -> None:
    place = Workplace()
    async with loading(place) as node:
        before = await load(node, big(0))
        await load_enough(node)
        assert (await workers_of(node)).count("Seat") == 2
        again = await load(node, big(1))
        assert again != before, "new at first, known now"
        assert isinstance(before, Submitted)
        assert isinstance(again, Submitted)
        assert [fate.fingerprint for fate in again.fates] == [f.fingerprint for f in before.fates]
        assert place.asked == 1
        await anyio.sleep(IDLE_S - 1.0)
        await load(node, big(2))
        await anyio.sleep(IDLE_S - 1.0)
        assert (await workers_of(node)).count("Seat") == 2, "it may go on"
        await anyio.sleep(2.0)
        assert await workers_of(node) == []
        await load_enough(node, first=2_000)
        assert (await workers_of(node)).count("Seat") == 2, "the next load has a pool again"


async def test_what_is_known_already_is_no_reason_to_start_processes() -> None:
    place = Workplace()
    async with loading(place) as node:
        for _ in range(2 * ENOUGH):
            assert isinstance(await load(node, BIG), Submitted)
        await anyio.sleep(0.1)
        assert (await workers_of(node), place.asked) == ([], 0)


async def test_what_is_quickly_looked_into_stays_where_it_was() -> None:
    place = Workplace()
    async with loading(place) as node:
        await load_enough(node)
        await load(node, (binary([made(1)]),))
        await submit(node, binary([made(2)]))
        await submit(node, b"".join(BIG))
        assert place.asked == 0
        assert len(binary([made(1)])) < INLINE_BYTES < BIG_OCTETS


async def test_a_submission_that_takes_long_to_verify_has_processes_started_for_it() -> None:
    place = Workplace()
    async with loading(place) as node:
        assert len(HEAVY) < INLINE_BYTES
        reply = await submit(node, HEAVY)
        assert isinstance(reply, Submitted)
        assert [fate.result for fate in reply.fates] == [Result.INSERTED]
        assert place.asked == 1
        assert (await workers_of(node)).count("Seat") == 2
        await anyio.sleep(2 * IDLE_S)
        assert await workers_of(node) == []


async def test_without_processes_it_is_verified_where_it_came_in() -> None:
    place = Workplace()
    async with loading(place, processes=1) as node:
        reply = await submit(node, HEAVY)
        assert isinstance(reply, Submitted)
        assert [fate.result for fate in reply.fates] == [Result.INSERTED]
        assert place.asked == 0


async def test_who_meets_processes_that_are_busy_is_told_to_come_again() -> None:
    place = Workplace()

    @asynccontextmanager
    async def launch(ctx: Ctx, spec: PortSpec, sink: Sink) -> AsyncGenerator[Process, None]:
        async with in_memory(place.table())(ctx, spec, sink) as process:
            hear = process.write
            process.write = lambda data: None if b"Laborious" in data else hear(data)  # type: ignore[method-assign]
            yield process

    async with loading(place, launch=launch) as node:
        begun = anyio.current_time()
        reply = await submit(node, HEAVY)
        assert reply == Unavailable()
        assert anyio.current_time() - begun == pytest.approx(PARSE_S, abs=1.0)


async def test_one_that_cannot_be_taken_is_refused_in_the_same_words() -> None:
    place = Workplace()
    bad = (*big(0), BIG[-1] + b"\x00")
    async with loading(place) as node:
        before = await load(node, bad)
        assert isinstance(before, Submitted)
        refused = [fate for fate in before.fates if fate.error]
        assert [fate.at for fate in refused] == [len(bad) - 1]
        await load_enough(node)
        again = await load(node, bad)
        assert isinstance(again, Submitted)
        assert [fate for fate in again.fates if fate.error] == refused
        assert place.asked


async def test_a_worker_that_dies_is_restarted_and_its_work_done() -> None:
    place = Workplace()

    def die(message: LookIntoDump, job: Job) -> Prepared | Rejected:
        if place.asked % 2:
            raise Died(9)
        return look_at_dump(message, job)

    async with loading(place) as node:
        await load_enough(node)
        place.answer = die
        for number in range(8):
            # each another: the same request twice at a crash would be refused as poisoned
            reply = await load(node, big(number))
            assert isinstance(reply, Submitted)
            assert len(reply.fates) == len(BIG)
            await anyio.sleep(0.5)
        assert place.asked == 8
        assert (await workers_of(node)).count("Seat") == 2
        ended = [line.facts["child"] for line in node.log.events("actor ended")]
        assert len(ended) == 4
        assert all(str(child).startswith("worker-") for child in ended)


@pytest.mark.slow
async def test_workers_that_keep_dying_are_given_up_and_the_load_goes_on() -> None:
    place = Workplace()

    def die(message: LookIntoDump, job: Job) -> Prepared | Rejected:
        raise Died(11)

    async with loading(place) as node:
        await load_enough(node)
        place.answer = die
        for number in range(20):
            assert isinstance(await load(node, big(number)), Submitted)
            await anyio.sleep(0.1)
        assert await workers_of(node) == []
        assert (await node.http.ask("GET", "/readyz")).status == 200


async def test_a_bug_of_the_worker_is_done_again_here_where_it_is_logged() -> None:
    place = Workplace()

    async with loading(place) as node:
        await load_enough(node)

        def fail(message: LookIntoDump, job: Job) -> Prepared | Rejected:
            return look_at_dump(LookIntoDump((b"".join(BIG),), VERIFIED), job)

        place.answer = fail
        assert isinstance(await load(node, big(0)), Submitted)
        assert place.asked == 1
        assert node.log.events("actor ended") == []


async def test_an_ingest_actor_that_crashes_leaves_no_pool_behind() -> None:
    async with loading(Workplace()) as node:
        await load_enough(node)
        node.runtime.whereis(INGEST, object).exit(Crash("Test", ""))
        await anyio.sleep(3 * IDLE_S)
        assert await workers_of(node) == []
        assert isinstance(await load(node, big(0)), Submitted)


async def test_processes_that_cannot_start_leave_the_work_where_it_was() -> None:
    @asynccontextmanager
    async def launch(*_: object) -> AsyncGenerator[Any, None]:
        raise OSError(11, "no more processes")
        yield

    ports = msgspec.structs.replace(simulated_ports(), workers=Workers(2, launch))
    settings = Settings(storage=StorageSettings(shards=4))
    async with simulated_node(settings, ports=ports, stores=memory_stores(4)) as node:
        await load_enough(node)
        for number in range(ENOUGH):
            assert isinstance(await load(node, big(number)), Submitted)
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


@pytest.mark.parametrize("policy", [VERIFIED, SKS_COMPATIBLE], ids=lambda one: one.preset)
def test_what_a_worker_answers_is_the_same_on_this_side_of_the_wire(
    policy: Policy, vector: Callable[[str], bytes]
) -> None:
    policy = msgspec.structs.replace(policy, blocked=frozenset({fingerprint(made(1))}))
    dumps, submissions = codec_of(LookIntoDump), codec_of(Look)
    for octets in (*BIG, vector("v3-rsa.pgp"), binary([made(9, version=5)]), b"junk"):
        asked = dumps.decode(dumps.encode(LookIntoDump((octets,), policy)))
        answer = look_into_dump(asked.certificates, asked.policy)
        assert dumps.decode_reply(dumps.encode_reply(answer)) == look_into_dump([octets], policy)
    data = b"".join(BIG)
    sent = submissions.decode(submissions.encode(Look(data, policy)))
    prepared = look_into(read(sent.data), sent.policy)
    assert submissions.decode_reply(submissions.encode_reply(prepared)) == prepared
    assert prepared == look_into(read(data), policy)

"""Rollbacks of a shard through the runtime: on trio in memory, on asyncio with SQLite."""

import sqlite3
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from keygrove.errors import DamagedError, DiskFullError, HistoryError
from keygrove.storage.absorb import Outcome
from keygrove.storage.cache import Answer, Form
from keygrove.storage.messages import (
    Allow,
    Concerns,
    Deny,
    Failed,
    Fetch,
    GetRollbacks,
    GetSlots,
    Merge,
    Merged,
    NoSpace,
    Order,
    Rehearse,
    Roll,
    Rollbacks,
    Unknown,
)
from keygrove.storage.rollback import Rehearsal, Rollback, Selector, Stage, Toll
from keygrove.storage.roller import CHUNK
from keygrove.storage.shard import OpenStore
from keygrove.storage.write import Cause
from keygrove_actors import CalleeExit, ChildTerminated, Crash
from keygrove_chaos.certificates import CREATED, candidate_of, made
from keygrove_chaos.signing import Signer, subpacket
from keygrove_protocols.openpgp.certificate import (
    Certificate,
    canonical,
    fingerprint,
    to_bytes,
)
from keygrove_protocols.openpgp.merge import merge
from keygrove_protocols.openpgp.signatures import KEY_REVOCATION
from tests.loops import Backend
from tests.unit.keygrove.storage.shards import KINDS, Subject, backend, opener, running

pytestmark = pytest.mark.anyio

ALICE, BOB = made(1, "Alice <a@x.example>"), made(2, "Bob")
ALICIA = made(1, "Alicia")
STOLEN = subpacket(29, b"\x02")
RETIRED = subpacket(29, b"\x03")
FLOOD = [made(number, "Flood") for number in range(100, 100 + 2 * CHUNK)]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def anyio_backend(kind: str) -> Backend:
    return backend(kind)


@pytest.fixture
def open_it(kind: str, tmp_path: Path) -> OpenStore:
    return opener(kind, tmp_path)


def revoked(number: int, reason: bytes = STOLEN) -> Certificate:
    """A key that says of itself that it is not to be used any more."""
    primary = made(number).primary
    packet = Signer(number).sign(KEY_REVOCATION, primary, hashed=reason)
    return canonical(Certificate(primary, (packet,), ()))


class Held:
    """A running shard, and what is asked of it here."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.ref = subject.ref

    async def take(
        self, *certificates: Certificate, cause: Cause = Cause.UPLOAD, origin: str = ""
    ) -> list[Outcome]:
        """Have them merged, all at once."""
        outcomes: dict[int, Outcome] = {}

        async def ask(number: int, one: Certificate) -> None:
            candidate = msgspec.structs.replace(candidate_of(one, cause), origin=origin)
            reply = await self.ref.call(Merge(candidate), timeout=60)
            assert isinstance(reply, Merged)
            outcomes[number] = reply.outcome

        async with anyio.create_task_group() as tasks:
            for number, one in enumerate(certificates):
                tasks.start_soon(ask, number, one)
        return [outcomes[number] for number in range(len(certificates))]

    async def change(self) -> int:
        return (await self.ref.call(GetSlots(), wait_up=5)).change

    async def root(self) -> bytes:
        return (await self.ref.call(GetSlots(), wait_up=5)).hashes

    async def rollback(
        self, name: str = "r1", *, is_forced: bool = False, **of: object
    ) -> Rollback:
        """What is to be asked for, of all there is so far unless `of` says otherwise."""
        selector = msgspec.structs.replace(Selector(await self.change()), **of)
        return Rollback(name, selector, is_forced, "a flood", Stage.RUNNING, Toll(), CREATED)

    async def roll(self, rollback: Rollback) -> Rollback:
        """Have it begun, and wait for its end."""
        reply = await self.ref.call(Roll(rollback), timeout=60)
        assert isinstance(reply, Rollback)
        return await self.ended(rollback.name)

    async def ended(self, name: str) -> Rollback:
        """Wait until it, or its undo, is done: it is behind whatever is asked for afterwards."""
        last = Rollback("none", Selector(0), False, "", Stage.UNDOING, Toll(), CREATED)
        assert await self.ref.call(Rehearse(last), timeout=60, wait_up=5) == Unknown()
        return next(one for one in await self.rollbacks() if one.name == name)

    async def rollbacks(self) -> tuple[Rollback, ...]:
        reply = await self.ref.call(GetRollbacks())
        assert isinstance(reply, Rollbacks)
        return reply.rollbacks

    async def undo(self, rollback: Rollback) -> Rollback:
        return await self.roll(msgspec.structs.replace(rollback, stage=Stage.UNDOING))

    async def rehearse(self, rollback: Rollback) -> Rehearsal:
        reply = await self.ref.call(Rehearse(rollback), timeout=60)
        assert isinstance(reply, Rehearsal)
        return reply

    async def packets(self, of: Certificate) -> bytes | None:
        reply = await self.ref.call(Fetch(fingerprint(of), Form.BINARY), wait_up=5)
        if reply is None:
            return None
        assert isinstance(reply, Answer)
        return reply.body

    async def holds(self, *certificates: Certificate) -> None:
        for one in certificates:
            assert await self.packets(one) == to_bytes(canonical(one))

    async def lacks(self, certificates: Iterable[Certificate]) -> None:
        for one in certificates:
            assert await self.packets(one) is None


@asynccontextmanager
async def held(open_it: OpenStore) -> AsyncGenerator[Held, None]:
    async with running(open_it) as subject:
        yield Held(subject)


async def test_a_flood_is_taken_back_and_kept_out_also_after_a_restart(open_it: OpenStore) -> None:
    async with held(open_it) as shard:
        await shard.take(ALICE, BOB)
        before = await shard.root()
        await shard.take(*FLOOD, cause=Cause.RECON, origin="pool")
        rollback = await shard.rollback(origins=frozenset({"pool"}))
        assert (await shard.rehearse(rollback)).toll.removed == len(FLOOD)
        done = await shard.roll(rollback)
        assert (done.stage, done.toll.removed, done.toll.entangled) == (Stage.DONE, len(FLOOD), 0)
        await shard.lacks(FLOOD)
        await shard.holds(ALICE, BOB)
        assert await shard.root() == before
    async with held(open_it) as shard:
        for _ in range(3):
            offered = await shard.take(*FLOOD, cause=Cause.RECON, origin="pool")
            assert set(offered) == {Outcome.DENIED}
        assert await shard.take(FLOOD[0]) == [Outcome.DENIED]
        assert await shard.root() == before


async def test_an_undo_brings_back_what_was_taken_and_lifts_what_was_denied(
    open_it: OpenStore,
) -> None:
    more = made(1, "Alice <a@x.example>", signatures=2)
    async with held(open_it) as shard:
        await shard.take(ALICE)
        await shard.take(more, *FLOOD[:3], cause=Cause.LOAD, origin="dump")
        root = await shard.root()
        rollback = await shard.rollback(origins=frozenset({"dump"}))
        done = await shard.roll(rollback)
        assert done.toll == Toll(removed=3, changed=1, octets=done.toll.octets)
        await shard.holds(ALICE)
        asked = msgspec.structs.replace(rollback, stage=Stage.UNDOING)
        assert (await shard.rehearse(asked)).toll.restored == 4
        undone = await shard.undo(rollback)
        assert (undone.stage, undone.toll.restored) == (Stage.UNDONE, 4)
        assert undone.toll.octets == done.toll.octets
        await shard.holds(more, *FLOOD[:3])
        assert await shard.root() == root
        assert await shard.take(*FLOOD[:3]) == [Outcome.UNCHANGED] * 3


async def test_what_others_brought_before_and_since_stays(open_it: OpenStore) -> None:
    flooded = made(1, "Alice <a@x.example>", signatures=3)
    async with held(open_it) as shard:
        await shard.take(ALICE)
        await shard.take(flooded, cause=Cause.RECON, origin="pool")
        await shard.take(ALICIA)
        rollback = await shard.rollback(causes=frozenset({Cause.RECON}))
        done = await shard.roll(rollback)
        assert (done.toll.changed, done.toll.removed) == (1, 0)
        both = merge(ALICE, ALICIA)
        await shard.holds(both)
        assert await shard.take(flooded) == [Outcome.UNCHANGED]
        await shard.holds(both)
        await shard.undo(rollback)
        await shard.holds(merge(flooded, ALICIA))


async def test_what_both_brought_is_not_taken_back(open_it: OpenStore) -> None:
    async with held(open_it) as shard:
        await shard.take(ALICE)
        await shard.take(ALICE, cause=Cause.RECON, origin="pool")
        root = await shard.root()
        done = await shard.roll(await shard.rollback(causes=frozenset({Cause.RECON})))
        assert done.toll == Toll()
        assert await shard.root() == root


async def test_what_others_brought_to_a_flooded_key_is_not_taken_unless_forced(
    open_it: OpenStore,
) -> None:
    async with held(open_it) as shard:
        await shard.take(ALICE, cause=Cause.RECON, origin="pool")
        await shard.take(ALICIA)
        of: dict[str, Any] = {"causes": frozenset({Cause.RECON})}
        rollback = await shard.rollback("gently", **of)
        assert (await shard.rehearse(rollback)).entangled == (fingerprint(ALICE),)
        done = await shard.roll(rollback)
        assert done.toll == Toll(entangled=1)
        await shard.holds(merge(ALICE, ALICIA))
        forced = await shard.rollback("forced", is_forced=True, **of)
        assert (await shard.rehearse(forced)).entangled == ()
        assert (await shard.roll(forced)).toll.removed == 1
        await shard.lacks([ALICE])
        await shard.undo(forced)
        await shard.holds(merge(ALICE, ALICIA))


async def test_a_range_and_a_list_select_what_is_in_both(open_it: OpenStore) -> None:
    early, listed, other, late = FLOOD[:4]
    async with held(open_it) as shard:
        await shard.take(early)
        after = await shard.change()
        await shard.take(listed, other)
        until = await shard.change()
        await shard.take(late)
        names = frozenset(map(fingerprint, (early, listed, late)))
        rollback = await shard.rollback(after=after, until=until, names=names)
        assert (await shard.roll(rollback)).toll.removed == 1
        await shard.lacks([listed])
        await shard.holds(early, other, late)


async def test_what_administrators_did_since_stands(open_it: OpenStore) -> None:
    denied, allowed, kept = FLOOD[:3]
    async with held(open_it) as shard:
        await shard.take(denied, allowed, kept, origin="dump")
        await shard.ref.call(Deny(fingerprint(denied), Order(None, "asked", b"1" * 16)))
        rollback = await shard.rollback(origins=frozenset({"dump"}))
        assert (await shard.roll(rollback)).toll.removed == 2
        await shard.ref.call(Allow(fingerprint(allowed), Order(None, "asked", b"2" * 16)))
        assert (await shard.undo(rollback)).toll.restored == 2
        await shard.lacks([denied])
        await shard.holds(allowed, kept)


async def test_a_hard_revocation_of_what_was_taken_back_gets_in(open_it: OpenStore) -> None:
    taken = made(7, "Mallory")
    async with held(open_it) as shard:
        await shard.take(taken, origin="dump")
        await shard.roll(await shard.rollback(origins=frozenset({"dump"})))
        assert await shard.take(revoked(7, RETIRED)) == [Outcome.DENIED]
        assert await shard.take(merge(taken, revoked(7))) == [Outcome.REVOKED]
        assert await shard.take(revoked(7)) == [Outcome.UNCHANGED]
        assert await shard.take(taken) == [Outcome.DENIED]
        await shard.holds(revoked(7))


async def test_a_hard_revocation_that_was_held_stays(open_it: OpenStore) -> None:
    taken = merge(made(7, "Mallory"), revoked(7))
    async with held(open_it) as shard:
        await shard.take(taken, origin="dump")
        rollback = await shard.rollback(origins=frozenset({"dump"}))
        await shard.roll(rollback)
        await shard.holds(revoked(7))
        assert (await shard.undo(rollback)).toll.restored == 1
        await shard.holds(revoked(7))
        assert await shard.take(taken) == [Outcome.UNCHANGED]


async def test_what_was_undone_can_be_taken_back_by_a_list(open_it: OpenStore) -> None:
    async with held(open_it) as shard:
        await shard.take(*FLOOD[:2], origin="dump")
        first = await shard.rollback(origins=frozenset({"dump"}))
        await shard.roll(first)
        await shard.undo(first)
        again = await shard.rollback("r2", names=frozenset(map(fingerprint, FLOOD[:2])))
        assert (await shard.roll(again)).toll.removed == 2
        await shard.lacks(FLOOD[:2])


async def test_what_was_undone_can_be_taken_back_by_who_brought_it(open_it: OpenStore) -> None:
    flooded = made(1, "Alice <a@x.example>", signatures=3)
    async with held(open_it) as shard:
        await shard.take(ALICE)
        await shard.take(flooded, *FLOOD[:2], cause=Cause.LOAD, origin="dump")
        for name in ("r1", "r2", "r3"):
            rollback = await shard.rollback(name, origins=frozenset({"dump"}))
            assert await shard.ref.call(Concerns(rollback)) is True
            done = await shard.roll(rollback)
            assert done.toll == Toll(removed=2, changed=1, octets=done.toll.octets)
            await shard.lacks(FLOOD[:2])
            await shard.holds(ALICE)
            assert (await shard.undo(rollback)).toll.restored == 3
            await shard.holds(flooded, *FLOOD[:2])
        others = await shard.rollback("r4", origins=frozenset({"pool"}))
        assert await shard.ref.call(Concerns(others)) is False
        assert (await shard.roll(others)).toll == Toll()


async def test_the_undo_after_a_hard_revocation_lifts_the_denial(open_it: OpenStore) -> None:
    taken = made(7, "Mallory")
    async with held(open_it) as shard:
        await shard.take(taken, origin="dump")
        rollback = await shard.rollback(origins=frozenset({"dump"}))
        await shard.roll(rollback)
        assert await shard.take(merge(taken, revoked(7))) == [Outcome.REVOKED]
        undone = await shard.undo(rollback)
        assert undone.toll == Toll(restored=1, octets=undone.toll.octets)
        await shard.holds(revoked(7))
        assert await shard.take(taken) == [Outcome.UNCHANGED]


async def test_asked_for_again_it_is_not_done_again(open_it: OpenStore) -> None:
    async with held(open_it) as shard:
        await shard.take(*FLOOD[:2], origin="dump")
        rollback = await shard.rollback(origins=frozenset({"dump"}))
        done = await shard.roll(rollback)
        change = await shard.change()
        assert await shard.ref.call(Roll(rollback)) == done
        undone = await shard.undo(rollback)
        asked = msgspec.structs.replace(rollback, stage=Stage.UNDOING)
        assert await shard.ref.call(Roll(asked)) == undone
        assert await shard.change() > change


async def test_the_undo_of_what_never_was_is_refused(open_it: OpenStore) -> None:
    async with held(open_it) as shard:
        asked = msgspec.structs.replace(await shard.rollback(), stage=Stage.UNDOING)
        assert await shard.ref.call(Roll(asked)) == Unknown()
        assert await shard.ref.call(Rehearse(asked)) == Unknown()


@pytest.mark.parametrize("is_undo", [False, True])
async def test_what_a_crash_broke_off_goes_on_by_itself(open_it: OpenStore, is_undo: bool) -> None:
    commits = 0
    async with held(open_it) as shard:
        subject = shard.subject
        await shard.take(*FLOOD, origin="dump")
        root = await shard.root()
        rollback = await shard.rollback(origins=frozenset({"dump"}))
        if is_undo:
            await shard.roll(rollback)

        async def crash_once(operation: str) -> None:
            nonlocal commits
            commits += operation == "commit"
            if operation == "commit" and commits == 2:
                subject.ref.exit(Crash("Test", "between two chunks"))
                await anyio.sleep_forever()

        subject.hooks.after = crash_once
        asked = msgspec.structs.replace(rollback, stage=Stage.UNDOING) if is_undo else rollback
        assert isinstance(await shard.ref.call(Roll(asked), timeout=60), Rollback)
        with pytest.raises(CalleeExit):
            await shard.ended(rollback.name)
        ended = await shard.ended(rollback.name)
        if is_undo:
            assert (ended.stage, ended.toll.restored) == (Stage.UNDONE, len(FLOOD))
            assert await shard.root() == root
        else:
            assert (ended.stage, ended.toll.removed) == (Stage.DONE, len(FLOOD))
            await shard.lacks(FLOOD)


async def test_a_full_disk_delays_it_and_refuses_what_is_not_begun(open_it: OpenStore) -> None:
    async with held(open_it) as shard:
        hooks = shard.subject.hooks
        await shard.take(*FLOOD[:2], origin="dump")
        rollback = await shard.rollback(origins=frozenset({"dump"}))

        async def no_room(operation: str) -> None:
            if operation == "commit":
                raise DiskFullError("heap.db")

        hooks.before = no_room
        assert await shard.ref.call(Roll(rollback)) == NoSpace()
        known = await shard.rollbacks()
        assert known == ()
        await shard.holds(*FLOOD[:2])


async def test_what_was_dropped_from_history_meanwhile_is_looked_up_again(
    open_it: OpenStore,
) -> None:
    async with held(open_it) as shard:
        hooks = shard.subject.hooks
        await shard.take(*FLOOD[:3], origin="dump")
        drops = [HistoryError(1)]

        async def drop(operation: str) -> None:
            if operation == "get whole" and drops:
                raise drops.pop()

        hooks.before = drop
        done = await shard.roll(await shard.rollback(origins=frozenset({"dump"})))
        assert (done.stage, done.toll.removed, drops) == (Stage.DONE, 3, [])
        assert not [one for one in hooks.reports if isinstance(one, ChildTerminated)]


async def test_what_is_damaged_is_left_and_costs_no_other_and_no_restart(
    open_it: OpenStore,
) -> None:
    async with held(open_it) as shard:
        hooks = shard.subject.hooks
        await shard.take(*FLOOD[:3], origin="dump")
        rollback = await shard.rollback(origins=frozenset({"dump"}))
        reads = 0

        async def rot(operation: str) -> None:
            nonlocal reads
            reads += operation == "get whole"
            # All at once, then the first alone.
            if operation == "get whole" and reads % 4 in {1, 2}:
                raise DamagedError("row 1")

        hooks.before = rot
        assert (await shard.rehearse(rollback)).toll.damaged == 1
        done = await shard.roll(rollback)
        assert (done.stage, done.toll.damaged, done.toll.removed) == (Stage.DONE, 1, 2)
        assert [str(error) for _, error in hooks.notes.damage] == ["row 1"]
        assert hooks.notes.faults == []
        assert not [one for one in hooks.reports if isinstance(one, ChildTerminated)]


@pytest.mark.parametrize("kind", ["sqlite on asyncio"])
async def test_damaged_rollbacks_cost_no_more_than_what_needs_them(
    open_it: OpenStore, tmp_path: Path
) -> None:
    async with held(open_it) as shard:
        await shard.take(ALICE)
        rollback = await shard.rollback(origins=frozenset({"pool"}))
        await shard.roll(rollback)
    with closing(sqlite3.connect(tmp_path / "shard-0" / "heap.db")) as db:
        db.execute("UPDATE rollback SET sum = zeroblob(length(sum))")
        db.commit()
    async with held(open_it) as shard:
        for ask in (Roll(rollback), Rehearse(rollback), Concerns(rollback), GetRollbacks()):
            assert await shard.ref.call(ask, timeout=60, wait_up=5) == Failed()
        await shard.holds(ALICE)
        hooks = shard.subject.hooks
        assert hooks.notes.damage
        assert hooks.notes.faults == []
        assert not [one for one in hooks.reports if isinstance(one, ChildTerminated)]


async def test_others_are_answered_between_its_commits(open_it: OpenStore) -> None:
    gate, reached = anyio.Event(), anyio.Event()
    commits = 0

    async def wait(operation: str) -> None:
        nonlocal commits
        commits += operation == "commit"
        if operation == "commit" and commits == 2:
            reached.set()
            await gate.wait()

    async with held(open_it) as shard:
        await shard.take(ALICE, *FLOOD, origin="dump")
        rollback = await shard.rollback(names=frozenset(map(fingerprint, FLOOD)))
        shard.subject.hooks.before = wait
        assert isinstance(await shard.ref.call(Roll(rollback)), Rollback)
        await reached.wait()
        await shard.holds(ALICE)
        (standing,) = await shard.rollbacks()
        assert standing.stage is Stage.RUNNING
        before = await shard.change()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shard.take, BOB)
            await anyio.wait_all_tasks_blocked()
            gate.set()
        assert (await shard.ended("r1")).toll.removed == len(FLOOD)
        bob = await shard.ref.call(Fetch(fingerprint(BOB), Form.BINARY))
        assert isinstance(bob, Answer)
        assert bob.change == before + 2  # behind the first half of the flood
        assert await shard.change() == bob.change + 2  # the second half, and the end

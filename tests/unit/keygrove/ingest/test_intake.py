"""What operators are told of each submission."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import pytest

from keygrove.errors import DiskFullError
from keygrove.ingest.messages import INGEST, IngestApi, Load, Submit
from keygrove.ingest.pipeline import Ingest
from keygrove.ingest.steps import INLINE_BYTES, INLINE_US
from keygrove.storage.committer import Means
from keygrove.storage.memory import MemoryStore
from keygrove.storage.shard import Shard
from keygrove.storage.store import Opened, Opening
from keygrove.telemetry.intake import Intake
from keygrove_actors import ChildSpec, Ref, SupSpec, run
from keygrove_chaos.certificates import armored, binary, laborious, large, made
from keygrove_chaos.node import InlineCompute, LoopClock
from keygrove_chaos.stores import HookedStore, Notes
from keygrove_protocols.openpgp.policy import VERIFIED
from tests.openpgp import SELF, alice, with_wrong_value

pytestmark = pytest.mark.anyio

T = TypeVar("T")

ALICE, BOB = made(1, "Alice"), made(2, "Bob")
DROPPED = alice(with_wrong_value(SELF))
"""Taken without one of its signatures."""


class Compute:
    """Does work here, and fails when told to."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def run(self, work: Callable[[], T]) -> T:
        if self.error is not None:
            raise self.error
        return work()


class Subject:
    """A running ingest actor before one shard, and what it told."""

    def __init__(self) -> None:
        self.compute = Compute()
        self.notes = Notes()
        self.is_full = False
        self.told: list[Intake] = []
        self._store = MemoryStore()
        self.ref: Ref[IngestApi]

    async def _before(self, operation: str) -> None:
        if self.is_full and operation == "commit":
            raise DiskFullError("the disk")

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Opening, None]:
        yield Opened(HookedStore(self._store, before=self._before))

    async def submit(self, data: bytes) -> Intake:
        await self.ref.call(Submit(data), timeout=40)
        return self.told[-1]

    async def load(self, *certificates: bytes) -> Intake:
        await self.ref.call(Load(certificates), timeout=40)
        return self.told[-1]


@asynccontextmanager
async def ingesting(*, with_shard: bool = True) -> AsyncGenerator[Subject, None]:
    subject = Subject()
    means = Means(LoopClock(), subject.compute, InlineCompute(), VERIFIED)
    start = partial(Shard, subject.open, means, cache_bytes=0, watcher=subject.notes)
    shard = ChildSpec("shard-0", start, name="shard-0")
    ingest = ChildSpec(
        INGEST,
        partial(
            Ingest,
            1,
            subject.compute,
            VERIFIED,
            on_fault=subject.notes.fault,
            on_intake=subject.told.append,
        ),
        name=INGEST,
    )
    spec = SupSpec(children=(shard, ingest) if with_shard else (ingest,), intensity=5)
    async with run(spec) as runtime:
        subject.ref = runtime.whereis(INGEST, IngestApi)
        yield subject


async def test_what_became_of_each_certificate_and_why_is_told() -> None:
    async with ingesting() as on:
        data = armored(DROPPED, BOB, made(9, version=5))
        told = await on.submit(data)
        assert (told.route, told.outcome, told.octets) == ("upload", "taken", len(data))
        assert told.results == {"inserted": 2, "invalid": 1}
        assert told.refused == {"UnsupportedKeyVersion": 1}
        assert told.dropped == {"BadSelfSig": 1}
        assert (told.place, told.known) == ("inline", 0)
        again = await on.submit(data)
        assert again.results == {"ignored": 2, "invalid": 1}
        assert len(on.told) == 2


async def test_what_was_rejected_as_a_whole_is_told_with_the_reason() -> None:
    async with ingesting() as on:
        told = await on.submit(b"\xc6\x05abc")
        assert (told.outcome, told.refused, told.results) == ("rejected", {"Truncated": 1}, {})
        assert told.place is None, "nothing was verified"


async def test_what_a_load_passed_over_is_told() -> None:
    async with ingesting() as on:
        octets = [binary([one]) for one in (ALICE, BOB)]
        first = await on.load(*octets)
        assert (first.route, first.known, first.results) == ("load", 0, {"inserted": 2})
        more = await on.load(*octets, binary([made(3, "Carol")]))
        assert (more.known, more.results) == (2, {"inserted": 1, "ignored": 2})
        known = await on.load(*octets)
        assert (known.known, known.results, known.place) == (2, {"ignored": 2}, None)


async def test_where_it_was_verified_is_told() -> None:
    async with ingesting() as on:
        small = await on.submit(armored(ALICE))
        large_one = await on.submit(armored(large(4, INLINE_BYTES)))
        costly = await on.submit(armored(laborious(5, 2 * INLINE_US)))
        loaded = await on.load(binary([large(6, INLINE_BYTES)]))
        told = (small, large_one, costly, loaded)
        assert [one.place for one in told] == ["inline", "thread", "thread", "thread"]
        assert all(one.verify_s >= 0 for one in told)


async def test_what_went_wrong_here_is_told_apart() -> None:
    async with ingesting() as on:
        on.is_full = True
        assert (await on.submit(armored(ALICE))).outcome == "no space"
        on.compute.error = ZeroDivisionError("a bug")
        assert (await on.submit(armored(large(4, INLINE_BYTES)))).outcome == "failed"
        assert [where for where, _ in on.notes.faults] == ["ingest"]
    async with ingesting(with_shard=False) as alone:
        assert (await alone.submit(armored(ALICE))).outcome == "unavailable"

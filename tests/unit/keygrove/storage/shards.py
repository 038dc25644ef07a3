"""A shard through the runtime, and what a test may do to it: in memory on trio, or on SQLite."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.lowlevel

from keygrove.storage.absorb import Outcome
from keygrove.storage.cache import Answer, Form
from keygrove.storage.committer import Means
from keygrove.storage.memory import MemoryStore
from keygrove.storage.messages import (
    Failed,
    Fetch,
    GetStatus,
    Merge,
    Merged,
    NoSpace,
    ShardApi,
    ShardStatus,
)
from keygrove.storage.opening import Home, open_store
from keygrove.storage.shard import OpenStore, Shard
from keygrove.storage.store import Opening
from keygrove.system.sqlite import SqliteFiles
from keygrove_actors import (
    ChildSpec,
    Ref,
    Report,
    SupSpec,
    run,
)
from keygrove_chaos.certificates import (
    CREATED,
    candidate_of,
)
from keygrove_chaos.stores import Hook, HookedOpening, Notes
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint
from keygrove_protocols.openpgp.policy import VERIFIED, Policy
from tests.loops import Backend, virtual_trio

T = TypeVar("T")

SHUTDOWN_S = 6.0
LIMIT_S = 60.0


class Clock:
    def __init__(self) -> None:
        self.elapsed_s = 0.0

    def now(self) -> int:
        return CREATED

    def elapsed(self) -> float:
        return self.elapsed_s


class Compute:
    """Does work at once, or when its gate is opened, and counts it."""

    def __init__(self) -> None:
        self.runs = 0
        self.reached = anyio.Event()
        self.gate: anyio.Event | None = None

    async def run(self, work: Callable[[], T]) -> T:
        self.runs += 1
        done = work()
        if self.gate is not None:
            self.reached.set()
            await self.gate.wait()
        return done


class Subject:
    """A running shard, and what was seen of it."""

    def __init__(self, ref: Ref[ShardApi], hooks: "Hooks") -> None:
        self.ref = ref
        self.hooks = hooks
        self.clock = hooks.clock
        self.compute = hooks.compute
        self.answers = hooks.answers
        self.notes = hooks.notes
        self.reports = hooks.reports

    async def merge(self, certificate: Certificate) -> Merged | NoSpace | Failed:
        return await self.ref.call(Merge(candidate_of(certificate)))

    async def fetch(
        self, certificate: Certificate, form: Form = Form.BINARY
    ) -> Answer | Failed | None:
        return await self.ref.call(Fetch(fingerprint(certificate), form), wait_up=1)

    async def status(self) -> ShardStatus:
        return await self.ref.call(GetStatus())


class Hooks:
    """What is to happen before and after the operations of the shard's store."""

    def __init__(self, open_store: OpenStore) -> None:
        self._open_store = open_store
        self.before: Hook = self._nothing
        self.after: Hook = self._nothing
        self.seen: list[str] = []
        self.clock = Clock()
        self.compute = Compute()
        self.answers = Compute()
        self.notes = Notes()
        self.reports: list[Report] = []

    async def _nothing(self, _: str) -> None:
        pass

    async def _before(self, operation: str) -> None:
        self.seen.append(operation)
        await self.before(operation)

    async def _after(self, operation: str) -> None:
        await self.after(operation)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Opening, None]:
        async with self._open_store() as opening:
            yield HookedOpening(opening, before=self._before, after=self._after)


KINDS = ("memory on trio", "sqlite on asyncio")


def backend(kind: str) -> Backend:
    """The loop for that kind of store."""
    return virtual_trio() if kind == KINDS[0] else ("asyncio", {})


def opener(kind: str, folder: Path) -> OpenStore:
    """Opens the same store each time."""
    if kind == KINDS[0]:
        return MemoryStore().opened
    home = Home("shard-0", "0/1", bytes(16))
    return partial(open_store, SqliteFiles(folder), home, anyio.Semaphore(1), durable=False)


@asynccontextmanager
async def running(
    open_store: OpenStore, cache_bytes: int = 1 << 20, policy: Policy = VERIFIED
) -> AsyncGenerator[Subject, None]:
    hooks = Hooks(open_store)

    means = Means(hooks.clock, hooks.compute, hooks.answers, policy)
    start = partial(Shard, hooks.open, means, cache_bytes=cache_bytes, watcher=hooks.notes)
    child = ChildSpec("shard-0", start, name="shard-0", shutdown=SHUTDOWN_S)
    spec = SupSpec(children=(child,), intensity=5)
    with anyio.fail_after(LIMIT_S):
        async with run(spec, observe=hooks.reports.append) as runtime:
            subject = Subject(runtime.whereis("shard-0", ShardApi), hooks)
            await subject.status()  # its store is up
            yield subject


async def merge_together(
    subject: Subject, certificates: Sequence[Certificate]
) -> list[Merged | NoSpace | Failed]:
    replies: dict[int, Merged | NoSpace | Failed] = {}

    async def ask(number: int, certificate: Certificate) -> None:
        replies[number] = await subject.merge(certificate)

    async with anyio.create_task_group() as tasks:
        for number, certificate in enumerate(certificates):
            tasks.start_soon(ask, number, certificate)
    return [replies[number] for number in range(len(certificates))]


def outcomes(replies: Sequence[Merged | NoSpace | Failed]) -> list[Outcome]:
    return [reply.outcome for reply in replies if isinstance(reply, Merged)]

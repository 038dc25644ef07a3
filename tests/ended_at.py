"""`python ended_at.py FOLDER TOLD POINT VISIT`: work on a shard until a named point kills it.

It is `kill -9` at that visit of the point, from inside, so that nothing runs any more. Each commit
that returned is a line of TOLD: its number, and the root after it. Without such a visit, and with
VISIT 0 at all, it ends in order after a few rounds.
"""

import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random

import anyio

from keygrove.points import ARMED
from keygrove.storage.audit import Record
from keygrove.storage.committer import Means
from keygrove.storage.mark import Mark
from keygrove.storage.messages import ShardApi
from keygrove.storage.opening import Home, open_store
from keygrove.storage.shard import Shard
from keygrove.storage.store import CertificateStore, Opening
from keygrove.storage.write import Redaction, Write
from keygrove.system.sqlite import SqliteFiles
from keygrove_actors import ChildSpec, SupSpec
from keygrove_actors import run as run_tree
from keygrove_chaos.endings import comes_about
from keygrove_chaos.node import InlineCompute, LoopClock
from keygrove_chaos.shardwork import Client
from keygrove_chaos.stores import HookedOpening, HookedStore, Notes
from keygrove_protocols.openpgp.policy import VERIFIED

FOLDER = "shard-0"
HOME = Home(FOLDER, "0/1", bytes(16))
ROUNDS = 4


class Kill:
    """See `points.Points`: ends the process at that visit."""

    def __init__(self, point: str, visit: int) -> None:
        self._chance = Random(visit)
        self._point, self._left = point, visit

    def fires(self, name: str) -> bool:
        return comes_about(name, self._point, self._chance)

    def crash(self, name: str) -> None:
        self._left -= name == self._point
        if name == self._point and not self._left:
            os.kill(os.getpid(), signal.SIGKILL)

    def reached(self, name: str) -> None:
        pass


class Telling(HookedStore):
    """A store that says what it committed."""

    def __init__(self, store: CertificateStore, told: int) -> None:
        super().__init__(store)
        self._told = told

    async def commit(
        self,
        writes: Sequence[Write],
        records: Sequence[Record] = (),
        redactions: Sequence[Redaction] = (),
        marks: Sequence[Mark] = (),
    ) -> int:
        change = await super().commit(writes, records, redactions, marks)
        os.write(self._told, f"{change} {self.head().root.hex()}\n".encode())
        return change


class Finishing(HookedOpening):
    """An opening whose store does."""

    def __init__(self, opening: Opening, told: int) -> None:
        super().__init__(opening)
        self._told = told

    async def finish(self) -> CertificateStore:
        return Telling(await super().finish(), self._told)


@asynccontextmanager
async def opened(root: Path, told: int) -> AsyncGenerator[Opening, None]:
    async with open_store(SqliteFiles(root), HOME, anyio.Semaphore(1), durable=True) as opening:
        yield Finishing(opening, told)


async def work(root: Path, told: int, rounds: int, seed: int = 0) -> None:
    """So many rounds; a rollback that was begun before is brought to its end in any case."""
    compute = InlineCompute()
    means = Means(LoopClock(), compute, compute, VERIFIED)
    opener = partial(opened, root, told)
    start = partial(Shard, opener, means, cache_bytes=1 << 20, watcher=Notes())
    spec = SupSpec(children=(ChildSpec(FOLDER, start, name=FOLDER, shutdown=5.0),))
    client = Client(Random(seed))
    async with run_tree(spec) as runtime:
        shard = runtime.whereis(FOLDER, ShardApi)
        await client.idle(shard)
        for _ in range(rounds):
            await client.round(shard)


def main(root: Path, out: Path, point: str, visit: int) -> None:
    ARMED.set(Kill(point, visit))
    told = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    anyio.run(work, root, told, ROUNDS if visit else 1, visit)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))

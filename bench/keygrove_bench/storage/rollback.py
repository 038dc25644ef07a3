"""S-06 on one node: a flood by recon is taken back while the node answers, and stays away.

Two partners are simulated: what each holds comes in as recon brings it. They offer the whole
flood again, round after round, also to the node when it was started anew.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter, time
from typing import Final

import anyio
import msgspec
import uvloop

from keygrove.cluster.rollbacks import Selection
from keygrove.cluster.router import Router
from keygrove.ingest.messages import INGEST, IngestApi, Load, Result, Submitted
from keygrove.serve import Endpoints, Site, open_node
from keygrove.settings import Settings
from keygrove.storage.cache import Answer, Form
from keygrove.storage.rollback import Stage
from keygrove.storage.write import Cause
from keygrove.system.world import system_ports
from keygrove_actors import Ref
from keygrove_bench.report import Row, aimed, row
from keygrove_bench.storage import worker
from keygrove_bench.storage.worker import Figures, quantile
from keygrove_chaos.certificates import made
from keygrove_chaos.node import MemoryLog
from keygrove_protocols.openpgp.certificate import fingerprint, to_bytes
from keygrove_protocols.openpgp.keys import Fingerprint

FLOOD: Final = 10_000
BASE: Final = 20_000
ROUNDS: Final = 10
FEW: Final = 300
"""Of both in a quick run."""
BATCH: Final = 500
PARTNERS: Final = ("one.example", "other.example")
LOOK_S: Final = 0.01


def rows(folder: Path, *, quick: bool = False) -> list[Row]:
    """Measure, on the disk of `folder`."""
    base, flood, rounds = (FEW, FEW, 2) if quick else (BASE, FLOOD, ROUNDS)
    found = worker.run(flooded, base, flood, rounds, folder)
    text = f"{flood:,} of {base + flood:,} certificates"
    took = row(("S-06", f"rollback of {text}, 4 shards"), [found["took_s"]], "s", {})
    again = row(("S-06-back", f"back after {rounds} rounds and a restart"), [found["back"]], "", {})
    left = row(("S-06-root", "others than before the flood"), [found["others"]], "", {})
    idle = {"before": found["idle_ms"]}
    reads = row(("S-06-get", "get meanwhile, p99"), [found["meanwhile_ms"]], "ms", idle)
    undo = row(("S-06-undo", "its undo"), [found["undo_s"]], "s", {})
    limits = [aimed(took, 5, is_limit=True), aimed(again, 0, is_limit=True)]
    return [*limits, aimed(left, 0, is_limit=True), reads, undo]


def flooded(base: str, flood: str, rounds: str, folder: str) -> Figures:
    """Take a flood of so many beside so many others, and take it back."""
    return uvloop.run(_flooded(int(base), int(flood), int(rounds), Path(folder)))


async def _flooded(base: int, flood: int, rounds: int, folder: Path) -> Figures:
    wanted = [to_bytes(made(number, f"Base {number}")) for number in range(base)]
    bad = [to_bytes(made(base + number, f"Flood {number}")) for number in range(flood)]
    names = [fingerprint(made(base + number, f"Flood {number}")) for number in range(flood)]
    known = [fingerprint(made(number, f"Base {number}")) for number in range(0, base, 10)]
    figures: dict[str, float] = {"back": 0}
    async with _node(folder) as (router, ingest):
        await _load(ingest, wanted, Load((), "base"))
        before = await router.holding()
        for at, partner in enumerate(PARTNERS):
            await _load(ingest, bad[at::2], Load((), partner, Cause.RECON))
        figures["idle_ms"] = quantile([await _get(router, name) for name in known[:1_000]], 0.99)
        reads: list[float] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_read_on, router, known, reads)
            begun = perf_counter()
            selection = Selection(origins=frozenset(PARTNERS))
            name = (await router.rollbacks.begin("r", selection, "a flood", int(time()))).name
            await _until(router, name, Stage.DONE)
            figures["took_s"] = perf_counter() - begun
            tasks.cancel_scope.cancel()
        figures["meanwhile_ms"] = quantile(reads, 0.99)
        figures["others"] = abs((await router.holding()).certificates - before.certificates)
        figures["others"] += (await router.holding()).root != before.root
        figures["back"] += await _offered(router, ingest, bad, names, rounds)
    async with _node(folder) as (router, ingest):
        figures["back"] += await _offered(router, ingest, bad, names, 1)
        begun = perf_counter()
        await router.rollbacks.undo("r", int(time()))
        await _until(router, "r", Stage.UNDONE)
        figures["undo_s"] = perf_counter() - begun
    return figures


@asynccontextmanager
async def _node(folder: Path) -> AsyncGenerator[tuple[Router, Ref[IngestApi]], None]:
    settings = Settings(data_dir=str(folder))
    site = Site(
        ports=system_ports(folder),
        endpoints=Endpoints(),
        log=MemoryLog(),
        version="bench",
        pid=os.getpid(),
    )
    async with open_node(settings, site) as runtime:
        router = Router(runtime.whereis, settings.storage.shards)
        while any(one is None or one.starting for one in await router.each_status()):  # noqa: ASYNC110 - it is the node's own work
            await anyio.sleep(LOOK_S)
        yield router, runtime.whereis(INGEST, IngestApi)


async def _load(ingest: Ref[IngestApi], certificates: Sequence[bytes], by: Load) -> int:
    """Have them taken; how many of them changed anything."""
    changed = 0
    for first in range(0, len(certificates), BATCH):
        some = tuple(certificates[first : first + BATCH])
        reply = await ingest.call(msgspec.structs.replace(by, certificates=some), timeout=100)
        assert isinstance(reply, Submitted), reply
        changed += sum(one.result in {Result.INSERTED, Result.UPDATED} for one in reply.fates)
    return changed


async def _offered(
    router: Router,
    ingest: Ref[IngestApi],
    bad: Sequence[bytes],
    names: Sequence[Fingerprint],
    rounds: int,
) -> int:
    """Have the partners in turn offer all of it, so often; how many got in."""
    changed = 0
    for number in range(rounds):
        partner = PARTNERS[number % len(PARTNERS)]
        changed += await _load(ingest, bad, Load((), partner, Cause.RECON))
    found = await router.fetch_all(names, Form.BINARY)
    return changed + sum(isinstance(one, Answer) and one.body is not None for one in found)


async def _until(router: Router, name: str, stage: Stage) -> None:
    while (await router.rollbacks.one(name)).stage is not stage:  # noqa: ASYNC110 - it is the node's own work
        await anyio.sleep(LOOK_S)


async def _read_on(router: Router, names: Sequence[Fingerprint], took: list[float]) -> None:
    while True:
        for name in names:
            took.append(await _get(router, name))
            await anyio.sleep(0.001)


async def _get(router: Router, name: Fingerprint) -> float:
    """Look one up; milliseconds."""
    begun = perf_counter()
    (found,) = await router.fetch_all([name], Form.BINARY)
    assert isinstance(found, Answer)
    return (perf_counter() - begun) * 1e3

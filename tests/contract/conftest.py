"""The forms of the certificate store, each as a way to open it again and again."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeAlias

import anyio
import pytest

from keygrove.ports import Databases
from keygrove.storage.memory import MemoryStore
from keygrove.storage.opening import Home, open_store
from keygrove.storage.store import CertificateStore
from keygrove.system.sqlite import SqliteFiles
from keygrove_chaos.disk import Disk
from keygrove_chaos.sqlite import SimulatedDatabases
from keygrove_chaos.stores import finished
from tests.loops import Backend, virtual_trio
from tests.simulation.timelines import SeededTimeline

Open: TypeAlias = Callable[[], AbstractAsyncContextManager[CertificateStore]]

FORMS = ("sqlite-relaxed", "sqlite-simulated", "memory")
SLOW = ("sqlite-full", "memory-on-trio")
"""They differ from others in how they wait only: without slow tests, they are left out."""


@pytest.fixture(params=[*FORMS, *(pytest.param(form, marks=pytest.mark.slow) for form in SLOW)])
def form(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def anyio_backend(form: str) -> str | Backend:
    if form == "sqlite-simulated":
        return virtual_trio()
    return "trio" if form.endswith("trio") else "asyncio"


@pytest.fixture
def databases(form: str, tmp_path: Path) -> Iterator[Databases]:
    if form != "sqlite-simulated":
        yield SqliteFiles(tmp_path)
        return
    timeline = SeededTimeline(0)
    simulated = SimulatedDatabases(timeline, "node", Disk(timeline, "node").boot(), timeline.now)
    yield simulated
    simulated.close()


@pytest.fixture
def open_it(form: str, databases: Databases) -> Open:
    if form.startswith("memory"):
        store = MemoryStore()
        return lambda: finished(store.opened())
    is_durable = form != "sqlite-relaxed"
    home = Home("shard-0", "0/1", bytes(16))
    return lambda: finished(open_store(databases, home, anyio.Semaphore(1), durable=is_durable))

"""The forms of the certificate store, each as a way to open it again and again."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest

from keygrove.storage.memory import MemoryStore
from keygrove.storage.sqlite import open_store
from keygrove.storage.store import CertificateStore
from keygrove.system.sqlite import SqliteFiles

Open: TypeAlias = Callable[[], AbstractAsyncContextManager[CertificateStore]]

FORMS = ("sqlite-full", "sqlite-relaxed", "memory", "memory-on-trio")


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def anyio_backend(form: str) -> str:
    return "trio" if form.endswith("trio") else "asyncio"


@pytest.fixture
def open_it(form: str, tmp_path: Path) -> Open:
    if form.startswith("memory"):
        return MemoryStore().opened
    return partial(
        open_store,
        SqliteFiles(tmp_path),
        "shard-0",
        "0/1",
        bytes(16),
        durable=form == "sqlite-full",
    )

"""Servers for the tests of recon, which all end with the test."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.e2e.conftest import Servers
from tests.interop.recon.hockeypuck import Hockeypuck
from tests.interop.recon.node import Node
from tests.interop.recon.relay import Relay
from tests.interop.recon.sks import Sks

Nodes: TypeAlias = Callable[..., Node]
SksServers: TypeAlias = Callable[[int], Sks]
Hockeypucks: TypeAlias = Callable[[tuple[int, int]], Hockeypuck]
Relays: TypeAlias = Callable[[int], Relay]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    """Makes servers of ours."""
    made = Servers(tmp_path)
    yield made
    made.close()


@pytest.fixture
def nodes(servers: Servers, tmp_path: Path) -> Nodes:
    """Makes nodes; see `Node`."""
    number = 0

    def make(*, preset: str = "sks-compatible") -> Node:
        nonlocal number
        number += 1
        return Node(servers, tmp_path / f"node-{number}", preset=preset)

    return make


@pytest.fixture
def sks_servers(tmp_path: Path) -> Iterator[SksServers]:
    """Makes SKS servers; see `Sks`."""
    with ExitStack() as started:

        def make(partner_port: int) -> Sks:
            made = Sks(tmp_path / "sks", partner_port)
            started.callback(made.stop)
            return made

        yield make


@pytest.fixture
def hockeypucks() -> Iterator[Hockeypucks]:
    """Makes Hockeypucks, where PostgreSQL's user can go; see `Hockeypuck`."""
    with tempfile.TemporaryDirectory(prefix="kg") as folder, ExitStack() as started:
        Path(folder).chmod(0o755)

        def make(partner_ports: tuple[int, int]) -> Hockeypuck:
            made = Hockeypuck(Path(folder, "hockeypuck"), partner_ports)
            started.callback(made.stop)
            return made

        yield make


@pytest.fixture
def relays() -> Iterator[Relays]:
    """Makes relays; see `Relay`."""
    with ExitStack() as opened:

        def make(port: int) -> Relay:
            made = Relay(port)
            opened.callback(made.close)
            return made

        yield make

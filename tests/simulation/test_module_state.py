"""No module has state: what is global is constant, and running a node leaves it as it was."""

import importlib
import pkgutil
from collections import OrderedDict, deque
from collections.abc import Iterator, MutableMapping, MutableSequence, MutableSet
from enum import Enum
from types import FunctionType, ModuleType

import pytest

import keygrove
import keygrove_actors
import keygrove_protocols
from keygrove_chaos.certificates import armored, made
from keygrove_chaos.node import simulated_node

pytestmark = pytest.mark.anyio

MUTABLE = (MutableMapping, MutableSequence, MutableSet, bytearray, deque, OrderedDict)
OURS = (keygrove, keygrove_actors, keygrove_protocols)


def modules() -> list[ModuleType]:
    found: list[ModuleType] = []
    for package in OURS:
        found.append(package)
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            found.append(importlib.import_module(info.name))
    return found


def holdings() -> Iterator[tuple[str, object]]:
    """Everything that modules and classes of ours hold by name, apart from what they define."""
    for module in modules():
        for name, value in vars(module).items():
            if name.startswith("__"):
                continue
            yield f"{module.__name__}.{name}", value
            if isinstance(value, type) and value.__module__ == module.__name__:
                for inner, held in vars(value).items():
                    if not inner.startswith("_"):
                        yield f"{module.__name__}.{name}.{inner}", held


def snapshot() -> dict[str, str]:
    return {name: f"{value!r}" for name, value in holdings() if isinstance(value, MUTABLE)}


def test_every_module_can_be_imported() -> None:
    names = {module.__name__ for module in modules()}
    assert {"keygrove.cli.main", "keygrove.storage.shard", "keygrove_actors.cell"} <= names


def test_what_could_be_changed_is_named_as_a_constant() -> None:
    names = [name.rpartition(".")[2] for name in snapshot()]
    # Type aliases that stand for containers are no containers; only instances are found here.
    assert [name for name in names if name.strip("_") != name.strip("_").upper()] == []


def test_no_module_holds_an_object_of_ours_that_could_change() -> None:
    suspects = [
        name
        for name, value in holdings()
        if type(value).__module__.partition(".")[0] in {one.__name__ for one in OURS}
        and not isinstance(value, type | Enum | FunctionType | tuple)
        and not getattr(getattr(type(value), "__struct_config__", None), "frozen", False)
    ]
    # click's own tree of verbs: the command line's entry is the one place for global set-up.
    # The runtime's mark of a direct turn is only ever compared. A worker's table is what its
    # operations are declared in, by decorators, while the module is imported.
    assert sorted(suspects) == [
        "keygrove.cli.main.main",
        "keygrove.ingest.parsing.table",
        "keygrove_actors.cell.DIRECT",
        "keygrove_actors.death.DIRECT",
        "keygrove_actors.mail.DIRECT",
        "keygrove_actors.port_conform.table",
        "keygrove_actors.ref.DIRECT",
    ]


async def test_running_a_node_changes_no_module() -> None:
    before = snapshot()
    assert len(before) > 5
    async with simulated_node() as node:
        body = b"".join(b"%%%02X" % octet for octet in armored(made(1, "Alice")))
        await node.http.ask("POST", "/pks/add", b"keytext=" + body)
        for target in ("/pks/lookup?op=index&search=alice", "/pks/stats", "/", "/nowhere"):
            await node.http.ask("GET", target)
        await node.metrics.ask("GET", "/metrics")
        await node.control.ask("POST", "/debug/crash?child=shard-0")
        await node.control.ask("GET", "/status")
    assert snapshot() == before

"""Partitions: equal children, and which of them a key belongs to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import anyio
import pytest

from keygrove_actors import (
    BadSpec,
    ChildSpec,
    NoProc,
    Runtime,
    SupSpec,
    partitioned,
)
from tests.unit.actors.peers import Crashes, Peer, PeerApi, Who, ids

Running_: TypeAlias = Callable[..., AbstractAsyncContextManager[Runtime]]
pytestmark = pytest.mark.anyio


async def test_a036_a_key_leads_to_the_same_partition_also_after_its_restart(
    running: Running_,
) -> None:
    spec = partitioned(4, ChildSpec("part", Peer, name="part"), intensity=9)
    async with running(ChildSpec("parts", spec)) as runtime:
        parts = runtime.supervisor("parts", PeerApi)
        assert ids(parts) == ["part-0", "part-1", "part-2", "part-3"]
        ref = parts.ref_for("alice")
        assert ref == parts.ref_for(b"alice")
        ref.cast(Crashes())
        await anyio.sleep(0.1)
        assert parts.ref_for("alice") == ref
        assert await ref.call(Who()) == ""
        assert {parts.ref_for(str(n)).name for n in range(100)} == {f"part-{i}" for i in range(4)}


async def test_a036_partitions_without_a_name_go_by_incarnation(running: Running_) -> None:
    spec = partitioned(2, ChildSpec("part", Peer))
    async with running(ChildSpec("parts", spec)) as runtime:
        parts = runtime.supervisor("parts", PeerApi)
        ref = parts.ref_for("alice")
        await parts.terminate_child(next(c.id for c in parts.which_children() if c.ref == ref))
        with pytest.raises(NoProc):
            parts.ref_for("alice")


async def test_a036_the_number_of_partitions_is_fixed(running: Running_) -> None:
    spec = partitioned(2, ChildSpec("part", Peer))
    async with running(ChildSpec("parts", spec)) as runtime:
        parts = runtime.supervisor("parts", PeerApi)
        for refused in (
            parts.start_child(ChildSpec("x", Peer)),
            parts.delete_child("part-0"),
            parts.replace_spec(SupSpec()),
        ):
            with pytest.raises(BadSpec, match="partitioned"):
                await refused
        with pytest.raises(BadSpec, match="no partitions"):
            runtime.supervisor("").ref_for("alice")


SHARES = """
import anyio
from keygrove_actors import Actor, ChildSpec, partitioned, run
class Part(Actor[object]): pass
async def main():
    async with run(partitioned(5, ChildSpec("p", Part, name="p"))) as runtime:
        print([runtime.supervisor("").ref_for(f"key-{n}").name for n in range(6)])
anyio.run(main)
"""


def test_a036_the_hash_is_the_same_in_every_process() -> None:
    shares = {
        subprocess.run(
            [sys.executable, "-c", SHARES],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert shares == {"['p-0', 'p-3', 'p-0', 'p-3', 'p-0', 'p-0']\n"}

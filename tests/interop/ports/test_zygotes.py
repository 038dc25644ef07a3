"""Workers forked from a warm process (actors P-16 to P-19)."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import ClassVar

import anyio
import msgspec
import pytest

from keygrove_actors import (
    CalleeExit,
    ChildSpec,
    ChildStarted,
    Crash,
    Port,
    PortPool,
    PortSpec,
    RawWork,
    StartFailed,
    SupSpec,
    Zygote,
    sysapi,
    zygote_spec,
)
from keygrove_actors.census import tree_snapshot
from keygrove_actors.port_conform import ConformApi, Die, Echo, Spawn
from keygrove_actors.zygote_api import Refresh, ZygoteApi
from tests.interop.ports.kit import SPEC, Reports, gone, sockets_of, tree
from tests.processes import PATIENCE_S, children_of, descendants, is_gone, parent_of, status_of

pytestmark = [pytest.mark.slow, pytest.mark.anyio]


async def test_p17_a_killed_zygote_takes_its_workers_along_and_all_come_back(
    reports: Reports,
) -> None:
    warm = msgspec.structs.replace(SPEC, zygote="zygote")
    children = (
        Zygote.child("zygote", zygote_spec("keygrove_actors.port_conform"), name="zygote"),
        PortPool.child("pool", warm, 2, name="pool"),
    )
    async with tree(*children, reports=reports) as runtime:
        pool = runtime.whereis("pool", ConformApi)
        grandchild = int(await pool.call(Spawn(b"")))
        worker = parent_of(grandchild)
        zygote = parent_of(worker)
        assert parent_of(zygote) == os.getpid()
        os.kill(zygote, signal.SIGKILL)
        await gone(worker, grandchild)
        await reports.until(lambda: sum(isinstance(r, ChildStarted) for r in reports) >= 12)
        assert await pool.call(Echo(b"x"), wait_up=PATIENCE_S) == b"x"


async def test_p16_the_zygote_tells_how_its_workers_ended(reports: Reports) -> None:
    warm = msgspec.structs.replace(SPEC, zygote="zygote")
    children = (
        Zygote.child("zygote", zygote_spec("keygrove_actors.port_conform"), name="zygote"),
        Port.child("port", warm, name="port"),
    )
    async with tree(*children, reports=reports) as runtime:
        port = runtime.whereis("port", ConformApi)
        pid = parent_of(int(await port.call(Spawn(b""))))
        assert parent_of(pid) != os.getpid()
        for how, exc in ((b"exit 7", "exit_7"), (b"segv", "signal_SIGSEGV")):
            with pytest.raises(CalleeExit) as caught:
                await port.call(Die(how), wait_up=PATIENCE_S)
            assert isinstance(caught.value.reason, Crash)
            assert caught.value.reason.exc == exc


async def test_p16_a_worker_that_comes_too_late_for_its_port_is_ended(reports: Reports) -> None:
    warm = msgspec.structs.replace(SPEC, zygote="zygote")
    spec = zygote_spec("keygrove_actors.port_conform")
    async with tree(Zygote.child("zygote", spec, name="zygote"), reports=reports) as runtime:
        (zygote,) = children_of(os.getpid())
        files = len(os.listdir("/proc/self/fd"))
        root = runtime.supervisor("")

        async def start() -> None:
            with pytest.raises(StartFailed):
                await root.start_child(Port.child("port", warm))

        async def calls_in_hand() -> int:
            return (await tree_snapshot(runtime)).children[0].unanswered

        os.kill(zygote, signal.SIGSTOP)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(start)
            while not await calls_in_hand():  # noqa: ASYNC110 - nobody tells of it
                await anyio.sleep(0.01)
            port = root.which_children()[1].ref
            assert port is not None
            port.kill()
        os.kill(zygote, signal.SIGCONT)
        with anyio.fail_after(PATIENCE_S):
            while await calls_in_hand() or children_of(zygote):  # noqa: ASYNC110 - the same
                await anyio.sleep(0.01)
        assert await runtime.whereis("zygote", ZygoteApi).call(Refresh()) is False
        assert len(os.listdir("/proc/self/fd")) == files


async def test_p18_a_zygote_older_than_its_code_is_replaced(
    tmp_path: Path, reports: Reports
) -> None:
    module = tmp_path / "preloaded.py"
    module.write_text("")
    spec = zygote_spec("preloaded", env={"PYTHONPATH": str(tmp_path)})
    async with tree(Zygote.child("zygote", spec, name="zygote"), reports=reports) as runtime:
        zygote = runtime.whereis("zygote", ZygoteApi)
        assert await zygote.call(Refresh()) is False
        os.utime(module, (1, 1))
        assert await zygote.call(Refresh()) is True
        await reports.until(lambda: sum(isinstance(r, ChildStarted) for r in reports) == 2)
        assert await zygote.call(Refresh()) is False


async def test_p18_a_change_of_code_replaces_an_old_zygote_and_its_workers_only(
    tmp_path: Path, reports: Reports
) -> None:
    module = tmp_path / "preloaded.py"
    module.write_text("")
    warm = zygote_spec(
        "preloaded", "keygrove_actors.port_conform", env={"PYTHONPATH": str(tmp_path)}
    )
    children = (
        Zygote.child("zygote", warm, name="zygote"),
        Port.child("port", msgspec.structs.replace(SPEC, zygote="zygote"), name="port"),
    )
    async with tree(*children, reports=reports) as runtime:
        port = runtime.whereis("port", ConformApi)

        async def change() -> None:
            ref = runtime.whereis("zygote", ZygoteApi)
            await sysapi.suspend(ref)
            await sysapi.change_code(ref, Zygote)
            await sysapi.resume(ref)

        async def process() -> int:
            return parent_of(parent_of(int(await port.call(Spawn(b""), wait_up=PATIENCE_S))))

        first = await process()
        await change()
        await anyio.sleep(0.05)
        assert await process() == first, "its code is that on disk"
        os.utime(module, (1, 1))
        await change()
        await reports.until(lambda: sum(isinstance(r, ChildStarted) for r in reports) == 4)
        assert is_gone(first)
        assert await process() != first


DRAWING = """
import random, signal
from typing import ClassVar
from keygrove_actors.port_conform import ConformApi
from keygrove_actors.work import RawWork
from keygrove_actors.worker import Job, Table

class Draw(RawWork[ConformApi], frozen=True, tag=True):
    op: ClassVar[str] = "draw"

table = Table()

@table.on(Draw)
def draw(message: Draw, job: Job) -> bytes:
    return str(random.random()).encode()
"""


class Draw(RawWork[ConformApi], frozen=True, tag=True):
    op: ClassVar[str] = "draw"


async def test_p16_forked_workers_share_no_randomness_and_no_files(
    tmp_path: Path, reports: Reports
) -> None:
    (tmp_path / "drawing.py").write_text(DRAWING)
    warm = zygote_spec("drawing", env={"PYTHONPATH": str(tmp_path)})
    spec = PortSpec(api=ConformApi, works=(Draw,), worker="drawing:table", zygote="zygote")
    ports = [Port.child(name, spec, name=name) for name in ("a", "b")]
    async with tree(
        Zygote.child("zygote", warm, name="zygote"), *ports, reports=reports
    ) as runtime:
        a, b = [await runtime.whereis(n, ConformApi).call(Draw(b"")) for n in ("a", "b")]
        (process,) = (pid for pid in descendants(os.getpid()) if parent_of(pid) == os.getpid())
        status = status_of(process)
        workers = descendants(process)
        assert sockets_of(process) == [3]
        assert [os.listdir(f"/proc/{w}/fd") for w in workers] == [["0", "1", "2", "3"]] * 2
        caught = [status_of(worker)["SigCgt"] for worker in workers]
    assert a != b
    assert status["Threads"] == "1"
    assert [int(mask, 16) & 1 << signal.SIGTERM - 1 for mask in caught] == [0, 0]


async def test_p19_workers_start_beside_threads_and_a_loop_many_at_once(
    reports: Reports,
) -> None:
    over = threading.Event()
    threads = [threading.Thread(target=over.wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        groups = [ChildSpec(f"group-{n}", SupSpec()) for n in range(4)]
        async with tree(*groups, reports=reports) as runtime:
            async with anyio.create_task_group() as tasks:
                for n in range(8):
                    group = runtime.supervisor(f"group-{n % 4}")
                    tasks.start_soon(group.start_child, Port.child(f"port-{n}", SPEC))
            assert len(descendants(os.getpid())) == 8
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not descendants(os.getpid())

"""A zygote as its host sees it: forks, deaths and stale code (actors P-16 to P-18)."""

from __future__ import annotations

import importlib
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from keygrove_actors import port_wire as wire
from keygrove_actors.zygote import Death, ForkRequest, Zygote
from tests.interop.ports.kit import TABLE
from tests.processes import has_ended, is_gone, reap, status_of
from tests.unit.actors.hosts import WELCOME, Host, ThreadHost, hosting

encode, decode = msgspec.msgpack.encode, msgspec.msgpack.decode


class Forked(NamedTuple):
    """A worker that the zygote made."""

    pid: int
    pidfd: int
    host: Host
    stderr: int


class Hatchery:
    """The zygote's host."""

    def __init__(
        self, host: ThreadHost, opened: ExitStack, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.host = host
        self._opened = opened
        self._capsys = capsys
        self._calls = 0

    def fork(self, worker: str = TABLE, limits: str = "", **environment: str) -> Forked:
        ours, theirs = socket.socketpair()
        self._opened.enter_context(ours)
        read, write = os.pipe()
        self._opened.callback(os.close, read)
        self._calls += 1
        request = ForkRequest(worker, "/", 0, limits, environment)
        call = wire.encode(wire.Call(self._calls, "fork", encode(request), 0))
        with theirs, self._capsys.disabled():  # for the child's stderr not to be pytest's
            socket.send_fds(self.host.connection, [call], [theirs.fileno(), write, write])
            data, (pidfd,), _, _ = socket.recv_fds(self.host.connection, 65536, 1)
        os.close(write)
        self._opened.callback(end, pidfd)
        (reply,) = wire.Decoder().feed(data)
        assert isinstance(reply, wire.Reply)
        assert reply.id == self._calls
        return Forked(decode(reply.payload, type=int), pidfd, Host(ours), read)

    def death(self) -> Death:
        event = self.host.take()
        assert isinstance(event, wire.Event)
        assert event.topic == "exit"
        return decode(event.payload, type=Death)

    def is_stale(self) -> bool:
        self._calls += 1
        self.host.send(wire.Call(self._calls, "stale", b"", 0))
        reply = self.host.take()
        assert isinstance(reply, wire.Reply)
        return decode(reply.payload, type=bool)


@pytest.fixture
def hatchery(capsys: pytest.CaptureFixture[str]) -> Iterator[Hatchery]:
    with ExitStack() as opened, hosting(lambda fd: Zygote(fd).run()) as host:
        hello = host.take()
        assert isinstance(hello, wire.Hello)
        assert hello.ops == ("fork", "stale")
        host.send(WELCOME)
        yield Hatchery(host, opened, capsys)


def end(pidfd: int) -> None:
    """See to it that a worker is dead and reaped, whatever the zygote did."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    reap(pidfd)
    os.close(pidfd)


def read_all(fd: int) -> str:
    parts: list[bytes] = []
    while part := os.read(fd, 65536):
        parts.append(part)
    return b"".join(parts).decode()


def test_p16_a_forked_worker_serves_the_socket_that_came_with_the_request(
    hatchery: Hatchery,
) -> None:
    worker = hatchery.fork(limits="NOFILE=50:60", A="1")
    hello = worker.host.take()
    assert isinstance(hello, wire.Hello)
    assert hello.pid == worker.pid != os.getpid()
    worker.host.send(WELCOME, wire.Call(1, "files", b"", 0), wire.Call(2, "echo", b"x", 0))
    assert [worker.host.take(), worker.host.take()] == [
        wire.Reply(1, b"0 1 2 3"),
        wire.Reply(2, b"x"),
    ]
    assert os.getsid(worker.pid) == worker.pid
    assert status_of(worker.pid)["NoNewPrivs"] == "1"
    assert "50                   60" in Path(f"/proc/{worker.pid}/limits").read_text()
    worker.host.send(wire.Drain(1000))
    assert worker.host.rest() == [wire.Bye(0, "drained")]
    assert hatchery.death() == Death(worker.pid, 0, 0)
    assert is_gone(worker.pid)


def test_p05_the_zygote_tells_code_or_signal_and_whose_end_it_was(hatchery: Hatchery) -> None:
    first, second = hatchery.fork(), hatchery.fork()
    first.host.send(WELCOME, wire.Call(1, "die", b"exit 3", 0))
    assert hatchery.death() == Death(first.pid, 3, 0)
    assert read_all(first.stderr) == "last words\n"
    signal.pidfd_send_signal(second.pidfd, signal.SIGKILL)
    assert hatchery.death() == Death(second.pid, 0, signal.SIGKILL)


def test_p04_what_a_worker_started_ends_with_it(hatchery: Hatchery) -> None:
    worker = hatchery.fork(PATH=os.environ["PATH"])
    worker.host.take()
    worker.host.send(WELCOME, wire.Call(1, "spawn", b"", 0))
    spawned = worker.host.take()
    assert isinstance(spawned, wire.Reply)
    grandchild = os.pidfd_open(int(spawned.payload))
    try:
        worker.host.leave()
        assert hatchery.death() == Death(worker.pid, 0, 0)
        assert has_ended(grandchild)
    finally:
        end(grandchild)


@pytest.mark.parametrize(
    ("worker", "says"),
    [
        ("keygrove_actors.nowhere:table", "ModuleNotFoundError"),
        ("keygrove_actors.port_conform:nothing", "AttributeError"),
        ("sys:exit", ""),
    ],
)
def test_p06_a_worker_that_cannot_begin_says_why_on_stderr(
    hatchery: Hatchery, worker: str, says: str
) -> None:
    forked = hatchery.fork(worker)
    death = hatchery.death()
    assert death == Death(forked.pid, 1 if says else 0, 0)
    assert says in read_all(forked.stderr)


def test_p18_code_that_changed_on_disk_makes_a_zygote_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = tmp_path / "changing_module.py"
    module.write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("changing_module")
    with ExitStack() as opened, hosting(lambda fd: Zygote(fd).run()) as host:
        host.take()
        hatchery = Hatchery(host, opened, capsys)
        assert not hatchery.is_stale()
        os.utime(module, (1, 1))
        assert hatchery.is_stale()
        module.unlink()
        assert hatchery.is_stale()


def test_a_zygote_whose_host_is_gone_exits(hatchery: Hatchery) -> None:
    hatchery.host.leave()
    end = hatchery.host.end()
    assert isinstance(end, SystemExit)
    assert end.code == 0


def test_a_drained_zygote_says_bye(hatchery: Hatchery) -> None:
    hatchery.host.send(wire.Drain(1000))
    assert hatchery.host.rest() == [wire.Bye(0, "drained")]
    assert hatchery.host.end() is None

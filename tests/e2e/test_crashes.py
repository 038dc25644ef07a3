"""Actors that crash under traffic: restarts are seen, and nothing acknowledged is lost."""

from collections.abc import Callable
from itertools import count
from threading import Condition, Event, Thread

import httpx
import pytest

from tests.e2e.conftest import Server, Servers, armor, eventually, keygrove, make_certificate
from tests.processes import PATIENCE_S

HELD = "keygrove_shard_certificates"
SHARDS = ("shard-0", "shard-1", "shard-2", "shard-3")
RESTARTS = "keygrove_actor_restarts_total"
ROUNDS = 3


class Traffic:
    """Clients that submit and look up all the time, and note what they were told."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._numbers = count()
        self._stopping = Event()
        self._told = Condition()
        self.acknowledged: dict[str, bytes] = {}
        self.answered = 0
        self.refusals: list[httpx.Response] = []
        self.resets = 0
        self._threads = [Thread(target=self._submit), Thread(target=self._submit)]
        self._threads += [Thread(target=self._look_up)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def go_on(self) -> None:
        """Wait until clients are answered again."""
        with self._told:
            enough = self.answered + 5
            assert self._told.wait_for(lambda: self.answered >= enough, PATIENCE_S)

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60.0)

    def _submit(self) -> None:
        def once(client: httpx.Client) -> None:
            number = next(self._numbers)
            made = make_certificate(f"crash {number}", [f"User {number} <c{number}@crash.example>"])
            answer = client.post("/pks/add", data={"keytext": armor(made.packets)})
            if self._note(answer):
                self.acknowledged[made.fingerprint] = made.packets

        self._repeat(once)

    def _look_up(self) -> None:
        def once(client: httpx.Client) -> None:
            for name in list(self.acknowledged)[-5:]:
                answer = client.get("/pks/lookup", params={"op": "get", "search": f"0x{name}"})
                if self._note(answer):
                    assert "BEGIN PGP PUBLIC KEY BLOCK" in answer.text

        self._repeat(once)

    def _repeat(self, once: Callable[[httpx.Client], None]) -> None:
        with httpx.Client(base_url=self._server.url, timeout=30.0) as client:
            while not self._stopping.is_set():
                try:
                    once(client)
                except httpx.TransportError:
                    with self._told:
                        self.resets += 1

    def _note(self, answer: httpx.Response) -> bool:
        with self._told:
            self.answered += 1
            if answer.status_code != 200:
                self.refusals.append(answer)
            self._told.notify_all()
        return answer.status_code == 200


def _crash(server: Server, child: str) -> None:
    """Crash an actor, and wait until its supervisor has restarted it."""
    before = server.metric(RESTARTS, child=child)
    with server.control() as control:
        assert control.post("/debug/crash", params={"child": child}).status_code == 200
    eventually(lambda: server.metric(RESTARTS, child=child) > before or None)


@pytest.mark.slow
def test_crashes_of_shards_and_ingest_lose_nothing_and_cost_503s_at_most(servers: Servers) -> None:
    server = servers.start("--debug-crash")
    with Traffic(server) as traffic:
        for _ in range(ROUNDS):
            for child in (*SHARDS, "ingest"):
                traffic.go_on()
                _crash(server, child)
        traffic.go_on()

    assert traffic.resets == 0
    assert {answer.status_code for answer in traffic.refusals} <= {503}
    assert all("retry-after" in answer.headers for answer in traffic.refusals)
    assert [name for name in traffic.acknowledged if not server.certificate(name)] == []
    assert server.total() >= len(traffic.acknowledged) > 0

    crashed = [event for event in server.events() if event["event"] == "actor ended"]
    assert [event["child"] for event in crashed] == [*SHARDS, "ingest"] * ROUNDS
    assert all("DebugCrash" in event["reason"] for event in crashed)
    for child in (*SHARDS, "ingest"):
        assert server.metric(RESTARTS, child=child, reason="Crash") == ROUNDS


@pytest.mark.slow
def test_a_crash_of_the_listener_resets_connections_at_most(servers: Servers) -> None:
    server = servers.start("--debug-crash")
    with Traffic(server) as traffic:
        for _ in range(ROUNDS):
            traffic.go_on()
            _crash(server, "http")
        traffic.go_on()

    assert {answer.status_code for answer in traffic.refusals} <= {503}
    assert all("retry-after" in answer.headers for answer in traffic.refusals)
    assert [name for name in traffic.acknowledged if not server.certificate(name)] == []
    assert server.stop() == 0


def test_nobody_can_crash_an_actor_unless_it_was_asked_for(servers: Servers) -> None:
    server = servers.start()
    with server.control() as control:
        assert control.post("/debug/crash", params={"child": "ingest"}).status_code == 404
    assert server.metric(RESTARTS, child="ingest") == 0


@pytest.mark.slow
def test_a_heap_that_is_gone_costs_its_shard_and_the_next_start(servers: Servers) -> None:
    server = servers.start("--debug-crash")
    some = [make_certificate(f"gone {number}", ["User"]) for number in range(16)]
    for made in some:
        assert server.add(made.packets).status_code == 200
    held = [shard for shard in SHARDS if server.metric(HELD, shard=shard[-1]) > 0]
    for path in (server.data / held[0]).glob("heap.db*"):
        path.unlink()
    with server.control() as control:
        assert control.post("/debug/crash", params={"child": held[0]}).status_code == 200
    eventually(lambda: f"{held[0]}/heap.db is gone" in server.log())
    assert server.http.get("/readyz").status_code == 503
    assert {server.get(op="get", search=f"0x{made.fingerprint}").status_code for made in some} == {
        200,
        503,
    }
    assert server.stop() == 0
    ended = keygrove("serve", "--data", server.data, "--listen", "127.0.0.1:0")
    assert ended.status == 3
    assert "put it back, or restore a backup" in ended.err.splitlines()[-1]
    (server.data / held[0] / "index.db").unlink()
    ended = keygrove("serve", "--data", server.data, "--listen", "127.0.0.1:0")
    assert ended.status == 3
    assert "is gone, with what was in it: put the folder back" in ended.err.splitlines()[-1]

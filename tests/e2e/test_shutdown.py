"""SIGTERM and Ctrl-C: nobody new, what was accepted is stored, the tree stops in reverse."""

import os
from itertools import count
from signal import SIGINT, SIGTERM, Signals
from threading import Event, Thread

import httpx
import pytest

from tests.e2e.conftest import Server, Servers, armor, make_certificate
from tests.processes import PATIENCE_S

CLIENTS = 4


MANY = 40


def _submit_until_it_stops(
    server: Server, numbers: "count[int]", taken: list[str], enough: Event
) -> None:
    with httpx.Client(base_url=server.url, timeout=20.0) as client:
        while True:
            number = next(numbers)
            made = make_certificate(f"stop {number}", [f"User {number} <s{number}@stop.example>"])
            try:
                answer = client.post("/pks/add", data={"keytext": armor(made.packets)})
            except httpx.TransportError:
                return
            assert answer.status_code == 200, answer.text
            taken.append(made.fingerprint)
            if len(taken) > MANY:
                enough.set()


@pytest.mark.parametrize("signal", [SIGTERM, SIGINT], ids=str)
def test_what_was_accepted_is_stored_and_the_tree_stops_in_reverse(
    servers: Servers, signal: Signals
) -> None:
    server = servers.start()
    taken: list[str] = []
    numbers = count()
    enough = Event()
    arguments = (server, numbers, taken, enough)
    clients = [Thread(target=_submit_until_it_stops, args=arguments) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    assert enough.wait(PATIENCE_S)

    assert server.stop(signal) == 0
    for client in clients:
        client.join(PATIENCE_S)

    events = server.events()
    started = [event["child"] for event in events if event["event"] == "actor started"]
    ended = [event["child"] for event in events if event["event"] == "actor ended"]
    assert ended == [
        *("control", "http", "ingest", "parsers"),
        *("shard-3", "shard-2", "shard-1", "shard-0"),
        *("storage", "space", "metrics"),
    ]
    assert sorted(started) == sorted(ended)
    assert {event["level"] for event in events} == {"info"}
    assert "Traceback" not in server.log()
    server.start()
    assert [name for name in taken if not server.certificate(name)] == []


def test_a_client_within_a_slow_upload_does_not_hold_it_up(servers: Servers) -> None:
    server = servers.start()
    with server.connect() as connection:
        connection.sendall(b"POST /pks/add HTTP/1.1\r\nHost: k\r\nContent-Length: 9000\r\n\r\nkeyt")
        server.http.get("/healthz")
        assert server.stop() == 0
    assert "Traceback" not in server.log()


def test_it_can_be_stopped_twice_and_started_again(servers: Servers) -> None:
    server = servers.start()
    server.send_signal(SIGTERM)
    server.send_signal(SIGTERM)
    assert server.wait() == 0
    assert not (server.data / "control.sock").exists()
    server.start()
    assert server.stop() == 0


def test_a_log_that_nobody_reads_neither_holds_it_up_nor_ends_it(servers: Servers) -> None:
    reading, writing = os.pipe()
    server = servers.start(stderr=writing)
    os.close(writing)
    for _ in range(400):  # more lines than a pipe holds
        assert server.http.get("/healthz").status_code == 200
    os.close(reading)
    assert server.http.get("/healthz").status_code == 200
    assert server.stop() == 0

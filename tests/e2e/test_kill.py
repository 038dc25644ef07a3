"""`kill -9` in the middle of submissions, again and again: what was acknowledged is there."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from itertools import count
from random import Random
from threading import Thread

import httpx
import pytest

from tests.e2e.conftest import Made, Server, Servers, armor, eventually, make_certificate, split

KILLS = 50
KEYS = 30
CLIENTS = 3
ACKNOWLEDGED_MAX = 12
"""The server lives for at most so many answers, drawn anew each time."""

Acknowledged = defaultdict[str, set[bytes]]
"""By fingerprint, the user IDs that were answered with 200."""


def _made(number: int) -> Made:
    """One of a few keys, each time with another user ID: most submissions are merges."""
    return make_certificate(f"killed {number % KEYS}", [f"User {number} <u{number}@kill.example>"])


def _user_ids(packets: bytes) -> set[bytes]:
    return {body for tag, body in split(packets) if tag == 13}


def _submit_until_it_dies(
    server: Server, numbers: Callable[[], int], acknowledged: Acknowledged
) -> None:
    with httpx.Client(base_url=server.url, timeout=20.0) as client:
        while True:
            made = _made(numbers())
            try:
                answer = client.post("/pks/add", data={"keytext": armor(made.packets)})
            except httpx.TransportError:
                return
            assert answer.status_code == 200, answer.text
            acknowledged[made.fingerprint] |= _user_ids(made.packets)


def _missing(server: Server, acknowledged: Acknowledged) -> dict[str, set[bytes]]:
    held = {name: _user_ids(server.certificate(name)) for name in acknowledged}
    return {
        name: acknowledged[name] - held[name] for name in held if acknowledged[name] - held[name]
    }


def _holds(acknowledged: Acknowledged, enough: int) -> bool:
    return sum(map(len, list(acknowledged.values()))) >= enough


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_by_fifty_kills(servers: Servers) -> None:
    server = servers.start()
    random, numbers = Random(9), count()
    acknowledged: Acknowledged = defaultdict(set)
    for _ in range(KILLS):
        before = sum(map(len, acknowledged.values()))
        enough = before + random.randint(1, ACKNOWLEDGED_MAX)
        clients = [
            Thread(target=_submit_until_it_dies, args=(server, numbers.__next__, acknowledged))
            for _ in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        eventually(partial(_holds, acknowledged, enough))
        server.kill()
        for client in clients:
            client.join(30.0)

        server.start()
        assert _missing(server, acknowledged) == {}
    assert len(acknowledged) == KEYS
    assert server.total() >= KEYS

"""`kill -9` in the middle of submissions, again and again: what was acknowledged is there."""

from collections import defaultdict
from collections.abc import Callable
from itertools import count
from random import Random
from threading import Condition, Thread

import httpx
import pytest

from tests.e2e.conftest import Made, Server, Servers, armor, make_certificate, split
from tests.processes import PATIENCE_S

KILLS = 20
KEYS = 30
CLIENTS = 3
ACKNOWLEDGED_MAX = 12
"""The server lives for at most so many answers, drawn anew each time."""


class Acknowledged:
    """What was answered with 200: by fingerprint, the user IDs."""

    def __init__(self) -> None:
        self.user_ids: defaultdict[str, set[bytes]] = defaultdict(set)
        self.count = 0
        self._more = Condition()

    def add(self, made: Made) -> None:
        with self._more:
            self.user_ids[made.fingerprint] |= _user_ids(made.packets)
            self.count += 1
            self._more.notify_all()

    def wait_for(self, count: int) -> None:
        """Wait until there are so many."""
        with self._more:
            assert self._more.wait_for(lambda: self.count >= count, PATIENCE_S)


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
            acknowledged.add(made)


def _missing(server: Server, acknowledged: Acknowledged) -> dict[str, set[bytes]]:
    missing = {
        name: user_ids - _user_ids(server.certificate(name))
        for name, user_ids in acknowledged.user_ids.items()
    }
    return {name: user_ids for name, user_ids in missing.items() if user_ids}


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_by_twenty_kills(servers: Servers) -> None:
    server = servers.start()
    random, numbers = Random(9), count()
    acknowledged = Acknowledged()
    for _ in range(KILLS):
        enough = acknowledged.count + random.randint(1, ACKNOWLEDGED_MAX)
        clients = [
            Thread(target=_submit_until_it_dies, args=(server, numbers.__next__, acknowledged))
            for _ in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        acknowledged.wait_for(enough)
        server.kill()
        for client in clients:
            client.join(30.0)

        server.start()
        assert _missing(server, acknowledged) == {}
    assert len(acknowledged.user_ids) == KEYS
    assert server.total() >= KEYS

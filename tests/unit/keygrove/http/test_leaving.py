"""Answers on their way: how many of them are held, and for how long."""

from contextlib import ExitStack
from functools import partial
from urllib.parse import quote_from_bytes

import anyio
import pytest

from keygrove.http import asgi
from keygrove.http.asgi import ANSWER_DEADLINE_S
from keygrove.http.errors import TooManyAnswersError, TooManyRequestsError
from keygrove.http.leaving import PIECE_OCTETS, Leaving, pieces
from keygrove.settings import PolicySettings, Settings, StorageSettings
from keygrove_chaos.certificates import armored, flooded
from keygrove_chaos.node import SimulatedNode, simulated_node
from keygrove_chaos.servers import NoReplyError, Reply
from keygrove_protocols.openpgp.certificate import fingerprint

pytestmark = pytest.mark.anyio

ROOM = 10 * PIECE_OCTETS
LARGE = flooded(1, 2_000)
GET_LARGE = f"/pks/lookup?op=get&search=0x{fingerprint(LARGE).hex()}"
SETTINGS = Settings(
    storage=StorageSettings(shards=2), policy=PolicySettings(preset="sks-compatible")
)
FORM = b"keytext=" + quote_from_bytes(armored(LARGE), safe="").encode()


@pytest.mark.parametrize("size", [0, 1, PIECE_OCTETS, PIECE_OCTETS + 1, 3 * PIECE_OCTETS])
def test_a_body_is_its_pieces(size: int) -> None:
    body = bytes(number % 251 for number in range(size))
    cut = list(pieces(body))
    assert b"".join(cut) == body
    assert max(map(len, cut)) <= PIECE_OCTETS


def test_no_address_holds_more_than_is_left_for_others() -> None:
    leaving = Leaving(ROOM)
    with ExitStack() as under_way:
        for _ in range(2):
            under_way.enter_context(leaving.counted("192.0.2.1", ROOM // 4))
        with pytest.raises(TooManyRequestsError), leaving.counted("192.0.2.1", ROOM // 4):
            pass
        under_way.enter_context(leaving.counted("192.0.2.2", ROOM // 4))
        with pytest.raises(TooManyAnswersError), leaving.counted("192.0.2.3", ROOM // 2):
            pass
        under_way.enter_context(leaving.counted("192.0.2.3", ROOM // 8))
        under_way.enter_context(leaving.counted("192.0.2.1", PIECE_OCTETS))
    with leaving.counted("192.0.2.1", ROOM):
        pass


def test_the_addresses_of_one_network_hold_as_one() -> None:
    leaving = Leaving(ROOM)
    with leaving.counted("2001:db8::1", ROOM // 2):
        with pytest.raises(TooManyRequestsError), leaving.counted("2001:db8::2", ROOM // 2):
            pass
        with leaving.counted("2001:db8:0:1::2", ROOM // 2):
            pass


async def get(node: SimulatedNode, client: str = "192.0.2.1") -> Reply:
    return await node.http.ask("GET", GET_LARGE, client=client)


async def never_take(node: SimulatedNode) -> None:
    with pytest.raises(NoReplyError):
        await node.http.ask("GET", GET_LARGE, client="192.0.2.1", taking=anyio.sleep_forever)


async def test_an_answer_is_held_until_it_was_taken_or_its_deadline_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with simulated_node(SETTINGS) as node:
        assert (await node.http.ask("POST", "/pks/add", FORM)).status == 200
        size = len((await get(node)).body)
    assert size > 2 * PIECE_OCTETS
    monkeypatch.setattr(asgi, "LEAVING_OCTETS_MAX", 3 * size)
    async with simulated_node(SETTINGS) as node:
        assert (await node.http.ask("POST", "/pks/add", FORM)).status == 200
        begun = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(never_take, node)
            await anyio.wait_all_tasks_blocked()
            refused = await get(node)
            assert (refused.status, refused.headers["retry-after"]) == (429, "1")
            assert (await get(node, "192.0.2.2")).status == 200
            assert (await node.http.ask("GET", "/healthz", client="192.0.2.1")).status == 200
        assert anyio.current_time() - begun == pytest.approx(ANSWER_DEADLINE_S)
        assert (await get(node)).status == 200


async def test_a_client_that_takes_all_of_it_slowly_is_answered() -> None:
    async with simulated_node(SETTINGS) as node:
        assert (await node.http.ask("POST", "/pks/add", FORM)).status == 200
        whole = await get(node)
        slowly = await node.http.ask("GET", GET_LARGE, taking=partial(anyio.sleep, 10))
        assert slowly == whole

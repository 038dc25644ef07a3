"""Operators who roll back what a partner brought to a whole node, and restore it."""

from collections.abc import Mapping

import pytest

from keygrove.ingest.messages import INGEST, IngestApi, Load
from keygrove.settings import Settings, StorageSettings
from keygrove.storage.write import Cause
from keygrove_chaos.certificates import made
from keygrove_chaos.client import Hkp
from keygrove_chaos.control import Control, listed, replied
from keygrove_chaos.history import Phase
from keygrove_chaos.node import SimulatedNode, simulated_node
from keygrove_chaos.rolling import Rolling
from keygrove_chaos.servers import Reply
from keygrove_chaos.web import CutError
from keygrove_protocols.openpgp.certificate import fingerprint, to_bytes

pytestmark = pytest.mark.anyio

SETTINGS = Settings(storage=StorageSettings(shards=2))
PARTNER = "p.example"
NUMBERS = range(4)


async def offered(node: SimulatedNode) -> list[int]:
    """The partner brings all it has; the statuses."""
    ingest = node.runtime.whereis(INGEST, IngestApi)
    some = [to_bytes(made(number, f"n{number}")) for number in NUMBERS]
    loads = [Load((one,), PARTNER, Cause.RECON) for one in some]
    return [replied(await ingest.call(load, timeout=10.0)).status for load in loads]


async def shown(node: SimulatedNode) -> list[int]:
    hkp = Hkp(node.http.ask)
    return [(await hkp.get(fingerprint(made(number)).hex())).status for number in NUMBERS]


def rolling(node: SimulatedNode) -> Rolling:
    return Rolling(Control(node.control.ask), PARTNER)


async def test_what_a_partner_brought_is_taken_back_and_restored() -> None:
    async with simulated_node(SETTINGS) as node:
        assert await offered(node) == [200] * 4
        assert await rolling(node).roll_back() is Phase.OK
        assert await shown(node) == [404] * 4
        assert await offered(node) == [422] * 4
        assert await rolling(node).roll_back() is Phase.OK, "it is there already"
        assert await rolling(node).undo() is Phase.OK
        assert await shown(node) == [200] * 4
        assert await rolling(node).roll_back() is Phase.FAIL, "it was undone"
        assert len(listed(await Control(node.control.ask).rollbacks())) == 1


async def test_nothing_is_undone_where_nothing_was_taken_back() -> None:
    async with simulated_node(SETTINGS) as node:
        assert await rolling(node).undo() is Phase.FAIL


class Cut:
    """A way to a node that is cut off behind the first request that changes anything."""

    def __init__(self, node: SimulatedNode) -> None:
        self._node = node

    async def __call__(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str], /
    ) -> Reply:
        reply = await self._node.control.ask(method, target, body, headers)
        if method == "POST":
            raise CutError("n", 1)
        return reply


async def test_who_was_not_answered_does_not_know_and_goes_on_with_what_is_there() -> None:
    async with simulated_node(SETTINGS) as node:
        await offered(node)
        assert await Rolling(Control(Cut(node)), PARTNER).roll_back() is Phase.INFO
        assert await rolling(node).roll_back() is Phase.OK
        assert len(listed(await Control(node.control.ask).rollbacks())) == 1
        assert await Rolling(Control(Cut(node)), PARTNER).undo() is Phase.INFO
        assert await rolling(node).undo() is Phase.OK
        assert await shown(node) == [200] * 4

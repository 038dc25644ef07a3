"""A whole node behind a simulated network: the product's own code answers."""

import msgspec

from keygrove.serve import Endpoints, Site, open_node
from keygrove.settings import Settings
from keygrove_chaos.certificates import armored, made
from keygrove_chaos.net_faults import Latency, LogNormal, Loss
from keygrove_chaos.network import Network
from keygrove_chaos.node import MemoryLog, memory_stores, simulated_ports
from keygrove_chaos.web import WebEndpoint, WebServers, ask
from keygrove_protocols.openpgp.certificate import fingerprint
from tests.simulation.world.worlds import in_a_world

ALICE = made(1, "Alice <a@x.example>")


@in_a_world
async def test_a_node_is_reached_over_a_bad_link(network: Network) -> None:
    network.inject("slow", Latency(LogNormal(0.1, 0.5)))
    network.inject("bad", Loss(0.05))
    http, metrics, control = (WebEndpoint(network, "b", port) for port in (11371, 9626, 1))
    site = Site(
        ports=msgspec.structs.replace(simulated_ports(), servers=WebServers()),
        endpoints=Endpoints((http,), (metrics,), (control,)),
        log=MemoryLog(),
        version="0.test",
        pid=1,
    )
    settings = Settings()
    async with open_node(settings, site, memory_stores(settings.storage.shards)):
        body = b"keytext=" + armored(ALICE).replace(b"+", b"%2B").replace(b"\n", b"%0A")
        kind = {"content-type": "application/x-www-form-urlencoded"}
        added = await ask(network, "a", "b", 11371, "POST", "/pks/add", body, kind)
        query = f"/pks/lookup?op=get&options=mr&search=0x{fingerprint(ALICE).hex()}"
        found = await ask(network, "c", "b", 11371, "GET", query)
    assert (added.status, found.status) == (200, 200)
    assert b"PGP PUBLIC KEY" in found.body
    assert network.effect("slow") > 0

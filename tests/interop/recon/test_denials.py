"""What was taken back here stays away, though partners have it."""

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import keygrove, needs
from tests.interop.recon.conftest import Nodes, SksServers
from tests.interop.recon.corpus import digests, written
from tests.interop.recon.meeting import holds, person, settled
from tests.interop.recon.node import Node, Partner

pytestmark = [pytest.mark.slow, needs("sks")]

GOOD = 60
ROUNDS = 10


def rounds(node: Node, partner: str) -> int:
    """Sessions with a partner that ended well."""
    found: dict[str, int] = node.partner(partner)["rounds"]
    return found.get("we done", 0) + found.get("partner done", 0)


def some_rounds(node: Node, count: int) -> None:
    """Wait until there were so many more with each partner."""
    before = {name: rounds(node, name) for name in ("sks", "other")}
    settled(lambda: all(rounds(node, name) >= before[name] + count for name in before))


@pytest.mark.parametrize("count", [100, pytest.param(10_000, marks=pytest.mark.campaign)])
def test_a_flood_that_two_partners_hold_stays_away_and_is_fetched_once_of_each(
    count: int, nodes: Nodes, sks_servers: SksServers, tmp_path: Path
) -> None:
    flood = [person(f"flood-{number}") for number in range(count)]
    good = [person(f"good-{number}") for number in range(GOOD)]
    node, other = nodes(), nodes()
    sks = sks_servers(node.recon_port)
    node.load(good)
    other.load([*flood, *good])
    sks.build([*flood, *good])
    partners = [
        Partner("sks", sks.recon_port, sks.hkp_port),
        Partner("other", other.recon_port, other.http_port),
    ]
    node.start(*partners)
    file = written(flood, tmp_path / "flood.pgp")
    loaded = keygrove("load", "--data", node.data, "--json", file, env=node.env)
    origin = json.loads(loaded.out)["origin"]
    taken_back = keygrove("rollback", "--data", node.data, "--load", origin, env=node.env)
    assert taken_back.status == 0, taken_back.err

    other.start(Partner("node", node.recon_port, node.http_port, begins=True))
    sks.start(gossips=True)
    settled(lambda: all(node.results(name).get("denied") == count for name in ("other", "sks")))
    some_rounds(node, ROUNDS)
    holds(node, digests(good))
    assert node.results("other")["denied"] == count
    assert sks.given() <= count
    node.stop()
    node.server.start()
    some_rounds(node, ROUNDS)
    holds(node, digests(good))
    for name in ("other", "sks"):
        assert node.results(name) == {}
        assert node.partner(name)["lacking_here"] == 0, "a round costs no more than without a flood"
    assert sks.given() <= count

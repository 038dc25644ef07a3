"""What `verified` leaves out stays a difference to SKS that costs nothing."""

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import needs, needs_debian_keyring
from tests.interop.recon.conftest import Nodes, SksServers
from tests.interop.recon.corpus import debian, digests
from tests.interop.recon.meeting import settled
from tests.interop.recon.node import Node, Partner

pytestmark = [pytest.mark.slow, needs("sks"), needs_debian_keyring]


DIGESTS = json.loads((Path(__file__).parents[2] / "vectors" / "digests.json").read_bytes())
LESS = {
    DIGESTS[one]
    for one in (
        "1984860920B60CED8D13093747D37F29E62EB8FF",
        "1B8CF656EF3B84472F48F0E782FBF7060B2F7D00",
        "249CB3771750745D5CDD323CE267B052364F028D",
        "97304066E5AEFAC22683D03D4FB3B4D37EF63B2E",
    )
}
"""Of which `verified` keeps less than SKS: see test_openpgp_debian_keyring."""


ROUNDS = 2


@pytest.mark.parametrize("begins", ["sks", "keygrove"])
def test_under_verified_all_but_four_are_the_same_and_each_is_fetched_once(
    begins: str, nodes: Nodes, sks_servers: SksServers
) -> None:
    node = nodes(preset="verified")
    sks = sks_servers(node.recon_port)
    everything = debian()
    ours, theirs = everything[:500], everything[400:]
    node.load(ours)
    sks.build(theirs)
    lacking = digests(theirs) - node.digests()
    assert lacking & LESS
    sks.start(gossips=begins == "sks")
    node.start(Partner("sks", sks.recon_port, begins=begins == "keygrove"))
    same = digests(everything) - LESS
    settled(lambda: sks.held() >= same)
    settled(lambda: node.status()["tree"]["digests"] == len(everything))
    assert node.digests() >= same
    assert len(node.digests() - same) == len(LESS)

    later = done(node) + ROUNDS
    settled(lambda: done(node) >= later)
    assert sks.given() == len(lacking)


def done(node: Node) -> int:
    """Sessions that ended well."""
    rounds: dict[str, int] = node.partner("sks")["rounds"]
    return rounds.get("we done", 0) + rounds.get("partner done", 0)

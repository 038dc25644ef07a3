"""Keygrove and a real SKS come to hold the same."""

import pytest

from tests.e2e.conftest import needs, needs_debian_keyring
from tests.interop.recon.conftest import Nodes, SksServers
from tests.interop.recon.corpus import debian, digests
from tests.interop.recon.meeting import holds, person, settled
from tests.interop.recon.node import Node, Partner
from tests.interop.recon.sks import Sks

pytestmark = [pytest.mark.slow, needs("sks"), needs_debian_keyring]

SOME = 160
"""Certificates, where not all are needed: more than a node that is asked about in full."""
CLEANED = {
    "249CB3771750745D5CDD323CE267B052364F028D",
    "1B8CF656EF3B84472F48F0E782FBF7060B2F7D00",
    "1984860920B60CED8D13093747D37F29E62EB8FF",
    "97304066E5AEFAC22683D03D4FB3B4D37EF63B2E",
}
"""Whose signatures of their own `verified` does not keep all."""


def met(node: Node, sks: Sks, begins: str) -> None:
    """Have both run, and one of them begin."""
    sks.start(gossips=begins == "sks")
    node.start(Partner("sks", sks.recon_port, begins=begins == "keygrove"))


@pytest.mark.parametrize("begins", ["sks", "keygrove"])
def test_both_end_with_the_union_and_with_what_is_submitted_later(
    begins: str, nodes: Nodes, sks_servers: SksServers
) -> None:
    node = nodes()
    sks = sks_servers(node.recon_port)
    everything = debian()
    node.load([*everything[:500], person("alice")])
    sks.build([*everything[400:], person("bob")])
    met(node, sks, begins)
    union = digests([*everything, person("alice"), person("bob")])
    settled(lambda: sks.held() == union)
    holds(node, union)

    assert node.server.add(person("carol").octets).status_code == 200
    assert node.server.add(person("bob", "robert").octets).status_code == 200
    sks.add(person("dave"))
    sks.add(person("alice", "alicia"))
    changed = [person(name) for name in ("carol", "dave")]
    changed += [person("bob", "robert"), person("alice", "alicia")]
    union = digests([*everything, *changed])
    settled(lambda: sks.held() == union)
    holds(node, union)
    sks.stop()
    assert sks.digests() == union

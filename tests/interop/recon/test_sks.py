"""Keygrove and a real SKS come to hold the same."""

import pytest

from tests.e2e.conftest import needs, needs_debian_keyring
from tests.interop.recon.conftest import Nodes, Relays, SksServers
from tests.interop.recon.corpus import debian, digests
from tests.interop.recon.meeting import holds, person, settled
from tests.interop.recon.node import Node, Partner
from tests.interop.recon.sks import Sks

pytestmark = [pytest.mark.slow, needs("sks"), needs_debian_keyring]

SOME = 200
"""Certificates, where not all are needed: more than a node has that is asked about in full."""


def met(node: Node, sks: Sks, begins: str) -> None:
    """Have both run, and one of them begin."""
    sks.start(gossips=begins == "sks")
    node.start(Partner("sks", sks.recon_port, begins=begins == "keygrove"))


@pytest.mark.parametrize(
    ("begins", "count"),
    [("sks", 905), ("keygrove", 400), pytest.param("keygrove", 905, marks=pytest.mark.campaign)],
)
def test_both_end_with_the_union_and_with_what_is_submitted_later(
    begins: str, count: int, nodes: Nodes, sks_servers: SksServers
) -> None:
    node = nodes()
    sks = sks_servers(node.recon_port)
    everything = debian()[:count]
    node.load([*everything[: count * 3 // 5], person("alice")])
    sks.build([*everything[count * 2 // 5 :], person("bob")])
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


@pytest.mark.parametrize(
    ("empty", "begins"),
    [
        ("sks", "sks"),
        ("keygrove", "keygrove"),
        pytest.param("sks", "keygrove", marks=pytest.mark.campaign),
        pytest.param("keygrove", "sks", marks=pytest.mark.campaign),
    ],
)
def test_one_that_holds_nothing_is_filled(
    empty: str, begins: str, nodes: Nodes, sks_servers: SksServers
) -> None:
    node = nodes()
    sks = sks_servers(node.recon_port)
    everything = debian()[:SOME]
    if empty == "sks":
        node.load(everything)
    sks.build([] if empty == "sks" else everything)
    met(node, sks, begins)
    settled(lambda: sks.held() == digests(everything))
    holds(node, digests(everything))


def test_both_end_with_the_union_though_each_is_restarted_in_the_middle(
    nodes: Nodes, sks_servers: SksServers
) -> None:
    node = nodes()
    sks = sks_servers(node.recon_port)
    everything = debian()
    node.load(everything[:500])
    sks.build(everything[400:])
    met(node, sks, "keygrove")
    settled(lambda: node.server.total() > 500)
    node.server.kill()
    assert len(node.digests()) > 500
    node.server.start()
    settled(lambda: len(sks.held()) > 505)  # and as a rule many fewer than all
    sks.stop()
    sks.start(gossips=True)
    settled(lambda: sks.held() == digests(everything))
    holds(node, digests(everything))
    sks.stop()
    assert sks.digests() == digests(everything)


CUTS = (2, 60, 140, 160, 1_000)
"""Octets of what is said in recon: in the first length, the config, the verdict, a message."""
CUTS_OF_ANSWERS = (300, 100_000)


def test_what_is_cut_off_in_the_middle_of_a_message_is_made_up_for_where_we_begin(
    nodes: Nodes, sks_servers: SksServers, relays: Relays
) -> None:
    node = nodes()
    sks = sks_servers(node.recon_port)
    everything = debian()[: 2 * SOME]
    node.load(everything[: SOME + 20])
    sks.build(everything[SOME - 20 :])
    sks.start(gossips=False)
    recon, http = relays(sks.recon_port), relays(sks.hkp_port)
    recon.cut_after(*CUTS)
    http.cut_after(*CUTS_OF_ANSWERS)
    node.start(Partner("sks", recon.port, http.port))

    def is_cut() -> bool:
        node.now("sks")
        return recon.is_done and http.is_done

    settled(is_cut)
    settled(lambda: node.now("sks")["result"] == "done")
    settled(lambda: sks.held() == digests(everything))
    holds(node, digests(everything))


def test_what_is_cut_off_in_the_middle_of_a_message_is_made_up_for_where_sks_begins(
    nodes: Nodes, sks_servers: SksServers, relays: Relays
) -> None:
    node = nodes()
    recon, http = relays(node.recon_port), relays(node.http_port)
    sks = sks_servers(recon.port)
    everything = debian()[: 2 * SOME]
    node.load(everything[: SOME + 20])
    sks.build(everything[SOME - 20 :])
    recon.cut_after(*CUTS)
    http.cut_after(*CUTS_OF_ANSWERS)
    node.start(Partner("sks", sks.recon_port), told_http_port=http.port)
    sks.start(gossips=True)
    settled(lambda: recon.is_done and http.is_done)
    settled(lambda: sks.held() == digests(everything))
    holds(node, digests(everything))

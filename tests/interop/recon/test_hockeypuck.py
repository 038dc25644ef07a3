"""Keygrove and a real Hockeypuck come to hold the same, as far as Hockeypuck stores it."""

import pytest

from tests.e2e.conftest import needs, needs_debian_keyring
from tests.interop.recon.cleaned import WHOLE, agrees, second_half, stored_by_it
from tests.interop.recon.conftest import Hockeypucks, Nodes, Relays, SksServers
from tests.interop.recon.corpus import digests
from tests.interop.recon.hockeypuck import needs_hockeypuck
from tests.interop.recon.meeting import holds, person, settled
from tests.interop.recon.node import Partner

pytestmark = [pytest.mark.slow, needs_hockeypuck, needs_debian_keyring]

SOME = 200
"""Certificates, where not all are needed: more than a node has that is asked about in full."""
CUTS = (2, 60, 400, 420, 1_000)
"""Octets of what is said in recon: in the first length, the config, the verdict, a message."""
CUTS_OF_ANSWERS = (300, 20_000)


@pytest.mark.parametrize("begins", ["hockeypuck", "keygrove"])
def test_both_end_with_the_union_and_with_what_is_submitted_later(
    begins: str, nodes: Nodes, hockeypucks: Hockeypucks
) -> None:
    node = nodes()
    hockeypuck = hockeypucks((node.recon_port, node.http_port))
    everything = second_half()
    ours, theirs = everything[:335], everything[250:]
    node.load([*ours, person("alice")])
    hockeypuck.build([*theirs, person("bob")])
    hockeypuck.start(gossips=begins == "hockeypuck")
    begun_by_us = begins == "keygrove"
    node.start(Partner("hockeypuck", hockeypuck.recon_port, begins=begun_by_us))
    several = [person("alice"), person("bob")]
    settled(lambda: hockeypuck.digests() == stored_by_it([*everything, *several]))
    agrees(node, [*everything, *several], only_theirs=digests(theirs) - digests(ours))

    assert node.server.add(person("carol").octets).status_code == 200
    assert node.server.add(person("bob", "robert").octets).status_code == 200
    hockeypuck.add(person("dave"))
    hockeypuck.add(person("alice", "alicia"))
    several = [person(name) for name in ("carol", "dave")]
    several += [person("bob", "robert"), person("alice", "alicia")]
    settled(lambda: hockeypuck.digests() == stored_by_it([*everything, *several]))
    agrees(node, [*everything, *several], only_theirs=digests(theirs) - digests(ours))


@pytest.mark.parametrize("count", [30, pytest.param(0, marks=pytest.mark.campaign)])
def test_one_that_holds_little_is_filled_where_only_we_begin(
    count: int, nodes: Nodes, hockeypucks: Hockeypucks
) -> None:
    # Hockeypuck, as the one that asks, keeps to itself what it owes for FullElements (T2).
    node = nodes()
    hockeypuck = hockeypucks((node.recon_port, node.http_port))
    everything = [one for one in second_half() if one.digest not in WHOLE][: 2 * SOME]
    node.load(everything[:count])
    hockeypuck.build(everything[count // 2 :])
    hockeypuck.start(gossips=False)
    node.start(Partner("hockeypuck", hockeypuck.recon_port, begins=True))
    holds(node, digests(everything))
    settled(lambda: hockeypuck.digests() == digests(everything))


@pytest.mark.campaign
def test_a_hockeypuck_that_holds_nothing_is_filled(nodes: Nodes, hockeypucks: Hockeypucks) -> None:
    node = nodes()
    hockeypuck = hockeypucks((node.recon_port, node.http_port))
    everything = [one for one in second_half() if one.digest not in WHOLE][:SOME]
    node.load(everything)
    hockeypuck.start(gossips=True)
    node.start(Partner("hockeypuck", hockeypuck.recon_port))
    settled(lambda: hockeypuck.digests() == digests(everything))


@pytest.mark.parametrize(
    "begins", ["hockeypuck", pytest.param("keygrove", marks=pytest.mark.campaign)]
)
def test_both_end_with_the_union_though_all_is_cut_off_and_restarted_in_the_middle(
    begins: str, nodes: Nodes, hockeypucks: Hockeypucks, relays: Relays
) -> None:
    node = nodes()
    our_recon, our_http = relays(node.recon_port), relays(node.http_port)
    hockeypuck = hockeypucks((our_recon.port, our_http.port))
    its_recon, its_http = relays(hockeypuck.recon_port), relays(hockeypuck.http_port)
    recon = our_recon if begins == "hockeypuck" else its_recon
    recon.cut_after(*CUTS)
    our_http.cut_after(*CUTS_OF_ANSWERS)
    its_http.cut_after(*CUTS_OF_ANSWERS)
    everything = [one for one in second_half() if one.digest not in WHOLE]
    node.load(everything[:260])
    hockeypuck.build(everything[240:])
    hockeypuck.start(gossips=begins == "hockeypuck")
    partner = Partner("hockeypuck", its_recon.port, its_http.port)
    node.start(partner, told_http_port=our_http.port)

    def is_cut() -> bool:
        if begins == "keygrove":
            node.now("hockeypuck")
        return recon.is_done

    settled(is_cut)
    node.server.kill()
    hockeypuck.stop()
    hockeypuck.start(gossips=True)
    node.server.start()
    settled(lambda: hockeypuck.digests() == digests(everything))
    holds(node, digests(everything))
    assert our_http.is_done
    assert its_http.is_done


@needs("sks")
def test_between_sks_and_hockeypuck_which_refuse_each_other_all_comes_to_both(
    nodes: Nodes, hockeypucks: Hockeypucks, sks_servers: SksServers
) -> None:
    node = nodes()
    sks = sks_servers(node.recon_port)
    hockeypuck = hockeypucks((node.recon_port, node.http_port))
    everything = second_half()
    # What Hockeypuck cleans is with SKS from the start: else it has less than there is.
    of_sks, ours, of_hockeypuck = everything[200:420], everything[100:250], everything[:150]
    assert digests(of_sks) >= WHOLE
    sks.build(of_sks)
    node.load(ours)
    hockeypuck.build(of_hockeypuck)
    sks.start(gossips=True)
    hockeypuck.start(gossips=True)
    node.start(
        Partner("sks", sks.recon_port, sks.hkp_port),
        Partner("hockeypuck", hockeypuck.recon_port, hockeypuck.http_port, begins=True),
    )
    union = everything[:420]
    settled(lambda: sks.held() == digests(union))
    settled(lambda: hockeypuck.digests() == stored_by_it(union))
    agrees(node, union, only_theirs=set())
    sks.stop()
    assert sks.digests() == digests(union)

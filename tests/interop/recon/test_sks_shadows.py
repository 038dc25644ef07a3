"""What SKS has and is not wanted here, or not in that form, is in the way of no later round."""

from typing import Any

import pytest

from tests.e2e.conftest import needs, needs_debian_keyring
from tests.interop.recon.conftest import Nodes, SksServers
from tests.interop.recon.corpus import debian, digests
from tests.interop.recon.meeting import settled
from tests.interop.recon.node import Node, Partner
from tests.interop.recon.sks import Sks
from tests.interop.recon.test_sks_views import LESS, done

pytestmark = [pytest.mark.slow, needs("sks"), needs_debian_keyring]

ROUNDS = 5


def agree(node: Node) -> dict[str, Any] | None:
    """A round that finds nothing; None: it does not, or SKS is busy with what it found before."""
    told = node.now("sks")
    is_so = told["result"] == "done" and not told["lacking_here"] and not told["lacking_there"]
    return told if is_so else None


def test_under_verified_rounds_find_nothing_once_sks_has_kept_to_its_own(
    nodes: Nodes, sks_servers: SksServers
) -> None:
    node = nodes(preset="verified")
    sks = sks_servers(node.recon_port)
    everything = debian()
    ours, theirs = everything[:500], everything[400:]
    node.load(ours)
    sks.build(theirs)
    sks.start(gossips=False)
    node.start(Partner("sks", sks.recon_port))
    settled(lambda: agree(node) is not None)
    for _ in range(ROUNDS):
        told = agree(node)
        assert told is not None
        assert told["round_trips"] == 1
    assert sks.held() >= digests(everything) - LESS
    assert node.status()["tree"]["digests"] == len(everything)


def test_a_round_that_sks_begins_finds_nothing_either(
    nodes: Nodes, sks_servers: SksServers
) -> None:
    node = nodes(preset="verified")
    sks = sks_servers(node.recon_port)
    some = [one for one in debian() if digests([one]) & LESS] + list(debian()[:50])
    node.load(some)
    sks.build(some)
    sks.start(gossips=True)
    node.start(Partner("sks", sks.recon_port))

    def found() -> tuple[int, int]:
        """What was lacking here so far, and what SKS asked for."""
        return node.partner("sks")["lacking_here"], asked(sks)

    quiet = 0
    before = (0, 0, 0)

    def is_quiet() -> bool:
        nonlocal quiet, before
        now = (done(node), *found())
        if now[0] > before[0]:
            quiet = quiet + 1 if now[1:] == before[1:] and now[1] else 0
            before = now
        return quiet >= ROUNDS

    settled(is_quiet)


def asked(sks: Sks) -> int:
    """How often it fetched from us."""
    return sks.log("recon").count("Requesting")

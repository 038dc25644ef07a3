"""Keygrove and a real Hockeypuck come to hold the same, as far as Hockeypuck stores it."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.e2e.conftest import needs_debian_keyring
from tests.interop.recon.conftest import Hockeypucks, Nodes
from tests.interop.recon.corpus import Cert, debian, digests
from tests.interop.recon.hockeypuck import needs_hockeypuck
from tests.interop.recon.meeting import person, settled
from tests.interop.recon.node import Node, Partner

pytestmark = [pytest.mark.slow, needs_hockeypuck, needs_debian_keyring]

VIEWS = json.loads((Path(__file__).parents[2] / "vectors" / "recon.json").read_bytes())[
    "cleaned_views"
]
WHOLE = set(VIEWS["sks_digests_without_equal_on_hockeypuck"])
CLEANED = set(VIEWS["hockeypuck_digests_not_on_sks"])
"""The same certificates, as Hockeypuck stores them."""


def second_half() -> list[Cert]:
    """The part of the keyring that it is known of what Hockeypuck makes of it."""
    return list(debian())[452:]


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


def stored_by_it(several: Iterable[Cert]) -> set[str]:
    """The digests with which Hockeypuck stores them."""
    return (digests(several) - WHOLE) | CLEANED


def agrees(node: Node, several: Iterable[Cert], *, only_theirs: set[str]) -> None:
    """Wait until a node holds all: as Hockeypuck has it what it had from there, else whole."""
    fetched = only_theirs & WHOLE
    whole = digests(several) - fetched
    settled(lambda: node.status()["tree"]["digests"] == len(whole) + len(fetched))
    held = node.digests()
    assert held >= whole
    assert held - whole < CLEANED

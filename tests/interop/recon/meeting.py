"""What the tests with SKS and with Hockeypuck do alike."""

from collections.abc import Callable
from typing import Final

from tests.e2e.conftest import eventually, make_certificate
from tests.interop.recon.corpus import Cert, cert
from tests.interop.recon.node import Node

WITHIN_S: Final = 120.0
"""For a few rounds: what fails is tried again after longer and longer."""
EVERY_S: Final = 0.5


def settled(check: Callable[[], bool]) -> None:
    """Wait for what some rounds bring about."""
    eventually(check, within_s=WITHIN_S, every_s=EVERY_S)


def holds(node: Node, expected: set[str]) -> None:
    """Wait until a node stores these, and shows partners so many."""
    settled(lambda: node.digests() == expected)
    settled(lambda: node.status()["tree"]["digests"] == len(expected))


def person(name: str, *more: str) -> Cert:
    """A certificate made here; with `more`, the same one with further user IDs."""
    return cert(
        make_certificate(name, [f"{one} <{one}@recon.example>" for one in (name, *more)]).packets
    )

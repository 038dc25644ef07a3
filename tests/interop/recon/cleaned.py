"""What Hockeypuck makes of certificates of the Debian keyring's second half."""

import json
from collections.abc import Iterable
from pathlib import Path

from tests.interop.recon.corpus import Cert, debian, digests
from tests.interop.recon.meeting import settled
from tests.interop.recon.node import Node

VIEWS = json.loads((Path(__file__).parents[2] / "vectors" / "recon.json").read_bytes())[
    "cleaned_views"
]
WHOLE = set(VIEWS["sks_digests_without_equal_on_hockeypuck"])
CLEANED = set(VIEWS["hockeypuck_digests_not_on_sks"])
"""The same certificates, as Hockeypuck stores them."""


def second_half() -> list[Cert]:
    """The part of the keyring that it is known of what Hockeypuck makes of it."""
    return list(debian())[452:]


def stored_by_it(several: Iterable[Cert]) -> set[str]:
    """The digests with which Hockeypuck stores them."""
    return (digests(several) - WHOLE) | CLEANED


def agrees(node: Node, several: Iterable[Cert], *, only_theirs: set[str]) -> None:
    """Wait until a node holds all: as Hockeypuck has it what it had from there, else whole."""
    fetched = only_theirs & WHOLE
    whole = digests(several) - fetched
    settled(lambda: node.digests() >= whole)
    settled(lambda: node.status()["tree"]["digests"] == len(whole) + len(fetched))
    assert node.digests() - whole < CLEANED

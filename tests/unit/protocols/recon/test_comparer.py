"""Whoever only compares learns what differs, and its partner learns nothing."""

import pytest

from keygrove_protocols.recon.comparer import Comparer
from keygrove_protocols.recon.messages import Done, Flush, FullRequest, PolyRequest, encode
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.session import Ending, SessionLimits
from tests.unit.protocols.recon.model import Model, acceptor, connection, converse, drawn, feed


@pytest.mark.parametrize(
    ("both", "here", "there"),
    [(0, 0, 0), (300, 0, 0), (300, 2, 1), (1_000, 60, 40), (0, 200, 0), (0, 0, 400), (20, 300, 9)],
)
@pytest.mark.parametrize("full_below", [150, 5])
def test_all_that_differs_is_known_and_nothing_is_told(
    both: int, here: int, there: int, full_below: int
) -> None:
    common, mine, theirs = drawn(both, 1), drawn(here, 2), drawn(there, 3)
    comparer = Comparer(Model(common | mine), connection())
    partner = acceptor(common | theirs, full_below=full_below)
    converse(partner, comparer)
    assert (comparer.learned, comparer.given) == (theirs, mine)
    assert comparer.is_whole
    assert not partner.learned
    assert comparer.end == partner.end
    assert comparer.end is not None
    assert comparer.end.ending is Ending.DONE


def test_what_is_not_asked_about_is_not_known() -> None:
    comparer = Comparer(Model(drawn(300, 1)), connection())
    assert not comparer.is_whole
    node = Model(drawn(400, 2)).node(ROOT)
    feed(comparer, encode(PolyRequest(ROOT, node.size, node.samples)) + encode(Flush()))
    for prefix in ROOT.children()[:3]:
        feed(comparer, encode(FullRequest(prefix)) + encode(Flush()))
    feed(comparer, encode(Done()))
    assert not comparer.is_whole


def test_it_keeps_and_learns_no_more_than_the_limits() -> None:
    limits = SessionLimits(learned_max=40, given_max=30)
    comparer = Comparer(Model(drawn(100, 1)), connection(), limits)
    converse(acceptor(()), comparer)
    assert len(comparer.given) == 30
    comparer = Comparer(Model(()), connection(), limits)
    converse(acceptor(drawn(100, 1)), comparer)
    assert len(comparer.learned) == 40
    assert not comparer.is_whole
    assert comparer.end is not None
    assert comparer.end.ending is Ending.LIMIT


def test_what_is_asked_about_once_more_changes_nothing() -> None:
    mine, theirs = drawn(100, 1), drawn(3, 2)
    comparer = Comparer(Model(mine), connection())
    request = encode(FullRequest(ROOT, tuple(theirs)))
    feed(comparer, request * 2 + encode(FullRequest(ROOT.child(1))) + encode(Flush()))
    assert comparer.is_whole
    assert comparer.end is None
    assert (comparer.learned, comparer.given) == (theirs, mine)

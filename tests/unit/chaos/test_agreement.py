"""I-04 and I-22: what partners come to hold, and how often they ask for it."""

from keygrove_actors.messages import Crash
from keygrove_actors.reports import ChildTerminated
from keygrove_chaos.agreement import FETCHES_MAX, Converged, FetchedOnce
from keygrove_chaos.history import About, Function, History
from keygrove_chaos.observation import Fetch, NodeReport, NodeView, View, Violation

A, B = "a" * 32, "b" * 32
FETCH = Fetch(1, "n0", "n1", (A, B))
FELL = ChildTerminated("known", "recon/known", 1, Crash("Injected", "a fault"))


def view(**trees: str) -> View:
    nodes = [
        NodeView(node=name, policy=policy, tree=frozenset(tree))
        for name, (policy, *tree) in ((name, tree.split()) for name, tree in trees.items())
    ]
    return View(5, tuple(nodes))


def test_nodes_of_one_policy_are_to_show_the_same() -> None:
    held = view(n0="verified x y", n1="minimal x", n2="verified y x")
    assert Converged().at_quiescence(held) is None
    found = Converged().at_quiescence(view(n0="verified x y", n1="verified x z"))
    assert isinstance(found, Violation)
    assert (found.invariant, found.node) == ("I-04", "n1")
    assert "only n0 has y, and only n1 has z" in found.says


def test_where_nobody_looked_nothing_is_found() -> None:
    assert Converged().at_quiescence(View(5, (NodeView(node="n0", policy="one"),))) is None


def test_what_a_partner_has_given_is_not_to_be_asked_of_it_for_ever() -> None:
    watching = FetchedOnce()
    assert [watching.on_event(FETCH) for _ in range(FETCHES_MAX)] == [None] * FETCHES_MAX
    other = Fetch(1, "n0", "n2", (A,))
    assert watching.on_event(other) is None
    found = watching.on_event(FETCH)
    assert isinstance(found, Violation)
    assert found.says.startswith("n0 asked n1 for aaaaaaaa… more than")


def test_whoever_falls_may_ask_again() -> None:
    started = History().befall(About("n0", Function.START), now=2.0)
    for again in (NodeReport(2, "n0", FELL), started):
        watching = FetchedOnce()
        for _ in range(FETCHES_MAX):
            watching.on_event(FETCH)
        watching.on_event(again)
        assert watching.on_event(FETCH) is None

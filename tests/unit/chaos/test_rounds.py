"""Rounds: as many as there were, one after the other."""

import pytest

from keygrove_chaos.rounds import Rounds

PARTNERS = [("a", "b"), ("b", "c")]


def session(rounds: Rounds, node: str, partner: str, ended: float, **more: object) -> None:
    facts = {"partner": partner, "began": "we", "result": "done", "duration_s": 1.0}
    rounds.note(node, facts | more, ended)


@pytest.fixture
def rounds() -> Rounds:
    found = Rounds(PARTNERS)
    for node, partner, ended in [("a", "b", 5), ("c", "b", 7), ("a", "b", 9), ("b", "c", 12)]:
        session(found, node, partner, float(ended))
    return found


def test_a_round_is_over_when_every_two_partners_had_a_session_that_began_in_it(
    rounds: Rounds,
) -> None:
    assert rounds.between(0, 6.9) == 0
    assert rounds.between(0, 11.9) == 1
    assert rounds.between(0, 99) == 2
    assert rounds.between(4.5, 99) == 1


def test_a_session_under_way_when_a_round_begins_is_not_of_it(rounds: Rounds) -> None:
    assert rounds.between(8.5, 99) == 0


def test_sessions_that_failed_or_that_the_partner_tells_of_do_not_count() -> None:
    rounds = Rounds(PARTNERS[:1])
    session(rounds, "a", "b", 5.0, result="failed")
    session(rounds, "b", "a", 6.0, began="partner")
    assert rounds.between(0, 99) == 0
    session(rounds, "b", "a", 7.0)
    assert rounds.between(0, 99) == 1


def test_it_is_known_who_never_began_a_session_with_whom(rounds: Rounds) -> None:
    assert rounds.without(0) == [("b", "a")]
    assert rounds.without(6.5) == [("b", "a"), ("c", "b")]

"""Requests that were in flight at two crashes running (actors P-11)."""

from keygrove_actors.poison import POISON_S, POISONED_MAX, Poison


def test_p11_a_request_at_two_crashes_running_is_refused_for_a_while() -> None:
    poison = Poison()
    assert poison.crashed([("parse", b"bad"), ("parse", b"good")], 0.0) == ()
    assert not poison.is_refused("parse", b"bad", 0.0)
    assert poison.crashed([("parse", b"bad"), ("parse", b"other")], 1.0) == ("parse",)
    assert poison.is_refused("parse", b"bad", 1.0 + POISON_S - 0.1)
    assert not poison.is_refused("parse", b"other", 1.0)
    assert not poison.is_refused("index", b"bad", 1.0)
    assert not poison.is_refused("parse", b"bad", 1.0 + POISON_S)
    assert not poison.is_refused("parse", b"bad", 2.0)


def test_p11_crashes_that_are_not_consecutive_do_not_count() -> None:
    poison = Poison()
    poison.crashed([("parse", b"bad")], 0.0)
    poison.crashed([("parse", b"other")], 1.0)
    assert poison.crashed([("parse", b"bad")], 2.0) == ()


def test_p11_what_is_remembered_is_bounded() -> None:
    poison = Poison()
    requests = [("parse", b"%d" % n) for n in range(POISONED_MAX + 1)]
    poison.crashed(requests, 0.0)
    poison.crashed(requests, 0.0)
    assert not poison.is_refused(*requests[0], 0.0)
    assert poison.is_refused(*requests[-1], 0.0)

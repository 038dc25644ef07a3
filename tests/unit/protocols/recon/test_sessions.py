"""Both roles: with what was recorded of real servers, and with each other."""

from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.acceptor import Acceptor
from keygrove_protocols.recon.handshake import Agreed, Handshake, Own, Role
from keygrove_protocols.recon.initiator import Initiator
from keygrove_protocols.recon.messages import (
    Done,
    Elements,
    Flush,
    FullElements,
    FullRequest,
    Message,
    PolyRequest,
    SyncFail,
    encode,
    in_order,
)
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.session import PIECE, Ending, SessionLimits
from keygrove_protocols.recon.session import Session as AnySession
from keygrove_protocols.recon.tree import Tree
from tests.unit.protocols.recon.model import (
    acceptor,
    connection,
    converse,
    drawn,
    feed,
    initiator,
    said_of,
    sets,
)
from tests.unit.protocols.recon.recorded import (
    PolyCase,
    PolyGroup,
    Session,
    conversation,
    digests,
    recorded,
)

SESSIONS = recorded().sessions
HOCKEYPUCK_ASKS_POLY_FROM = 5
ANSWERS_FULL = {"sks-sks-fullelements", "sks-initiates-to-hockeypuck-lost-elements"}
"""Where a real initiator answered FullElements, which we never do."""


def unordered(messages: Iterable[Message]) -> list[object]:
    """Sets as sets, and requests by the node that they are about."""
    found: list[object] = []
    for message in messages:
        match message:
            case Elements(digests) | FullElements(digests):
                found.append((type(message), frozenset(digests)))
            case FullRequest(prefix, digests):
                found.append((prefix, frozenset(digests)))
            case _:
                found.append(message)
    return found


@pytest.mark.parametrize("session", SESSIONS, ids=lambda one: one.name)
def test_an_initiator_answers_a_recorded_acceptor(session: Session) -> None:
    _, _, asked = conversation(bytes.fromhex(session.acceptor_to_initiator_hex))
    _, _, answered = conversation(bytes.fromhex(session.initiator_to_acceptor_hex))
    ours = initiator(digests(session.initiator_set))
    said = said_of(feed(ours, b"".join(map(encode, asked))))
    wanted = [SyncFail()] if session.name in ANSWERS_FULL else answered
    assert unordered(said) == unordered(wanted)
    assert ours.learned == digests(session.initiator_learns)
    assert ours.end is not None
    assert ours.end.ending is Ending.DONE


@pytest.mark.parametrize("session", SESSIONS, ids=lambda one: one.name)
def test_an_acceptor_learns_from_a_recorded_initiator(session: Session) -> None:
    _, _, asked = conversation(bytes.fromhex(session.acceptor_to_initiator_hex))
    _, _, answered = conversation(bytes.fromhex(session.initiator_to_acceptor_hex))
    is_hockeypuck = session.acceptor == "hockeypuck"
    ours = acceptor(
        digests(session.acceptor_set),
        full_below=HOCKEYPUCK_ASKS_POLY_FROM if is_hockeypuck else 150,
    )
    said = said_of(ours.take() + b"".join(feed(ours, encode(one)) for one in answered))
    assert ours.learned == digests(session.acceptor_learns)
    assert ours.end is not None
    assert ours.end.ending is Ending.DONE
    if session.name == "sks-initiates-to-hockeypuck-lost-elements":
        given = digests(session.acceptor_set) - digests(session.initiator_set)
        (lost,) = [one for one in said if isinstance(one, Elements)]
        assert set(lost.digests) == given, "Hockeypuck never sent these"
    elif is_hockeypuck:  # its order of children is another
        assert set(unordered(said)) == set(unordered(asked))
    else:
        assert unordered(said) == unordered(asked)


POLY_CASES = [(group, case) for group in recorded().interpolation.groups for case in group.cases]


@pytest.mark.parametrize(("group", "case"), POLY_CASES)
def test_samples_are_answered_with_elements_where_real_servers_can(
    group: PolyGroup, case: PolyCase
) -> None:
    ours = initiator(digests(group.local_set))
    request = PolyRequest(ROOT, case.remote_size, tuple(map(int, case.remote_samples)))
    (answer,) = said_of(feed(ours, encode(request) + encode(Flush())))
    if case.reply.type == "Elements":
        assert isinstance(answer, Elements)
        assert set(answer.digests) == digests(case.reply.elements)
        assert ours.learned == digests(case.remote_only)
    else:
        assert answer == SyncFail()
        assert ours.learned == set()


@pytest.mark.parametrize("session", SESSIONS, ids=lambda one: one.name)
def test_a_session_begins_with_what_came_with_the_end_of_the_handshake(session: Session) -> None:
    octets = bytes.fromhex(session.acceptor_to_initiator_hex)
    handshake = Handshake(Role.INITIATOR, Own(http_port=11371, identity=b"ours"))
    handshake.receive(octets)
    assert isinstance(handshake.outcome, Agreed)
    ours = Initiator(Tree(digests(session.initiator_set)), handshake.decoder)
    feed(ours, b"")
    assert ours.learned == digests(session.initiator_learns)
    _, _, asked = conversation(octets)
    assert ours.statistics.octets_in == sum(len(encode(one)) for one in asked)


SIZES = st.sampled_from([0, 1, 2, 5, 6, 49, 50, 51, 149, 150, 151, 200, 420])


@settings(max_examples=40)
@given(SIZES, st.integers(0, 12) | SIZES, st.integers(0, 12) | SIZES, st.integers(0, 2**32))
def test_both_learn_what_the_difference_of_their_sets_is(
    shared: int, only_one: int, only_other: int, seed: int
) -> None:
    one, other = sets(shared, only_one, only_other, seed)
    asks, answers = acceptor(one), initiator(other)
    converse(asks, answers)
    assert asks.end is not None
    assert answers.end is not None
    assert asks.end.ending is answers.end.ending is Ending.DONE
    assert asks.learned == other - one
    assert answers.learned == one - other


@pytest.mark.parametrize("more", range(-7, 8))
@pytest.mark.parametrize("fewer", [0, 1, 2, 3])
def test_so_are_they_around_what_the_arithmetic_can_tell(more: int, fewer: int) -> None:
    only_one, only_other = fewer + max(more, 0), fewer + max(-more, 0)
    one, other = sets(200, only_one, only_other, seed=100 * more + fewer)
    asks, answers = acceptor(one), initiator(other)
    converse(asks, answers)
    assert asks.learned == other - one
    assert answers.learned == one - other
    count = only_one + only_other
    is_solved_at_once = count <= (5 if more % 2 else 4) and abs(more) <= 5
    assert (answers.statistics.rounds == 1) == is_solved_at_once


def test_equal_sets_take_one_request_and_an_empty_answer() -> None:
    digests = drawn(300, seed=1)
    asks, answers = acceptor(digests), initiator(digests)
    converse(asks, answers)
    assert asks.learned == answers.learned == set()
    assert asks.statistics.requests == asks.statistics.messages == 1
    assert answers.statistics.solved == 1


def test_real_trees_come_to_the_same_as_the_model_though_their_shapes_differ() -> None:
    one, other = sets(600, 90, 40, seed=7)
    grown, shrunk = Tree(sorted(one)), Tree([*other, *drawn(300, seed=8)])
    shrunk.apply(removed=drawn(300, seed=8))
    asks = Acceptor(grown, connection())
    answers = Initiator(shrunk, connection())
    converse(asks, answers)
    assert asks.learned == other - one
    assert answers.learned == one - other


@pytest.mark.parametrize(("size", "kind"), [(149, FullRequest), (150, PolyRequest)])
def test_a_node_is_sent_in_full_where_sks_would(size: int, kind: type[Message]) -> None:
    request, flush = said_of(acceptor(drawn(size, seed=1)).take())
    assert isinstance(request, kind)
    assert flush == Flush()


def test_hundreds_of_nodes_are_asked_about_in_batches() -> None:
    digests = drawn(4_000, seed=3)
    asks = Acceptor(Tree(digests), connection(), full_below=5)
    answer = encode(SyncFail())
    batches = [said_of(asks.take())]
    while asks.end is None:
        *asked, flush = batches[-1]
        assert isinstance(flush, Flush)
        replies = (answer if isinstance(one, PolyRequest) else encode(Elements()) for one in asked)
        batches.append(said_of(feed(asks, b"".join(replies))))
    assert batches.pop() == [Done()]
    assert max(map(len, batches)) == 101, "a hundred, and a flush"
    full = [one for batch in batches for one in batch if isinstance(one, FullRequest)]
    assert {digest for one in full for digest in one.digests} == digests
    assert asks.statistics.rounds == len(batches)


def test_elements_for_full_elements_go_once_before_the_next_batch() -> None:
    mine, theirs = drawn(2_000, seed=3), drawn(30, seed=4)
    asks = Acceptor(Tree(mine | theirs), connection())
    asks.take()
    *asked, _ = said_of(feed(asks, encode(SyncFail())))
    first, *others = [one.prefix for one in asked if isinstance(one, PolyRequest)]
    below = tuple(digest for digest in theirs if first.covers(digest))
    answers: list[Message] = [FullElements(below), *(SyncFail() for _ in others)]
    owed, *batch = said_of(feed(asks, b"".join(map(encode, answers))))
    assert isinstance(owed, Elements)
    assert set(owed.digests) == {digest for digest in mine if first.covers(digest)}
    assert len(batch) == 4 * len(others) + 1
    answers = [SyncFail() if isinstance(it, PolyRequest) else Elements() for it in batch[:-1]]
    assert all(
        isinstance(it, FullRequest | Flush | Done)
        for it in said_of(feed(asks, b"".join(map(encode, answers))))
    )


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_pieces_of_any_size_come_to_the_same(size: int) -> None:
    one, other = sets(200, 30, 20, seed=size)

    def cut(octets: bytes) -> Iterable[bytes]:
        return (octets[at : at + size] for at in range(0, len(octets), size))

    asks, answers = acceptor(one), initiator(other)
    converse(asks, answers, cut)
    assert asks.learned == other - one
    assert answers.learned == one - other


@given(st.integers(0, 2**32))
@settings(max_examples=10)
def test_pieces_of_drawn_sizes_come_to_the_same(seed: int) -> None:
    one, other = sets(160, 10, 20, seed)
    random = Random(seed)

    def cut(octets: bytes) -> Iterable[bytes]:
        at = 0
        while at < len(octets):
            size = random.randint(1, 300)
            yield octets[at : at + size]
            at += size

    asks, answers = acceptor(one), initiator(other)
    converse(asks, answers, cut)
    assert (asks.learned, answers.learned) == (other - one, one - other)


def test_replies_are_given_out_at_once_and_not_before_the_flush() -> None:
    answers = initiator(drawn(20, seed=1))
    request = encode(FullRequest(ROOT, tuple(drawn(3, seed=2))))
    assert feed(answers, request * 5) == b""
    assert len(said_of(feed(answers, encode(Flush())))) == 5
    assert feed(answers, encode(Flush())) == b""


def test_much_that_is_told_is_taken_in_piece_by_piece_and_then_it_goes_on() -> None:
    mine, theirs = drawn(20, seed=1), drawn(3 * PIECE + 1, seed=2)
    asks = acceptor(mine)
    asks.take()
    asks.receive(encode(Elements(tuple(mine | theirs))))
    steps = 0
    while asks.end is None:
        assert asks.take() == b""
        assert len(asks.learned) <= steps * PIECE
        asks.advance()
        steps += 1
    assert steps == 1 + 4, "the message, and its pieces"
    assert asks.learned == theirs
    assert said_of(asks.take()) == [Done()]


def test_of_too_many_pieces_nobody_can_tell_which_are_left_to_later_sessions() -> None:
    theirs = in_order(drawn(9 * PIECE, seed=1))
    found = set[Digest]()
    for number in range(30):
        limits = SessionLimits(learned_max=PIECE, salt=bytes([number]))
        asks = acceptor((), limits)
        asks.take()
        feed(asks, encode(Elements(theirs)))
        assert len(asks.learned) == PIECE
        found |= asks.learned
    assert len(found) > 8 * PIECE, "whatever their order is, each has its turn"


@pytest.mark.parametrize("kind", [FullRequest, FullElements])
def test_who_lists_more_below_a_node_than_any_server_would_is_left(
    kind: type[FullRequest | FullElements],
) -> None:
    limits = SessionLimits(listed_max=9)
    one, other = drawn(9, seed=1), drawn(10, seed=2)

    def told(digests: set[Digest]) -> AnySession:
        if kind is FullRequest:
            session: AnySession = initiator((), limits)
            feed(session, encode(FullRequest(ROOT, tuple(digests))))
        else:
            session = acceptor(drawn(200, seed=3), limits)
            feed(session, encode(FullElements(tuple(digests))))
        return session

    well, badly = told(one), told(other)
    assert well.learned == one
    assert badly.learned == set()
    assert badly.end is not None
    assert badly.end.ending is Ending.LIMIT
    assert "more than 9 digests below one node" in badly.end.text


def test_a_request_below_a_leaf_is_answered_from_what_the_leaf_has_of_it() -> None:
    mine = drawn(20, seed=4)
    answers = Initiator(Tree(mine), connection())
    prefix = ROOT.child(1).child(2)
    octets = encode(FullRequest(prefix)) + encode(Flush())
    (answer,) = said_of(feed(answers, octets))
    assert isinstance(answer, Elements)
    assert set(answer.digests) == {one for one in mine if prefix.covers(one)} != set()


def test_elements_outside_of_what_was_asked_about_are_learned_and_no_attack() -> None:
    asks = acceptor(drawn(20, seed=1))
    elsewhere, held = drawn(5, seed=2), drawn(20, seed=1)
    asks.take()
    feed(asks, encode(Elements(tuple(elsewhere | held))))
    assert asks.learned == elsewhere
    assert asks.end is not None
    assert asks.end.ending is Ending.DONE


def test_an_empty_acceptor_gives_nothing_and_learns_all() -> None:
    asks, answers = acceptor(()), initiator(drawn(100, seed=1))
    converse(asks, answers)
    assert asks.learned == drawn(100, seed=1)


def test_what_was_learned_is_bounded_and_kept_and_the_rest_comes_later() -> None:
    one, other = drawn(0, seed=1), drawn(200, seed=2)
    limits = SessionLimits(learned_max=60)
    sessions = 0
    while one != other:
        asks, answers = acceptor(one, limits), initiator(other)
        converse(asks, answers)
        assert asks.end is not None
        assert answers.end is not None
        assert answers.end.ending is Ending.DONE
        assert len(asks.learned) <= 60
        one |= asks.learned
        sessions += 1
    assert sessions == 4


def test_so_it_is_for_an_initiator_which_answers_before_it_ends() -> None:
    one, other = drawn(200, seed=1), drawn(10, seed=2)
    answers = initiator(other, SessionLimits(learned_max=60))
    octets = encode(FullRequest(ROOT, tuple(one)))
    (answer,) = said_of(feed(answers, octets))
    assert answer == Elements(tuple(sorted(other, key=lambda it: it[::-1])))
    assert len(answers.learned) == 60
    assert answers.end is not None
    assert answers.end.ending is Ending.LIMIT


def test_what_is_learned_is_bounded_over_all_messages() -> None:
    answers = initiator((), SessionLimits(learned_max=60))
    for seed in range(3):
        feed(answers, encode(Elements(tuple(drawn(20, seed)))))
        feed(answers, encode(Elements(tuple(drawn(20, seed)))))
    assert answers.end is None, "sixty may be learned, and what is told twice counts once"
    feed(answers, encode(Elements(tuple(drawn(1, seed=4)))))
    assert answers.end is not None
    assert answers.end.ending is Ending.LIMIT
    assert len(answers.learned) == 60


def test_what_is_given_is_bounded_and_the_rest_comes_later() -> None:
    one, other = drawn(0, seed=1), drawn(700, seed=2)
    limits = SessionLimits(given_max=200)
    for session in range(1, 5):
        asks, answers = acceptor(one), initiator(other, limits)
        converse(asks, answers)
        assert answers.statistics.given <= 200
        one |= asks.learned
        assert len(one) == min(700, 200 * session)
    assert one == other


def test_as_much_is_given_as_may_be_though_the_partner_lists_some_of_it() -> None:
    held = drawn(400, seed=1)
    listed = {one for one in held if ROOT.child(0).covers(one)}
    answers = initiator(held, SessionLimits(given_max=5))
    request = encode(FullRequest(ROOT, tuple(listed)))
    (answer,) = said_of(feed(answers, request + encode(Flush())))
    assert isinstance(answer, Elements)
    assert len(answer.digests) == 5
    assert not set(answer.digests) & listed


def test_full_elements_are_paid_for_within_the_same_bound() -> None:
    asks = acceptor(drawn(700, seed=2), SessionLimits(given_max=200))
    asks.take()
    owed, done = said_of(feed(asks, encode(FullElements())))
    assert isinstance(owed, Elements)
    assert len(owed.digests) == 200
    assert done == Done()


FLOOD = {Digest(number.to_bytes(16)) for number in range(1 << 64, (1 << 64) + 500)}
"""Digests made so that they are the first in each order that others know."""
OTHERS = drawn(60, seed=3)


def salted(number: int) -> SessionLimits:
    return SessionLimits(learned_max=100, given_max=100, salt=bytes([number]))


def test_no_flood_is_always_what_is_learned() -> None:
    asked, answered = set[Digest](), set[Digest]()
    for number in range(50):
        asks, answers = acceptor((), salted(number)), initiator((), salted(number))
        feed(asks, encode(Elements(in_order(FLOOD | OTHERS))))
        feed(answers, encode(FullRequest(ROOT, in_order(FLOOD | OTHERS))))
        assert len(asks.learned) == len(answers.learned) == 100
        asked |= asks.learned
        answered |= answers.learned
    assert asked > OTHERS
    assert answered > OTHERS


@pytest.mark.slow
def test_no_flood_is_always_what_is_given() -> None:
    given = set[Digest]()
    for number in range(50):
        answers = initiator(FLOOD | OTHERS, salted(number))
        (answer,) = said_of(feed(answers, encode(FullRequest(ROOT)) + encode(Flush())))
        assert isinstance(answer, Elements)
        assert len(answer.digests) == 100
        given |= set(answer.digests)
    assert given > OTHERS

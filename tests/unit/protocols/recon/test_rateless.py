"""Sessions by coded symbols: with each other, in the plain way where these fail, and under lies."""

from collections.abc import Callable, Iterable
from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.frames import Decoder
from keygrove_protocols.recon.handshake import Agreed, Handshake, Own, Role
from keygrove_protocols.recon.messages import (
    Config,
    DbRequest,
    Done,
    Elements,
    Error,
    Flush,
    FullElements,
    FullRequest,
    Message,
    MoreSymbols,
    Symbols,
    SyncFail,
    encode,
)
from keygrove_protocols.recon.peeling import AT_ONCE, Peeling
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.rateless import (
    FIRST,
    RatelessAcceptor,
    RatelessInitiator,
    Shown,
    session_of,
)
from keygrove_protocols.recon.session import Ending, SessionLimits
from keygrove_protocols.recon.sketch import MODULUS, SYMBOL_BYTES, SYMBOLS, Sketch, coded
from keygrove_protocols.recon.terms import PLAIN, RATELESS
from keygrove_protocols.recon.tree import Tree
from tests.unit.protocols.recon.model import (
    connection,
    converse,
    drawn,
    ending,
    feed,
    said_of,
    sets,
    text,
)


def shown(digests: Iterable[Digest]) -> Shown:
    digests = set(digests)
    return Shown(Tree(digests), Sketch(digests))


def asking(digests: Iterable[Digest], limits: SessionLimits | None = None) -> RatelessAcceptor:
    return RatelessAcceptor(shown(digests), connection(), limits)


def answering(digests: Iterable[Digest], limits: SessionLimits | None = None) -> RatelessInitiator:
    return RatelessInitiator(shown(digests), connection(), limits)


FEW = st.integers(0, 12) | st.sampled_from([47, 50, 96, 200])


@settings(max_examples=60)
@given(st.sampled_from([0, 1, 60, 300]), FEW, FEW, st.integers(0, 2**32))
def test_both_learn_what_plain_set_differences_are(
    shared: int, only_one: int, only_other: int, seed: int
) -> None:
    one, other = sets(shared, only_one, only_other, seed)
    asks, answers = asking(one), answering(other)
    converse(asks, answers)
    assert (asks.learned, answers.learned) == (other - one, one - other)
    assert ending(asks) is ending(answers) is Ending.DONE
    assert answers.statistics.gave_up == asks.statistics.gave_up == ""


@pytest.mark.parametrize("seed", range(5))
def test_a_hundred_differences_take_two_round_trips_and_8_kb(seed: int) -> None:
    one, other = sets(3_000, 50, 50, seed)
    asks, answers = asking(one), answering(other)
    converse(asks, answers)
    assert asks.learned == other - one
    assert asks.statistics.rounds <= 2
    assert asks.statistics.octets_out + answers.statistics.octets_out <= 8_000


def test_thousands_of_differences_take_a_few_messages_of_a_bounded_length() -> None:
    one, other = sets(100, 3_600, 3_600, seed=1)
    asks, answers = asking(one), answering(other)
    converse(asks, answers)
    assert (asks.learned, answers.learned) == (other - one, one - other)
    assert 3 <= asks.statistics.rounds <= 5
    assert asks.statistics.symbols <= 1.6 * 7_200


@pytest.mark.parametrize("length", [1, 2, 3, 7, 997])
def test_octets_may_come_in_any_pieces(length: int) -> None:
    one, other = sets(50, 60, 60, seed=2)
    asks, answers = asking(one), answering(other)

    def cut(octets: bytes) -> Iterable[bytes]:
        return (octets[at : at + length] for at in range(0, len(octets), length))

    converse(asks, answers, cut)
    assert (asks.learned, answers.learned) == (other - one, one - other)


def test_work_on_symbols_is_done_in_steps_between_which_others_have_their_turn() -> None:
    one, other = sets(0, 500, 500, seed=3)
    answers = answering(other)
    octets = Sketch(one).octets(0, FIRST)
    answers.receive(encode(Symbols(len(one), 0, octets)))
    answers.advance()
    answers.advance()
    (more,) = said_of(answers.take())
    assert isinstance(more, MoreSymbols)
    octets = Sketch(one).octets(FIRST, more.until)
    answers.receive(encode(Symbols(len(one), FIRST, octets)))
    steps, said = 0, b""
    while not said and answers.advance():
        steps, said = steps + 1, answers.take()
    assert steps > 10
    assert len(said_of(said)) == 1


def converge_in_the_plain_way(one: set[Digest], other: set[Digest]) -> str:
    """Why symbols were given up."""
    asks, answers = asking(one), answering(other)
    converse(asks, answers)
    assert (asks.learned, answers.learned) == (other - one, one - other)
    assert ending(asks) is ending(answers) is Ending.DONE
    assert asks.statistics.gave_up == "the partner cannot tell what differs from symbols"
    return answers.statistics.gave_up


def test_one_set_that_is_much_larger_is_told_in_the_plain_way() -> None:
    found = converge_in_the_plain_way(drawn(0, seed=1), drawn(SYMBOLS + 1, seed=1))
    assert found == "one set has 16,385 digests more than the other"


def test_too_many_differences_are_told_in_the_plain_way_after_the_first_symbols() -> None:
    one, other = drawn(15_000, seed=1), drawn(15_000, seed=2)
    found = converge_in_the_plain_way(one, other)
    assert "digests differ" in found


def test_chosen_digests_that_share_their_places_are_told_in_the_plain_way() -> None:
    by_places = dict[tuple[int, ...], Digest]()
    for digest in drawn(6_000, seed=1):
        other = by_places.setdefault(tuple(coded(digest).places(FIRST)), digest)
        if other != digest:
            break
    else:
        pytest.fail("there is no such pair: draw more")
    common = drawn(40, seed=2)
    found = converge_in_the_plain_way(common | {digest}, common | {other})
    assert found == "some digests share their places"


def numbers_as_symbols(numbers: Iterable[int]) -> bytes:
    return b"".join((one % MODULUS).to_bytes(SYMBOL_BYTES) for one in numbers)


def lied_to(mine: set[Digest], lie: Callable[[int], int]) -> RatelessInitiator:
    """By whom sends symbols of our set with something added at each place."""
    answers = answering(mine)
    sums = Sketch(mine).sums(0, SYMBOLS)
    sent, until, octets = 0, FIRST, b""
    while True:
        octets = numbers_as_symbols(sums[at] + lie(at) for at in range(sent, until))
        said = said_of(feed(answers, encode(Symbols(len(mine), sent, octets))))
        if not said or not isinstance(said[0], MoreSymbols):
            assert said == [SyncFail()]
            return answers
        sent, until = until, said[0].until
        assert sent < until <= sent + AT_ONCE


MINE = drawn(100, seed=1)
STRANGER = min(drawn(1, seed=2))


def single(digest: Digest, sign: int) -> Callable[[int], int]:
    one = coded(digest)
    places = set(one.places(SYMBOLS))
    return lambda at: sign * one.number if at in places else 0


def everywhere(_: int) -> int:
    return coded(STRANGER).number


def of_no_weight(at: int) -> int:
    return 1 << 191 | at


def of_a_wrong_check(at: int) -> int:
    return coded(STRANGER).number ^ 1 if at % 9 else 0


def noise(at: int) -> int:
    return (5 if at % 2 else -5) << 199


LIES: dict[str, tuple[Callable[[int], int], str]] = {
    "we have what we have not": (single(STRANGER, -1), "its symbols contradict our set"),
    "it has what we have twice": (single(min(MINE), 1), "its symbols contradict our set"),
    "a sample point": (single(Digest(bytes(16)), 1), "its symbols are of no set"),
    "one element everywhere": (everywhere, "its symbols are of no set"),
    "endless nothings": (of_no_weight, "16,384 symbols were not enough"),
    "a wrong check": (of_a_wrong_check, "16,384 symbols were not enough"),
    "noise": (noise, "digests differ"),
}


@pytest.mark.parametrize(("lie", "why"), LIES.values(), ids=LIES)
def test_symbols_that_lie_end_as_plain_recon_after_bounded_octets_and_rounds(
    lie: Callable[[int], int], why: str
) -> None:
    answers = lied_to(MINE, lie)
    assert why in answers.statistics.gave_up
    assert answers.statistics.rounds <= 30
    assert answers.statistics.octets_in <= SYMBOLS * SYMBOL_BYTES + 30 * 100
    assert answers.learned == set(), "what was not told wholly is not believed"
    theirs = drawn(3, seed=3)
    said = said_of(feed(answers, encode(FullRequest(ROOT, tuple(theirs))) + encode(Flush())))
    assert [type(one) for one in said] == [Elements]
    assert answers.learned == theirs, "it goes on in the plain way"


def test_no_more_symbols_are_wanted_than_are_kept() -> None:
    other = Sketch(drawn(11_800, seed=1))
    peeling = Peeling(Sketch(), Tree())
    peeling.extend(other.octets(0, SYMBOLS - 1_000))
    assert 10_000 < peeling.estimate < 14_000
    assert peeling.wanted == SYMBOLS


def test_symbols_at_random_are_given_up_at_once() -> None:
    random = Random(1)
    answers = lied_to(MINE, lambda _: random.getrandbits(8 * SYMBOL_BYTES))
    assert answers.statistics.rounds == 1


def first_symbols(size: int = len(MINE), start: int = 0, count: int = FIRST) -> bytes:
    return encode(Symbols(size, start, bytes(count * SYMBOL_BYTES)))


@pytest.mark.parametrize(
    "octets",
    [
        first_symbols(start=1),
        first_symbols(start=1, count=FIRST - 1),
        first_symbols(count=0),
        first_symbols(count=FIRST - 1),
        first_symbols(count=FIRST + 1),
        first_symbols(count=SYMBOLS),
    ],
)
def test_counts_of_symbols_that_lie_end_the_session(octets: bytes) -> None:
    answers = answering(MINE)
    said = said_of(feed(answers, octets))
    assert ending(answers) is Ending.VIOLATION
    assert "those from 0 up to 96 are right" in text(answers)
    assert [type(one) for one in said] == [Error]


@pytest.mark.parametrize(
    "message",
    [FullRequest(ROOT), Flush(), Done(), SyncFail(), MoreSymbols(200), Config(()), DbRequest(b"")],
)
def test_what_is_said_where_symbols_should_come_ends_the_session(message: Message) -> None:
    answers = answering(MINE)
    feed(answers, encode(message))
    assert ending(answers) is Ending.VIOLATION


def test_symbols_after_the_answer_end_the_session() -> None:
    answers = answering(MINE)
    octets = encode(Symbols(len(MINE), 0, Sketch(MINE).octets(0, FIRST)))
    assert said_of(feed(answers, octets)) == [Elements()]
    feed(answers, octets)
    assert ending(answers) is Ending.VIOLATION


@pytest.mark.parametrize("until", [0, 95, 96, 119, FIRST + AT_ONCE + 1, SYMBOLS, 2**31 - 1])
def test_an_acceptor_sends_no_symbols_that_nobody_needs(until: int) -> None:
    asks = asking(MINE)
    asks.take()
    said = said_of(feed(asks, encode(MoreSymbols(until))))
    assert ending(asks) is Ending.VIOLATION
    assert "between 120 and 4192 are right" in text(asks)
    assert [type(one) for one in said] == [Error]


def test_an_acceptor_that_is_asked_for_ever_more_stops_at_what_it_keeps() -> None:
    asks = asking(MINE)
    octets = len(asks.take())
    while asks.end is None:
        sent = asks.statistics.symbols
        least = min(sent + sent // 4, SYMBOLS)
        octets += len(feed(asks, encode(MoreSymbols(least))))
    assert ending(asks) is Ending.VIOLATION
    assert asks.statistics.symbols == SYMBOLS
    assert asks.statistics.rounds <= 30
    assert octets <= SYMBOLS * SYMBOL_BYTES + 30 * 100


@pytest.mark.parametrize(
    "message", [FullElements(), Flush(), Done(), FullRequest(ROOT), Symbols(0, 0, b"")]
)
def test_what_no_rateless_initiator_says_ends_the_session(message: Message) -> None:
    asks = asking(MINE)
    feed(asks, encode(message))
    assert ending(asks) is Ending.VIOLATION


def test_what_is_learned_and_given_is_bounded_as_in_plain_sessions() -> None:
    one, other = sets(10, 80, 80, seed=5)
    asks, answers = asking(one), answering(other, SessionLimits(learned_max=60, given_max=30))
    converse(asks, answers)
    assert len(asks.learned) == answers.statistics.given == 30
    assert len(answers.learned) == 60
    assert ending(answers) is Ending.LIMIT
    asks, answers = asking(one, SessionLimits(learned_max=60)), answering(other)
    converse(asks, answers)
    assert len(asks.learned) == 60
    assert ending(asks) is Ending.LIMIT
    assert (ending(answers), answers.learned) == (Ending.DONE, one - other)


@pytest.mark.slow
def test_whoever_closes_at_any_octet_leaves_nothing_half_told() -> None:
    one, other = sets(20, 5, 5, seed=6)
    whole = asking(one).take()
    for at in range(len(whole)):
        answers = answering(other)
        assert feed(answers, whole[:at]) == b""
        answers.closed()
        assert (ending(answers), answers.learned) == (Ending.CLOSED, set())


OURS = [(), (RATELESS,)]
THEIRS = [
    *OURS,
    ("rateless-2",),
    ("rateless-2", RATELESS),
    (RATELESS, "rateless-2"),
    ("", "x" * 90),
]


@pytest.mark.parametrize(("ours", "theirs"), [*product(OURS, THEIRS)])
@pytest.mark.parametrize("role", Role)
def test_old_and_new_servers_converge_by_the_way_that_both_know(
    role: Role, ours: tuple[str, ...], theirs: tuple[str, ...]
) -> None:
    one, other = sets(30, 7, 7, seed=7)
    ways = (ours, theirs) if role is Role.INITIATOR else (theirs, ours)
    begins = Handshake(Role.INITIATOR, Own(http_port=1, identity=b"1", ways=ways[0]))
    accepts = Handshake(Role.ACCEPTOR, Own(http_port=2, identity=b"2", ways=ways[1]))
    begins.timed_out()
    while octets := begins.take():
        accepts.receive(octets)
        begins.receive(accepts.take())
    way = RATELESS if RATELESS in ours and RATELESS in theirs else PLAIN
    assert way_of(begins) == way_of(accepts) == way
    answers = session_of(Role.INITIATOR, way, shown(one), begins.decoder)
    asks = session_of(Role.ACCEPTOR, way, shown(other), accepts.decoder)
    assert (asks.statistics.symbols > 0) == (way == RATELESS)
    converse(asks, answers)
    assert (asks.learned, answers.learned) == (one - other, other - one)
    assert ending(asks) is ending(answers) is Ending.DONE


def way_of(handshake: Handshake) -> str:
    assert isinstance(handshake.outcome, Agreed)
    return handshake.outcome.way


def test_plain_sessions_take_no_symbols() -> None:
    for role in Role:
        session = session_of(role, PLAIN, shown(MINE), fed(first_symbols()))
        while session.advance():
            pass
        assert ending(session) is Ending.VIOLATION


def fed(octets: bytes) -> Decoder:
    decoder = connection()
    decoder.feed(octets)
    return decoder

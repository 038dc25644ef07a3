"""Sessions with partners that are broken, impatient or hostile."""

from collections.abc import Callable
from random import Random

import pytest

from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.field import P
from keygrove_protocols.recon.messages import (
    FRAME_OCTETS_MAX,
    Config,
    DbRequest,
    Done,
    Elements,
    Error,
    Flush,
    FullElements,
    FullRequest,
    Message,
    PolyRequest,
    SyncFail,
    encode,
    string,
)
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.session import Ending, Session, SessionLimits
from tests.unit.protocols.recon.model import (
    acceptor,
    converse,
    drawn,
    ending,
    feed,
    initiator,
    said_of,
    sets,
    text,
)
from tests.unit.protocols.recon.recorded import OddRequest, recorded

ONE, OTHER = sets(160, 30, 20, seed=1)
BIG = drawn(200, seed=1)


def answers_of(octets: bytes) -> tuple[Session, bytes]:
    session = initiator(drawn(20, seed=1))
    return session, feed(session, octets)


REPLIED = {"Full for a prefix below its leaf", "Poly for a prefix below its leaf"}
"""What SKS ends the session for; Hockeypuck answers from elsewhere, too."""
ODD = recorded().answers_to_odd_requests["sks"]


@pytest.mark.parametrize("odd", ODD, ids=lambda one: one.case)
def test_odd_requests_are_answered_or_end_this_session_only(odd: OddRequest) -> None:
    session, said = answers_of(bytes.fromhex(odd.sent_hex) + encode(Flush()))
    found = said_of(said)
    if odd.case in REPLIED:
        (answer,) = found
        assert isinstance(answer, Elements | SyncFail)
    elif odd.case == "Done straight away":
        assert ending(session) is Ending.DONE
        assert found == []
    else:
        assert ending(session) is Ending.VIOLATION
        assert [type(one) for one in found] == [Error]


@pytest.mark.parametrize("message", [Config(()), DbRequest(b""), FullElements(), SyncFail()])
def test_what_no_acceptor_says_ends_the_session(message: Message) -> None:
    session, said = answers_of(encode(FullRequest(ROOT, tuple(OTHER))) + encode(message))
    assert ending(session) is Ending.VIOLATION
    (error,) = said_of(said)
    assert error == Error(text(session).encode())
    assert session.learned == OTHER - drawn(20, seed=1), "what was learned is kept"


@pytest.mark.parametrize(
    "message", [Config(()), DbRequest(b""), Done(), Flush(), FullRequest(ROOT)]
)
def test_what_no_initiator_says_ends_the_session(message: Message) -> None:
    asks = acceptor(BIG)
    feed(asks, encode(SyncFail()) + encode(Elements(tuple(OTHER))) + encode(message))
    assert ending(asks) is Ending.VIOLATION
    assert asks.learned == OTHER - BIG


@pytest.mark.parametrize("message", [SyncFail(), FullElements()])
def test_a_full_request_cannot_be_answered_so(message: Message) -> None:
    asks = acceptor(drawn(20, seed=1))
    feed(asks, encode(message))
    assert ending(asks) is Ending.VIOLATION


def test_after_the_end_nothing_more_is_acted_on() -> None:
    session, _ = answers_of(encode(Done()))
    said = [feed(session, encode(one)) for one in (FullRequest(ROOT, tuple(OTHER)), Flush())]
    assert said == [b"", b""]
    assert session.learned == set()
    session.closed()
    assert ending(session) is Ending.DONE


def test_an_error_ends_the_session_and_its_text_is_fit_for_a_log() -> None:
    session, said = answers_of(encode(Error(b"unexpected\nmessage \x1b[2J" + b"x" * 5_000)))
    assert ending(session) is Ending.FAILED
    assert text(session).startswith("unexpected message")
    assert text(session).isprintable()
    assert len(text(session)) == 200
    assert said == b""


def said_by(role: str) -> tuple[bytes, list[int]]:
    """What one side says in a whole session, and where its messages end."""
    asks, answers = acceptor(ONE), initiator(OTHER)
    said = {"acceptor": bytearray(), "initiator": bytearray()}
    octets = asks.take()
    while octets:
        said["acceptor"] += octets
        octets = feed(answers, octets)
        said["initiator"] += octets
        octets = feed(asks, octets)
    whole = bytes(said[role])
    ends, at = [0], 0
    for message in said_of(whole):
        at += len(encode(message))
        ends.append(at)
    return whole, ends


MAKERS: dict[str, Callable[[], Session]] = {
    "acceptor": lambda: initiator(OTHER),
    "initiator": lambda: acceptor(ONE),
}


@pytest.mark.parametrize("role", MAKERS)
def test_whoever_closes_after_a_message_leaves_what_was_learned_until_then(role: str) -> None:
    whole, ends = said_by(role)
    wanted = ONE - OTHER if role == "acceptor" else OTHER - ONE
    before = set[Digest]()
    for end in ends[:-1]:
        session = MAKERS[role]()
        feed(session, whole[:end])
        session.closed()
        assert ending(session) is Ending.CLOSED
        assert before <= session.learned <= wanted
        before = set(session.learned)
    session = MAKERS[role]()
    feed(session, whole)
    assert ending(session) is Ending.DONE
    assert session.learned == wanted


@pytest.mark.parametrize("role", MAKERS)
def test_whoever_closes_at_any_octet_leaves_what_was_learned_until_then(role: str) -> None:
    whole, ends = said_by(role)
    session, before = MAKERS[role](), MAKERS[role]()
    for at in range(len(whole) - 1):
        feed(session, whole[at : at + 1])
        assert session.end is None
    feed(before, whole[: ends[-2]])
    assert session.learned == before.learned
    session.closed()
    assert ending(session) is Ending.CLOSED
    assert text(session) == "it closed in the middle of a message"


@pytest.mark.parametrize("role", MAKERS)
def test_a_length_that_lies_ends_the_session_or_waits_for_what_never_comes(role: str) -> None:
    whole, ends = said_by(role)
    for at in ends[:-1]:
        length = int.from_bytes(whole[at : at + 4])
        for lie in (0, length - 1, length + 1, FRAME_OCTETS_MAX + 1, 2**31, 2**32 - 1):
            session = MAKERS[role]()
            feed(session, whole[:at] + lie.to_bytes(4) + whole[at + 4 :])
            session.closed()
            assert ending(session) in (Ending.VIOLATION, Ending.LIMIT, Ending.CLOSED)


@pytest.mark.parametrize("role", MAKERS)
def test_any_octet_may_be_wrong(role: str) -> None:
    whole, _ = said_by(role)
    random = Random(1)
    for _ in range(300):
        at = random.randrange(len(whole))
        session = MAKERS[role]()
        feed(session, whole[:at] + random.randbytes(1) + whole[at + 1 :])
        session.closed()
        assert session.end is not None


def test_made_up_samples_teach_nothing() -> None:
    random = Random(2)
    session = initiator(BIG)
    for size in range(195, 206):
        samples = tuple(random.randrange(1, P) for _ in range(6))
        said = feed(session, encode(PolyRequest(ROOT, size, samples)) + encode(Flush()))
        assert said_of(said) == [SyncFail()]
    for samples in ((0,) * 6, (1,) * 6, (P - 1,) * 6, (0, 1, 1, 1, 1, 1)):
        said = feed(session, encode(PolyRequest(ROOT, 200, samples)) + encode(Flush()))
        assert said_of(said) == [SyncFail()]
    assert session.learned == set()


def test_whoever_fails_always_is_asked_about_each_node_once_and_then_let_go() -> None:
    asks = acceptor(drawn(2_000, seed=5), full_below=1)
    octets = asks.take()
    names: list[object] = []
    while octets:
        asked = said_of(octets)
        requests = [one for one in asked if isinstance(one, PolyRequest | FullRequest)]
        names += [one.prefix for one in requests]
        octets = feed(
            asks,
            b"".join(
                encode(SyncFail() if isinstance(one, PolyRequest) else Elements())
                for one in requests
            ),
        )
    assert ending(asks) is Ending.DONE
    assert len(names) == len(set(names)) == asks.statistics.requests


def test_requests_are_bounded_and_what_was_learned_is_kept() -> None:
    asks = acceptor(drawn(2_000, seed=5), SessionLimits(requests_max=6))
    octets = asks.take()
    learned = drawn(3, seed=6)
    while octets:
        requests = [one for one in said_of(octets) if isinstance(one, PolyRequest | FullRequest)]
        replies = [
            SyncFail() if isinstance(one, PolyRequest) else Elements(tuple(learned))
            for one in requests
        ]
        octets = feed(asks, b"".join(map(encode, replies)))
    assert ending(asks) is Ending.LIMIT
    assert asks.statistics.requests == 6
    assert asks.learned == learned


@pytest.mark.parametrize(
    ("limits", "octets"),
    [
        (SessionLimits(messages_max=3), encode(Flush()) * 4),
        (SessionLimits(octets_max=30), encode(Elements(tuple(sorted(drawn(2, seed=1)))))),
        (SessionLimits(unanswered_max=3), encode(FullRequest(ROOT)) * 4),
        (SessionLimits(), b"\x01\x00\x00\x01\x02"),
    ],
)
def test_what_a_partner_sends_is_bounded(limits: SessionLimits, octets: bytes) -> None:
    session = initiator(ONE, limits)
    feed(session, encode(Elements(())) if limits.messages_max > 3 else b"")
    assert session.end is None
    (error,) = said_of(feed(session, octets))
    assert ending(session) is Ending.LIMIT
    assert error == Error(text(session).encode())


def test_what_is_at_the_limits_is_fine() -> None:
    octets = encode(FullRequest(ROOT)) * 3
    limits = SessionLimits(messages_max=3, octets_max=len(octets), unanswered_max=3)
    session = initiator(ONE, limits)
    feed(session, octets)
    assert session.end is None


def test_flushes_begin_a_new_batch() -> None:
    session = initiator(ONE, SessionLimits(unanswered_max=3))
    feed(session, (encode(FullRequest(ROOT)) * 3 + encode(Flush())) * 3)
    assert session.end is None


def test_elements_that_are_no_digests_are_counted_and_dropped() -> None:
    value = (1 << 128).to_bytes(17, "little")
    session, _ = answers_of(string(b"\x02" + (1).to_bytes(4) + value))
    assert session.statistics.left_out == 1
    assert session.learned == set()
    assert session.end is None


def test_statistics_tell_what_went_over_the_wire() -> None:
    asks, answers = acceptor(ONE), initiator(OTHER)
    converse(asks, answers)
    one, other = asks.statistics, answers.statistics
    assert (one.octets_in, one.octets_out) == (other.octets_out, other.octets_in)
    assert one.requests == other.requests == one.messages
    assert one.rounds == other.rounds
    assert other.messages == one.requests + one.rounds + 1
    assert one.given + other.given == len(OTHER - ONE)

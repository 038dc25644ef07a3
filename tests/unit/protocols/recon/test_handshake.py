"""Handshakes: with what was recorded of SKS and Hockeypuck, and with each other."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.frames import Decoder, Verdict, encode_verdict
from keygrove_protocols.recon.handshake import Agreed, Handshake, Own, Refused, Role
from keygrove_protocols.recon.messages import Config, Done, Elements, encode, string
from keygrove_protocols.recon.terms import (
    DEFAULT_FILTERS,
    PLAIN,
    TRANSIENT,
    WAYS_MAX,
    Program,
    Refusal,
    filters_of,
)
from tests.unit.protocols.recon.recorded import ConfigCase, Session, conversation, recorded

OWN = Own(http_port=11371, identity=b"ours")
PASSED = encode_verdict(Verdict())
SKS_CASES = recorded().config_cases["sks"]
HOCKEYPUCK_CASES = recorded().config_cases["hockeypuck"]


def config(case: str, cases: Sequence[ConfigCase] = SKS_CASES) -> bytes:
    (found,) = [one.sent_hex for one in cases if one.case == case]
    return bytes.fromhex(found)


def said(octets: bytes) -> tuple[Config | None, Verdict | None]:
    decoder = Decoder()
    decoder.feed(octets)
    message = decoder.message()
    assert message is None or isinstance(message, Config)
    return message, decoder.verdict() if message else None


def refused(handshake: Handshake) -> Refused:
    assert isinstance(handshake.outcome, Refused)
    return handshake.outcome


def agreed(handshake: Handshake) -> Agreed:
    assert isinstance(handshake.outcome, Agreed)
    return handshake.outcome


def converse(one: Handshake, other: Handshake) -> None:
    """Until neither has anything to say."""
    while (octets := (one.take(), other.take())) != (b"", b""):
        other.receive(octets[0])
        one.receive(octets[1])


@pytest.mark.parametrize("session", recorded().sessions, ids=lambda one: one.name)
@pytest.mark.parametrize("role", Role)
def test_a_recorded_partner_sees_its_own_filters_and_agrees(session: Session, role: Role) -> None:
    octets = bytes.fromhex(
        session.acceptor_to_initiator_hex
        if role is Role.INITIATOR
        else session.initiator_to_acceptor_hex
    )
    theirs, _, messages = conversation(octets)
    handshake = Handshake(role, OWN)
    handshake.receive(octets)
    outcome = agreed(handshake)
    sent, verdict = said(handshake.take())
    assert sent is not None
    assert filters_of(sent) == filters_of(theirs) == outcome.partner.filters
    assert verdict == Verdict()
    assert outcome.partner.http_port is not None
    assert handshake.decoder.message() == messages[0], "what is behind is the session's"


@pytest.mark.parametrize("case", SKS_CASES, ids=lambda one: one.case)
def test_of_a_config_we_think_as_sks_does_and_say_it_in_its_words(case: ConfigCase) -> None:
    handshake = Handshake(Role.ACCEPTOR, Own(http_port=1, identity=b"", pinned=DEFAULT_FILTERS))
    handshake.receive(bytes.fromhex(case.sent_hex))
    _, verdict = said(handshake.take())
    assert verdict is not None
    if case.reply == "passed":
        assert verdict.reason is None
        return
    assert verdict.reason is not None
    start = "Error parsing configdata:"
    if case.reason is not None and case.reason.startswith(start):
        assert verdict.reason.startswith(start.encode()), "what follows is OCaml's"
    else:
        assert verdict.reason.decode() == case.reason


NEWER_IS_FINE = {"version 0.1.5", "version 1.1.5", "filters reordered"}
"""What Hockeypuck refuses, comparing octets, and SKS does not."""


@pytest.mark.parametrize("case", HOCKEYPUCK_CASES, ids=lambda one: one.case)
def test_what_hockeypuck_takes_we_take(case: ConfigCase) -> None:
    filters = said(config("same", HOCKEYPUCK_CASES))[0]
    assert filters is not None
    handshake = Handshake(Role.ACCEPTOR, Own(http_port=1, identity=b"", pinned=filters_of(filters)))
    handshake.receive(bytes.fromhex(case.sent_hex))
    is_taken = case.reply == "passed" or case.case in NEWER_IS_FINE
    assert (handshake.outcome is None) == is_taken


REFUSALS = {
    "version 0.1.4": Refusal.VERSION,
    "version 1.1.6+": Refusal.VERSION,
    "filters empty": Refusal.FILTERS,
    "bitquantum 3": Refusal.BITQUANTUM,
    "mbar 4": Refusal.MBAR,
}


@pytest.mark.parametrize("cases", [SKS_CASES, HOCKEYPUCK_CASES], ids=["sks", "hockeypuck"])
@pytest.mark.parametrize("name", REFUSALS)
def test_the_words_of_a_real_servers_refusal_are_understood(
    name: str, cases: list[ConfigCase]
) -> None:
    (case,) = [one for one in cases if one.case == name]
    assert case.reason is not None
    handshake = Handshake(Role.INITIATOR, OWN)
    handshake.receive(config("same", cases) + encode_verdict(Verdict(case.reason.encode())))
    found = refused(handshake)
    of_sks = {"version 1.1.6+": Refusal.MALFORMED} if cases is SKS_CASES else {}
    assert found.refusal is of_sks.get(name, REFUSALS[name])
    assert found.is_theirs
    assert found.text.isprintable()


def test_who_is_busy_says_so_or_closes_and_is_tried_again() -> None:
    says = Handshake(Role.INITIATOR, OWN)
    says.receive(config("same"))
    says.receive(encode_verdict(Verdict(b"sync not available, currently mutating")))
    closes = Handshake(Role.INITIATOR, OWN)
    closes.closed()
    assert refused(says).refusal is refused(closes).refusal is Refusal.BUSY
    assert Refusal.BUSY in TRANSIENT


@pytest.mark.parametrize("end", [1, 20, 100])
def test_who_closes_in_the_middle_of_a_config_is_not_merely_busy(end: int) -> None:
    handshake = Handshake(Role.INITIATOR, OWN)
    handshake.receive(config("same")[:end])
    handshake.closed()
    assert refused(handshake).refusal is Refusal.CLOSED


def test_who_closes_before_its_verdict_has_refused_nothing() -> None:
    handshake = Handshake(Role.INITIATOR, OWN)
    handshake.receive(config("same"))
    handshake.closed()
    found = refused(handshake)
    assert (found.refusal, found.known) == (Refusal.CLOSED, DEFAULT_FILTERS)


def test_who_closes_in_the_middle_of_a_refusal_has_refused() -> None:
    handshake = Handshake(Role.INITIATOR, OWN)
    handshake.receive(config("same") + string(b"failed") + b"\x00\x00")
    assert handshake.outcome is None
    handshake.closed()
    assert refused(handshake).is_theirs
    assert refused(handshake).refusal is Refusal.OTHER


def test_our_config_waits_for_the_partners_and_not_for_ever() -> None:
    handshake = Handshake(Role.INITIATOR, Own(http_port=1, identity=b"", known=b"seen.last"))
    assert handshake.take() == b""
    assert handshake.awaits_config
    handshake.timed_out()
    sent, verdict = said(handshake.take())
    assert sent is not None
    assert filters_of(sent) == b"seen.last"
    assert verdict is None
    assert not handshake.awaits_config
    handshake.timed_out()
    assert refused(handshake).refusal is Refusal.TIMED_OUT


def test_other_filters_than_were_sent_are_refused_and_told_for_the_next_time() -> None:
    handshake = Handshake(Role.INITIATOR, Own(http_port=1, identity=b"", known=b"seen.last"))
    handshake.timed_out()
    handshake.receive(config("same"))
    found = refused(handshake)
    assert (found.refusal, found.known, found.is_theirs) == (
        Refusal.FILTERS,
        DEFAULT_FILTERS,
        False,
    )


def test_pinned_filters_are_sent_at_once() -> None:
    handshake = Handshake(Role.ACCEPTOR, Own(http_port=1, identity=b"", pinned=b"as.told"))
    sent, _ = said(handshake.take())
    assert sent is not None
    assert filters_of(sent) == b"as.told"
    assert not handshake.awaits_config


@pytest.mark.parametrize(
    ("case", "cases", "program"),
    [
        ("same", SKS_CASES, Program.SKS),
        ("same", HOCKEYPUCK_CASES, Program.HOCKEYPUCK),
        ("extra key", SKS_CASES, Program.SKS),
    ],
)
def test_the_program_of_a_partner_is_known_by_its_config(
    case: str, cases: list[ConfigCase], program: Program
) -> None:
    handshake = Handshake(Role.ACCEPTOR, OWN)
    handshake.receive(config(case, cases) + PASSED)
    assert agreed(handshake).partner.program is program


def test_the_port_of_a_partner_that_tells_none_is_unknown() -> None:
    handshake = Handshake(Role.ACCEPTOR, OWN)
    handshake.receive(config("no http port") + PASSED)
    assert agreed(handshake).partner.http_port is None


@pytest.mark.parametrize(
    ("octets", "port"),
    [
        (b"\0\0\0\x01", 1),
        (b"\0\0\xff\xff", 65_535),
        (b"\0\0\0\0", None),
        (b"\0\1\0\0", None),
        (b"\x2c\x6b", None),
        (b"11371", None),
    ],
)
def test_a_port_is_a_number_in_four_octets_that_can_be_connected_to(
    octets: bytes, port: int | None
) -> None:
    theirs = said(config("same"))[0]
    assert theirs is not None
    handshake = Handshake(Role.ACCEPTOR, OWN)
    handshake.receive(encode(Config((*theirs.pairs, (b"http port", octets)))) + PASSED)
    assert agreed(handshake).partner.http_port == port


def test_our_config_has_its_numbers_in_four_octets() -> None:
    handshake = Handshake(Role.ACCEPTOR, Own(http_port=11371, identity=b"", pinned=b"a"))
    ours, _ = said(handshake.take())
    assert ours is not None
    values = dict(ours.pairs)
    assert values[b"http port"] == b"\0\0\x2c\x6b"
    assert (values[b"bitquantum"], values[b"mbar"]) == (b"\0\0\0\2", b"\0\0\0\5")


def test_messages_behind_the_handshake_may_be_longer_than_a_config() -> None:
    handshake = Handshake(Role.ACCEPTOR, OWN)
    many = Elements(tuple(Digest(number.to_bytes(16)) for number in range(1, 5_000)))
    handshake.receive(config("same") + PASSED + encode(many))
    assert isinstance(handshake.outcome, Agreed)
    assert handshake.decoder.message() == many


@pytest.mark.parametrize("who_waits_less", Role)
def test_two_keygroves_agree_though_both_wait(who_waits_less: Role) -> None:
    initiator = Handshake(Role.INITIATOR, OWN)
    acceptor = Handshake(Role.ACCEPTOR, Own(http_port=2, identity=b"theirs", known=b"other"))
    (initiator if who_waits_less is Role.INITIATOR else acceptor).timed_out()
    converse(initiator, acceptor)
    assert agreed(initiator).filters == agreed(acceptor).filters
    assert agreed(initiator).partner.program is Program.KEYGROVE
    assert agreed(acceptor).partner.http_port == OWN.http_port


def test_filters_pinned_at_one_end_are_echoed_by_the_other() -> None:
    initiator = Handshake(Role.INITIATOR, OWN)
    acceptor = Handshake(Role.ACCEPTOR, Own(http_port=2, identity=b"theirs", pinned=b"b,a"))
    converse(initiator, acceptor)
    assert agreed(initiator).filters == agreed(acceptor).filters == b"b,a"


def test_a_server_that_connects_to_itself_notices() -> None:
    ends = Handshake(Role.INITIATOR, OWN), Handshake(Role.ACCEPTOR, OWN)
    ends[0].timed_out()
    converse(*ends)
    for end in ends:
        assert refused(end).refusal is Refusal.OURSELVES


@pytest.mark.parametrize(
    ("initiators", "acceptors", "way"),
    [
        ((), (), PLAIN),
        (("new",), (), PLAIN),
        ((), ("new",), PLAIN),
        (("newest", "new"), ("new", "newest"), "newest"),
        (("newest",), ("new",), PLAIN),
    ],
)
def test_both_ends_say_the_same_way_and_the_plain_one_where_they_share_no_other(
    initiators: tuple[str, ...], acceptors: tuple[str, ...], way: str
) -> None:
    initiator = Handshake(Role.INITIATOR, Own(http_port=1, identity=b"1", ways=initiators))
    acceptor = Handshake(Role.ACCEPTOR, Own(http_port=2, identity=b"2", ways=acceptors))
    initiator.timed_out()
    converse(initiator, acceptor)
    assert agreed(initiator).way == agreed(acceptor).way == way


def test_the_ways_of_a_partner_are_names_in_its_order_and_the_plain_one_is_the_last() -> None:
    theirs = said(config("same"))[0]
    assert theirs is not None
    more = Config((*theirs.pairs, (b"x-keygrove", b"newest,sks,, new")))
    handshake = Handshake(Role.ACCEPTOR, OWN)
    handshake.receive(encode(more) + PASSED)
    assert agreed(handshake).partner.ways == ("newest", "new", PLAIN)


def test_of_many_ways_the_first_count() -> None:
    theirs = said(config("same"))[0]
    assert theirs is not None
    names = [f"way-{number}" for number in range(WAYS_MAX + 1)]
    handshake = Handshake(Role.ACCEPTOR, OWN)
    more = Config((*theirs.pairs, (b"x-keygrove", ",".join(names).encode())))
    handshake.receive(encode(more) + PASSED)
    assert agreed(handshake).partner.ways == (*names[:WAYS_MAX], PLAIN)


@pytest.mark.parametrize("value", [b"", b",,", b"\xff\x00", b"x" * 900, b"a," * 400])
def test_ways_that_mean_nothing_to_us_are_passed_over(value: bytes) -> None:
    theirs = said(config("same"))[0]
    assert theirs is not None
    more = Config((*theirs.pairs, (b"x-keygrove", value)))
    handshake = Handshake(Role.ACCEPTOR, Own(http_port=1, identity=b"", ways=("new",)))
    handshake.receive(encode(more) + PASSED)
    assert agreed(handshake).way == PLAIN
    assert agreed(handshake).partner.program is Program.KEYGROVE


@pytest.mark.parametrize(
    "octets",
    [
        encode(Done()),
        b"\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\n",
        config("same") + string(b"perhaps"),
        b"\x00\x00\x00\x00",
    ],
)
def test_what_is_no_handshake_is_malformed(octets: bytes) -> None:
    handshake = Handshake(Role.ACCEPTOR, OWN)
    handshake.receive(octets)
    assert refused(handshake).refusal is Refusal.MALFORMED


@given(st.data())
def test_a_handshake_comes_to_the_same_whatever_pieces_it_comes_in(data: st.DataObject) -> None:
    octets = config(data.draw(st.sampled_from(["same", "mbar 4", "no mbar"]))) + PASSED
    whole, pieces = Handshake(Role.ACCEPTOR, OWN), Handshake(Role.ACCEPTOR, OWN)
    whole.receive(octets)
    while octets:
        count = data.draw(st.integers(1, len(octets)))
        pieces.receive(octets[:count])
        octets = octets[count:]
    assert pieces.outcome == whole.outcome
    assert pieces.take() == whole.take()


def test_once_it_is_over_nothing_changes_it() -> None:
    handshake = Handshake(Role.ACCEPTOR, OWN)
    handshake.receive(config("mbar 4"))
    found = refused(handshake)
    handshake.receive(PASSED)
    handshake.closed()
    handshake.timed_out()
    assert handshake.outcome is found

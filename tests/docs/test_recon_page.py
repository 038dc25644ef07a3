"""`docs/reference/recon.md` has the limits, messages, refusals and endings that the code has."""

from keygrove.asking import HTTP_CONNECT_S
from keygrove.http import asgi, leaving
from keygrove.http import hashquery as asked
from keygrove.http.recon import NOW_S
from keygrove.recon import (
    comparing,
    conversation,
    gossip,
    listener,
    peer,
    recovery,
    sessions,
)
from keygrove.recon.batch import FIRST as FIRST_ASKED
from keygrove.system import outbound
from keygrove_protocols.recon import hashquery, messages
from keygrove_protocols.recon.acceptor import BATCH, FULL_BELOW
from keygrove_protocols.recon.field import P
from keygrove_protocols.recon.handshake import ACCEPTOR_WAITS_S, INITIATOR_WAITS_S
from keygrove_protocols.recon.peeling import AT_ONCE
from keygrove_protocols.recon.rateless import FIRST
from keygrove_protocols.recon.session import Ending, SessionLimits
from keygrove_protocols.recon.sketch import SYMBOL_BYTES, SYMBOLS
from keygrove_protocols.recon.terms import (
    DEFAULT_FILTERS,
    RATELESS,
    TRANSIENT,
    Refusal,
    config_of,
)
from tests.docs.tables import page, rows

SESSION = SessionLimits()


def test_the_page_has_each_limit() -> None:
    said = {name: cells[0] for name, cells in rows("recon", "what").items()}
    assert said == {
        "config, or reason of a verdict": f"{messages.CONFIG_OCTETS_MAX:,} octets",
        "pairs of a config": f"{messages.CONFIG_PAIRS_MAX}",
        "message after the handshake": f"{messages.FRAME_OCTETS_MAX:,} octets",
        "digests learned in a session": f"{peer.LIMITS.learned_max:,}; of `keygrove recon diff` "
        f"{comparing.LIMITS.learned_max:,}",
        "digests given in a session": f"{SESSION.given_max:,}",
        "digests that a partner lists below one node": f"{SESSION.listed_max:,}",
        "messages of a partner in a session": f"{SESSION.messages_max:,}",
        "octets of a partner in a session": f"{SESSION.octets_max:,}",
        "symbols of a set": f"{SYMBOLS:,}",
        "symbols in a message": f"{AT_ONCE:,}",
        "requests before a Flush": f"{SESSION.unanswered_max:,}",
        "requests of our own in a session": f"{SESSION.requests_max:,}",
        "digests of a partner that wait to be fetched": f"{recovery.WAITING_MAX:,}",
        "sessions under way": f"{sessions.SESSIONS_MAX}",
        "connections of partners; of one address": (
            f"{listener.CONNECTIONS_MAX}; {listener.OF_ONE_MAX}"
        ),
        "connections of guests, beside them": f"{listener.GUEST_CONNECTIONS_MAX}",
        "guests ([`recon.allow`](settings.md)) at once": (f"{gossip.GUESTS_MAX}"),
    }


def test_the_page_has_each_deadline() -> None:
    said = {name: cells[0] for name, cells in rows("recon", "wait for").items()}
    assert said == {
        "a connection that we open": f"{peer.CONNECT_S:,.0f}",
        "the partner's config, before ours is sent": f"{INITIATOR_WAITS_S} if we began, "
        f"else {ACCEPTOR_WAITS_S}",
        "the end of the handshake": f"{conversation.HANDSHAKE_S:,.0f}",
        "the partner's next octets in a session": f"{conversation.READ_S:,.0f}",
        f"a partner that sends less than {conversation.LEAST_RATE} octets a second in a session": (
            f"{conversation.SPELL_S:,.0f}, in which it may send less"
        ),
        "the partner to take what is sent": f"{conversation.WRITE_S:,.0f}",
        "the end of a session": f"{conversation.SESSION_S:,.0f}",
        "a connection for a hashquery of ours": f"{HTTP_CONNECT_S:,.0f}",
        "the whole answer to a hashquery of ours": f"{recovery.BATCH_S:,.0f}",
    }


def test_the_command_line_has_what_recon_waits_for_and_tells() -> None:
    text = " ".join(page("cli").split())
    assert f"It waits {NOW_S:g} s" in text
    limits = comparing.LIMITS
    assert (
        f"One session tells {limits.learned_max:,} certificates that are lacking here, "
        f"and {limits.given_max:,} that" in text
    )


def test_the_page_has_each_limit_of_fetching() -> None:
    said = {name: cells[0] for name, cells in rows("recon", "of a body").items()}
    assert said == {
        "digests of a request": f"{hashquery.ASKED_MAX:,}",
        "request": f"{hashquery.REQUEST_OCTETS_MAX:,} octets",
        "certificates of a response": "twice as many as were asked for",
        "one certificate": f"{recovery.CERTIFICATE_BYTES_MAX:,} octets",
        "response to several digests": f"{recovery.BATCH_BYTES_MAX:,} octets",
        "response to one digest": f"{recovery.ONE_BYTES_MAX:,} octets",
        "beside the body of a response: heads, what stands around chunks": (
            f"{outbound.FRAMING_OCTETS_MAX:,} octets, "
            f"and one more for each {outbound.BODY_FOR_FRAMING} of the body"
        ),
        "response of ours": f"{asked.ANSWER_OCTETS_MAX:,} octets",
    }
    assert f"at most {hashquery.BATCH} digests; it begins with {FIRST_ASKED}" in page("recon")
    assert recovery.FAILURES_MAX == 10
    assert "After ten failures in a row" in page("recon")


def test_the_page_of_http_has_what_one_address_may_ask_for() -> None:
    text = " ".join(page("http").split())
    assert f"One address may ask for {asked.DIGESTS_AT_FIRST:,} digests" in text
    assert f"for {asked.DIGESTS_A_SECOND:,} more each second" in text
    assert asked.OF_ONE_AT_ONCE == 8
    assert "eight requests of it wait, or their answers are made or taken" in text


def test_the_page_of_http_has_what_clients_may_leave_untaken() -> None:
    (row,) = [cells[0] for name, cells in rows("http", "what").items() if "being taken" in name]
    assert row.startswith(f"{asgi.ANSWER_DEADLINE_S:g} s each; ")
    assert f"{leaving.LEAVING_OCTETS_MAX >> 20} MiB of them at a time" in row
    assert f"more than {leaving.PIECE_OCTETS >> 10} KiB" in page("http")


def test_the_page_has_each_refusal_and_whether_it_goes_away() -> None:
    said = {name: cells[-1] == "yes" for name, cells in rows("recon", "refusal").items()}
    assert said == {one.value: one in TRANSIENT for one in Refusal}


def test_the_page_has_each_ending() -> None:
    assert list(rows("recon", "ends as")) == [one.value for one in Ending]


def test_the_page_has_the_keys_of_our_config_in_order() -> None:
    config = config_of(http_port=1, filters=b"", identity=b"")
    assert list(rows("recon", "key")) == [key.decode() for key, _ in config.pairs]


def test_the_page_has_the_other_numbers_of_a_session() -> None:
    text = " ".join(page("recon").split())
    for said in (
        f"fewer than {FULL_BELOW} digests",
        f"Up to {BATCH} requests",
        f"An initiator waits {INITIATOR_WAITS_S} s for it, an acceptor {ACCEPTOR_WAITS_S} s",
        f"`{DEFAULT_FILTERS.decode()}`",
        f"the prime {P}",
        f"Where both ends know `{RATELESS}`",
        f"and the first {FIRST} |",
        f"{SYMBOL_BYTES} octets for each symbol",
        f"at most {AT_ONCE:,} more, and never more than {SYMBOLS:,}",
    ):
        assert said in text

"""Keygrove in the place of either side of sessions that real servers had, on real sockets.

The sets of those sessions are certificates of Debian's keyring.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import needs_debian_keyring
from tests.interop.recon.conftest import Nodes
from tests.interop.recon.corpus import debian, digests
from tests.interop.recon.meeting import holds, settled
from tests.interop.recon.node import Node, Partner
from tests.interop.recon.replaying import (
    FULL,
    POLY,
    Answering,
    Listening,
    as_acceptor,
    as_hockeypuck,
    as_initiator,
    as_leaf,
    bluntly,
    frames,
    kind,
)

pytestmark = [pytest.mark.slow, needs_debian_keyring]

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "recon.json").read_bytes()
)
SESSIONS: dict[str, dict[str, Any]] = {one["name"]: one for one in RECORDED["sessions"]}
LOST = "sks-initiates-to-hockeypuck-lost-elements"
"""Hockeypuck as the acceptor, which says Done without what it owes for FullElements (T2)."""


def said(session: str, by: str) -> bytes:
    other = "acceptor" if by == "initiator" else "initiator"
    return bytes.fromhex(SESSIONS[session][f"{by}_to_{other}_hex"])


@pytest.fixture(scope="module")
def answering() -> Iterator[Answering]:
    """What every partner here has."""
    with closing(Answering({one.digest: one.octets for one in debian()})) as found:
        yield found


def loaded(node: Node, held: list[str]) -> None:
    several = [one for one in debian() if one.digest in set(held)]
    assert len(several) == len(held)
    node.load(several)


@pytest.mark.parametrize(
    "session",
    [
        "sks-sks-syncfail-then-full",
        pytest.param("sks-sks-solved-at-root", marks=pytest.mark.campaign),
        pytest.param("sks-sks-fullelements", marks=pytest.mark.campaign),
    ],
)
def test_as_initiator_it_learns_what_sks_did(
    session: str, nodes: Nodes, answering: Answering
) -> None:
    recorded = SESSIONS[session]
    node = nodes()
    loaded(node, recorded["initiator_set"])
    answering.asked.clear()
    with closing(Listening(as_acceptor(said(session, "acceptor")))) as partner:
        node.start(Partner("recorded", partner.port, answering.port))
        told = node.now("recorded")
        assert told["result"] == "done", told
        assert not partner.errors
        assert told["lacking_here"] == len(recorded["initiator_learns"])
        holds(node, {*recorded["initiator_set"], *recorded["initiator_learns"]})
    assert sorted(answering.asked) == sorted(recorded["initiator_learns"])


@pytest.mark.parametrize(
    "session",
    [
        "sks-sks-fullelements",
        "hockeypuck-initiates-to-sks",
        pytest.param("sks-sks-solved-at-root", marks=pytest.mark.campaign),
        pytest.param("sks-sks-syncfail-then-full", marks=pytest.mark.campaign),
    ],
)
def test_as_acceptor_it_learns_what_sks_did(
    session: str, nodes: Nodes, answering: Answering
) -> None:
    recorded = SESSIONS[session]
    node = nodes()
    loaded(node, recorded["acceptor_set"])
    answering.asked.clear()
    node.start(Partner("recorded", 1, answering.port))
    as_initiator(said(session, "initiator"), node.recon_port)
    learned = set(recorded["acceptor_learns"])
    settled(lambda: set(answering.asked) == learned)
    assert len(answering.asked) == len(learned)
    holds(node, {*recorded["acceptor_set"], *(learned & digests(debian()))})


def test_what_hockeypuck_owes_is_no_fault_of_the_session(
    nodes: Nodes, answering: Answering
) -> None:
    node = nodes()
    loaded(node, SESSIONS[LOST]["initiator_set"])
    with closing(Listening(as_acceptor(said(LOST, "acceptor")))) as partner:
        node.start(Partner("recorded", partner.port, answering.port))
        told = node.now("recorded")
    assert (told["result"], told["lacking_here"]) == ("done", 0)
    assert not partner.errors


IMPATIENT = "syncfail-to-hockeypuck"
"""Hockeypuck as the acceptor, which asks again and again; some of what it met had no certificate"""


def test_answers_reach_a_hockeypuck_whole_and_in_one_piece_when_it_says_flush(
    nodes: Nodes, answering: Answering
) -> None:
    session = SESSIONS[IMPATIENT]
    node = nodes()
    held = set(session["initiator_set"]) & digests(debian())
    loaded(node, list(held))
    with closing(Listening(as_hockeypuck(said(IMPATIENT, "acceptor")))) as partner:
        node.start(Partner("recorded", partner.port, answering.port))
        told = node.now("recorded")
        assert not partner.errors
        assert told["result"] == "done", told
        lacking = set(session["acceptor_set"]) - held
        assert told["lacking_here"] == len(lacking) > 200
        holds(node, held | (lacking & digests(debian())))


def test_a_leaf_that_answers_as_if_it_had_children_tells_all_it_has(
    nodes: Nodes, answering: Answering
) -> None:
    of_all = [one.digest for one in debian()]
    ours, theirs = of_all[:300], of_all[290:320]
    node = nodes()
    loaded(node, ours)
    node.start(Partner("recorded", 1, answering.port))
    answering.asked.clear()
    config = said("hockeypuck-initiates-to-sks", "initiator")
    asked = as_leaf(config, map(bytes.fromhex, theirs), node.recon_port)
    assert [kind(one) for one in asked] == [POLY, FULL, FULL, FULL, FULL]
    holds(node, {*ours, *theirs})
    assert sorted(answering.asked) == sorted(set(theirs) - set(ours)), "each of them once"
    assert node.partner("recorded")["rounds"] == {"partner done": 1}


SKS = b"".join(frames(said("sks-sks-solved-at-root", "acceptor"))[:2])
"""What SKS says in a handshake."""
HOCKEYPUCK = b"".join(frames(said(LOST, "acceptor"))[:2])
CONFIG = frames(HOCKEYPUCK)[0]


def string(text: bytes) -> bytes:
    return len(text).to_bytes(4) + text


def message(kind: int, *parts: bytes) -> bytes:
    return string(bytes([kind]) + b"".join(parts))


SAMPLES = b"".join(number.to_bytes(17, "little") for number in range(7, 13))
QUIRKS = {
    "T7 closed before its config": (b"", "busy", "it closed before it sent a config"),
    "T7 busy with its tree": (
        CONFIG + string(b"failed") + string(b"sync not available, currently mutating"),
        "busy",
        "currently mutating",
    ),
    "T9 an odd prefix": (
        SKS + message(1, (3).to_bytes(4), string(b"\x20"), bytes(4)) + message(6),
        "failed",
        "",
    ),
    "T10 five samples": (
        SKS + message(0, bytes(8), (900).to_bytes(4), (5).to_bytes(4), SAMPLES[:85]) + message(6),
        "failed",
        "",
    ),
    "T13 an error, and its text": (
        HOCKEYPUCK + message(7, string(b"unexpected\x1b[2J message code: 11")),
        "failed",
        "unexpected",
    ),
    "other filters in the verdict": (
        CONFIG + string(b"failed") + string(b"mismatched filters"),
        "refused",
        "mismatched filters",
    ),
}


def test_whoever_behaves_oddly_is_told_of_and_the_next_session_goes_well(
    nodes: Nodes, answering: Answering
) -> None:
    session = "sks-sks-solved-at-root"
    recorded = SESSIONS[session]
    node = nodes()
    loaded(node, recorded["initiator_set"])
    with closing(Listening(bluntly(b""))) as partner:
        node.start(Partner("odd", partner.port, answering.port))
        for quirk, (octets, result, why) in QUIRKS.items():
            partner.script = bluntly(octets)
            told = node.now("odd")
            assert told["result"] == result, (quirk, told)
            assert why in told["why"], (quirk, told)
            assert told["why"].isprintable()
        partner.script = as_acceptor(said(session, "acceptor"))
        assert node.now("odd")["result"] == "done"
        holds(node, {*recorded["initiator_set"], *recorded["initiator_learns"]})

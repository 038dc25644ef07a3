"""What is committed and not yet in the index."""

import pytest

from keygrove.storage.address import content_hash, tree_key
from keygrove.storage.derive import digest_terms
from keygrove.storage.overlay import Entry, Found, Overlay
from keygrove.storage.store import Digests
from keygrove.storage.term import Term, TermKind
from keygrove.storage.write import Denial
from keygrove_chaos.certificates import made, put_of


def entry(seq: int, number: int, *user_ids: str) -> Entry:
    put = put_of(made(number, *user_ids))
    return Entry(
        seq,
        tree_key(put.fingerprint),
        put.fingerprint,
        Found(
            content_hash(put.packets),
            Digests(put.digest, put.sks_digest),
            put.source,
            put.size,
            put.terms | digest_terms(put.digest, put.sks_digest),
            put.words,
        ),
        None,
    )


ALICE = entry(1, 1, "Alice <a@x.example>")
BOB = entry(2, 2, "Bob <a@x.example>")
CAROL = entry(3, 1, "Carol <c@x.example>")
ALICE_DIGEST = put_of(made(1, "Alice <a@x.example>")).digest
BOB_DIGEST = put_of(made(2, "Bob <a@x.example>")).digest
A = Term(TermKind.ADDRESS, b"a@x.example")
C = Term(TermKind.ADDRESS, b"c@x.example")


@pytest.fixture
def overlay() -> Overlay:
    both = Overlay()
    both.add(ALICE)
    both.add(BOB)
    return both


def test_entries_are_found_by_term_word_digest_and_name(overlay: Overlay) -> None:
    assert {one.seq for one in overlay.find(A)} == {1, 2}
    assert overlay.search(frozenset({"alice"})) == [ALICE]
    assert [overlay.find(term) for term in digest_terms(BOB_DIGEST)] == [[BOB]]
    assert overlay.get(ALICE.fingerprint) is ALICE
    assert ALICE.fingerprint in overlay


def test_a_newer_row_replaces_all_of_the_older(overlay: Overlay) -> None:
    overlay.add(CAROL)
    assert len(overlay) == 2
    assert overlay.find(A) == [BOB]
    assert overlay.find(C) == [CAROL]
    assert [overlay.find(term) for term in digest_terms(ALICE_DIGEST)] == [[]]
    assert overlay.search(frozenset({"alice"})) == []


def test_what_is_denied_or_no_longer_denied_is_not_found(overlay: Overlay) -> None:
    denial = Denial(ALICE.fingerprint, "spam", 0)
    for state in (denial, None):
        entry = Entry(4, ALICE.key, ALICE.fingerprint, None, state)
        overlay.add(entry)
        assert overlay.get(ALICE.fingerprint) is entry
        assert (entry.found, entry.denial) == (None, state)
        assert overlay.find(A) == [BOB]
        assert overlay.search(frozenset({"alice"})) == []
        assert [overlay.find(term) for term in digest_terms(ALICE_DIGEST)] == [[]]
    overlay.add(ALICE)
    assert overlay.search(frozenset({"alice"})) == [ALICE]


def test_what_the_index_has_is_dropped(overlay: Overlay) -> None:
    overlay.drop(ALICE)
    assert ALICE.fingerprint not in overlay
    assert overlay.find(A) == [BOB]
    assert overlay.search(frozenset({"alice"})) == []


def test_what_changed_since_is_not_dropped(overlay: Overlay) -> None:
    overlay.add(CAROL)
    overlay.drop(ALICE)
    assert overlay.get(CAROL.fingerprint) is CAROL
    assert overlay.find(C) == [CAROL]


def test_dropping_all_leaves_nothing_behind(overlay: Overlay) -> None:
    overlay.add(CAROL)
    for one in overlay.entries():
        overlay.drop(one)
    assert vars(overlay) == vars(Overlay())


def test_asking_leaves_nothing_behind(overlay: Overlay) -> None:
    overlay.find(Term(TermKind.ADDRESS, b"nobody@x.example"))
    overlay.search(frozenset({"nobody", "alice"}))
    fresh = Overlay()
    fresh.add(ALICE)
    fresh.add(BOB)
    assert vars(overlay) == vars(fresh)


def test_entries_come_in_tree_order(overlay: Overlay) -> None:
    overlay.add(CAROL)
    keys = [one.key for one in overlay.entries()]
    assert keys == sorted(keys)
    assert len(keys) == 2


def test_a_search_wants_all_words_and_at_least_one(overlay: Overlay) -> None:
    assert overlay.search(frozenset({"alice", "bob"})) == []
    assert overlay.search(frozenset({"x", "alice"})) == [ALICE]
    assert overlay.search(frozenset()) == []

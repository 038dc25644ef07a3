"""What every CertificateStore does, whatever it keeps certificates in."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import pytest

from keygrove.storage.address import text_hash
from keygrove.storage.audit import Action, Effect, Record
from keygrove.storage.cursor import Cursor
from keygrove.storage.store import CertificateStore, Hour, NamedDigests
from keygrove.storage.term import Term, TermKind
from keygrove.storage.version import Head, Version, Whole
from keygrove.storage.write import Denial, Lift, Put, Redacted, Redaction, Write
from keygrove_chaos.certificates import CREATED, made, put_of, with_aside
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.redaction import PartHash, user_id_hash
from keygrove_protocols.openpgp.userid import words as words_of

pytestmark = pytest.mark.anyio

Open: TypeAlias = Callable[[], AbstractAsyncContextManager[CertificateStore]]

HOUR = 3600
UNKNOWN = Fingerprint(bytes(20))


def put(number: int, *user_ids: str, at: int = CREATED) -> Put:
    return put_of(made(number, *user_ids), at)


def term(kind: TermKind, value: bytes) -> Term:
    return Term(kind, value)


def address(text: str) -> Term:
    return Term(TermKind.ADDRESS, text.encode())


async def words(store: CertificateStore, *wanted: str, limit: int = 10) -> set[Fingerprint]:
    return set(await store.search(frozenset(wanted), limit))


async def found(store: CertificateStore, what: Term, limit: int = 10) -> tuple[Fingerprint, ...]:
    (names,) = await store.find([what], limit)
    return names


async def walk(store: CertificateStore, limit: int) -> list[Whole]:
    versions: list[Whole] = []
    cursor: Cursor | None = None
    while True:
        page = await store.page(cursor, limit)
        assert len(page.versions) <= limit
        versions += page.versions
        cursor = page.cursor
        if cursor is None:
            return versions


def version(one: Put, change: int) -> Version:
    return Version(one.fingerprint, one.digest, one.packets, change)


def whole(one: Put, change: int) -> Whole:
    return Whole(
        one.fingerprint,
        one.digest,
        one.packets,
        change,
        one.sks_digest,
        one.aside,
        one.source,
    )


@pytest.fixture(params=["unflushed", "flushed"])
def is_flushed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "flushed")


async def fill(store: CertificateStore, writes: Sequence[Write], *, is_flushed: bool) -> int:
    change = await store.commit(writes)
    if is_flushed:
        await store.settle()
    return change


async def test_an_empty_store_has_nothing(open_it: Open) -> None:
    async with open_it() as store:
        assert await store.get([UNKNOWN]) == [None]
        assert await found(store, address("a@b.example")) == ()
        assert await words(store, "alice") == set()
        assert (await store.page(None, 5)).versions == ()
        assert (await store.digests(None, 5)).cursor is None
        counts = store.counts()
        assert (counts.certificates, counts.packet_bytes, counts.change) == (0, 0, 0)


async def test_asking_for_nothing_gives_nothing(open_it: Open, is_flushed: bool) -> None:
    async with open_it() as store:
        await fill(store, [put(1, "Alice")], is_flushed=is_flushed)
        assert await store.get([]) == []
        assert await store.find([], 10) == []
        assert await store.search(frozenset(), 10) == ()


async def test_what_was_committed_is_got_in_the_order_asked(
    open_it: Open, is_flushed: bool
) -> None:
    alice, bob = put(1, "Alice"), put(2, "Bob")
    async with open_it() as store:
        change = await fill(store, [alice, bob], is_flushed=is_flushed)
        got = await store.get([bob.fingerprint, UNKNOWN, alice.fingerprint, bob.fingerprint])
        assert got == [version(bob, change), None, version(alice, change), version(bob, change)]


async def test_change_numbers_count_commits(open_it: Open) -> None:
    async with open_it() as store:
        numbers = [await store.commit([put(n), put(n + 10)]) for n in range(3)]
        assert numbers == [1, 2, 3]
        assert store.counts().change == 3
        (got,) = await store.get([put(1).fingerprint])
        assert got is not None
        assert got.change == 2


async def test_the_newest_version_counts(open_it: Open, is_flushed: bool) -> None:
    old, new = put(1, "Alice"), put(1, "Alice", "Alice <alice@example.org>")
    async with open_it() as store:
        await fill(store, [old], is_flushed=is_flushed)
        change = await fill(store, [new], is_flushed=is_flushed)
        assert await store.get([new.fingerprint]) == [version(new, change)]


@pytest.mark.parametrize(
    "kind",
    [kind for kind in TermKind if kind is not TermKind.DIGEST],
    ids=lambda kind: kind.name.lower(),
)
async def test_a_certificate_is_found_by_each_of_its_terms(
    open_it: Open, is_flushed: bool, kind: TermKind
) -> None:
    one = put_of(made(1, "Alice <alice@example.org>", subkeys=[7]))
    async with open_it() as store:
        await fill(store, [one, put(2, "Bob <bob@example.org>")], is_flushed=is_flushed)
        wanted = sorted((t for t in one.terms if t.kind is kind), key=lambda t: t.value)
        assert wanted
        assert await store.find(wanted, 10) == [(one.fingerprint,)] * len(wanted)


async def test_a_certificate_is_found_by_its_digest_alone_of_its_states(
    open_it: Open, is_flushed: bool
) -> None:
    old, new = put(1, "Alice"), put(1, "Alice", "Bob")
    async with open_it() as store:
        await fill(store, [old], is_flushed=is_flushed)
        assert await found(store, term(TermKind.DIGEST, old.digest)) == (old.fingerprint,)
        await fill(store, [new], is_flushed=is_flushed)
        assert await found(store, term(TermKind.DIGEST, old.digest)) == ()
        assert await found(store, term(TermKind.DIGEST, new.digest)) == (new.fingerprint,)


async def test_what_is_set_aside_is_kept_and_counted_and_not_served(
    open_it: Open, is_flushed: bool
) -> None:
    plain = put(1, "Alice")
    one = with_aside(plain, b"beside", bytes(16))
    async with open_it() as store:
        change = await fill(store, [one, put(2)], is_flushed=is_flushed)
        assert await store.get([one.fingerprint]) == [version(plain, change)]
        got = await store.get_whole([one.fingerprint, UNKNOWN, put(2).fingerprint])
        assert got == [whole(one, change), None, whole(put(2), change)]
        kept = {page.fingerprint: page for page in await walk(store, 1)}
        assert kept[one.fingerprint] == whole(one, change)
        assert store.counts().packet_bytes == plain.size + len(b"beside") + put(2).size
        change = await fill(store, [plain], is_flushed=is_flushed)
        assert await store.get_whole([one.fingerprint]) == [whole(plain, change)]
        assert store.counts().packet_bytes == plain.size + put(2).size


async def test_a_certificate_is_found_by_its_digest_at_sks_servers_too(
    open_it: Open, is_flushed: bool
) -> None:
    old, new = with_aside(put(1, "Alice"), b"old"), with_aside(put(1, "Bob"), b"new")
    async with open_it() as store:
        for one in (old, new):
            await fill(store, [one], is_flushed=is_flushed)
            for digest in (one.digest, one.sks_digest):
                assert await found(store, term(TermKind.DIGEST, digest)) == (one.fingerprint,)
            page = await store.digests(None, 5)
            assert page.digests == (named(one),)
        assert await found(store, term(TermKind.DIGEST, old.sks_digest)) == ()


def named(one: Put, *, is_denied: bool = False) -> NamedDigests:
    return NamedDigests(one.digest, one.sks_digest, one.fingerprint, is_denied)


async def test_what_is_held_beside_a_denial_is_told_as_such_among_the_digests(
    open_it: Open, is_flushed: bool
) -> None:
    one, other = put(1, "Alice"), put(2, "Bob")
    said = put(1)
    async with open_it() as store:
        await fill(store, [one, other], is_flushed=is_flushed)
        beside = Denial(one.fingerprint, "spam", CREATED, held=said)
        await fill(store, [beside], is_flushed=is_flushed)
        found = set((await store.digests(None, 5)).digests)
        assert found == {named(said, is_denied=True), named(other)}
        await fill(store, [Lift(one.fingerprint, CREATED, said)], is_flushed=is_flushed)
        assert set((await store.digests(None, 5)).digests) == {named(said), named(other)}


async def test_the_digest_at_sks_servers_is_the_stored_one_unless_told(open_it: Open) -> None:
    one = put(1)
    async with open_it() as store:
        await store.commit([one])
        assert (await store.digests(None, 5)).digests == (named(one),)


async def test_sources_are_told_in_the_order_asked(open_it: Open, is_flushed: bool) -> None:
    first, other = with_aside(put(1), b"", b"1" * 16), put(2)
    async with open_it() as store:
        await fill(store, [first, other], is_flushed=is_flushed)
        names = [other.fingerprint, UNKNOWN, first.fingerprint]
        assert await store.sources(names) == [b"", None, b"1" * 16]
        await fill(store, [with_aside(put(1), b"", b"2" * 16)], is_flushed=is_flushed)
        assert await store.sources(names) == [b"", None, b"2" * 16]
        assert await store.sources([]) == []


def denial(of: Put, reason: str = "spam", at: int = CREATED) -> Denial:
    return Denial(of.fingerprint, reason, at, (of.digest, of.sks_digest))


async def all_denials(store: CertificateStore, limit: int) -> list[Denial]:
    denials: list[Denial] = []
    cursor: Cursor | None = None
    while True:
        page = await store.denials(cursor, limit)
        assert len(page.denials) <= limit
        denials += page.denials
        cursor = page.cursor
        if cursor is None:
            return denials


async def test_what_is_denied_is_found_by_nothing(open_it: Open, is_flushed: bool) -> None:
    one = with_aside(put(1, "Alice <alice@example.org>"), b"beside")
    other = put(2, "Alice <alice@example.org>")
    name = one.fingerprint
    async with open_it() as store:
        await fill(store, [one, other], is_flushed=is_flushed)
        await fill(store, [denial(one)], is_flushed=is_flushed)
        assert await store.get([name]) == await store.get_whole([name]) == [None]
        assert await store.sources([name]) == [None]
        wanted = [*one.terms, *(term(TermKind.DIGEST, d) for d in (one.digest, one.sks_digest))]
        assert not [names for names in await store.find(wanted, 10) if name in names]
        assert await words(store, "alice") == {other.fingerprint}
        assert [version.fingerprint for version in await walk(store, 1)] == [other.fingerprint]
        assert (await store.digests(None, 5)).digests == (named(other),)
        counts = store.counts()
        assert (counts.certificates, counts.packet_bytes, counts.denials) == (1, other.size, 1)


async def test_what_is_denied_is_told_with_reason_time_and_digests(
    open_it: Open, is_flushed: bool
) -> None:
    held, unknown = put(1), put(3)
    async with open_it() as store:
        await fill(store, [held, put(2)], is_flushed=is_flushed)
        assert await store.denials_of([held.fingerprint]) == [None]
        denials = [denial(held), denial(unknown, "never seen, « unwanted »")]
        await fill(store, denials, is_flushed=is_flushed)
        names = [unknown.fingerprint, put(2).fingerprint, held.fingerprint]
        assert await store.denials_of(names) == [denials[1], None, denials[0]]
        assert (store.counts().denials, store.counts().lifts) == (2, 0)
        again = denial(held, "another reason", CREATED + 5)
        await fill(store, [again], is_flushed=is_flushed)
        assert await store.denials_of(names) == [denials[1], None, again]
        assert (store.counts().denials, store.counts().lifts) == (2, 0)


async def test_a_denial_that_is_lifted_lets_the_certificate_come_again(
    open_it: Open, is_flushed: bool
) -> None:
    one = put(1, "Alice")
    async with open_it() as store:
        for write in (one, denial(one), Lift(one.fingerprint, CREATED)):
            await fill(store, [write], is_flushed=is_flushed)
        assert await store.denials_of([one.fingerprint]) == [None]
        assert await store.get([one.fingerprint]) == [None]
        assert (store.counts().certificates, store.counts().denials) == (0, 0)
        assert store.counts().lifts == 1
        change = await fill(store, [one], is_flushed=is_flushed)
        assert await store.get([one.fingerprint]) == [version(one, change)]
        assert await words(store, "alice") == {one.fingerprint}
        counts = store.counts()
        assert (counts.certificates, counts.packet_bytes, counts.denials) == (1, one.size, 0)
        assert sum(hour.inserted for hour in counts.hours) == 2


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
async def test_pages_of_denials_and_of_what_is_left_are_whole(
    open_it: Open, is_flushed: bool, limit: int
) -> None:
    puts = [put(n) for n in range(12)]
    gone, left = puts[::2], puts[1::2]
    async with open_it() as store:
        await fill(store, puts, is_flushed=is_flushed)
        await fill(store, [denial(one) for one in gone[:3]], is_flushed=is_flushed)
        await store.commit([denial(one) for one in gone[3:]])
        there = [one.fingerprint for one in await all_denials(store, limit)]
        assert sorted(there) == sorted(one.fingerprint for one in gone)
        versions = [one.fingerprint for one in await walk(store, limit)]
        assert sorted(versions) == sorted(one.fingerprint for one in left)


async def test_denials_outlast_a_restart(open_it: Open, is_flushed: bool) -> None:
    one, other = put(1, "Alice"), put(2, "Bob")
    async with open_it() as store:
        await store.commit([one, other])
        await fill(store, [denial(one), denial(other)], is_flushed=is_flushed)
        await store.commit([Lift(other.fingerprint, CREATED)])
        counts = store.counts()
    async with open_it() as store:
        assert store.counts() == counts
        assert await all_denials(store, 5) == [denial(one)]
        assert await store.get([one.fingerprint, other.fingerprint]) == [None, None]
        assert await words(store, "alice") == await words(store, "bob") == set()


async def test_a_certificate_may_go_without_being_denied(open_it: Open, is_flushed: bool) -> None:
    one, other = put(1, "Alice <alice@example.org>"), put(2, "Bob")
    async with open_it() as store:
        await fill(store, [one, other], is_flushed=is_flushed)
        await fill(store, [Lift(one.fingerprint, CREATED)], is_flushed=is_flushed)
        counts = store.counts()
        assert (counts.certificates, counts.packet_bytes, counts.denials) == (1, other.size, 0)
        assert await found(store, address("alice@example.org")) == ()
    async with open_it() as store:
        assert store.counts() == counts
        assert await store.get([one.fingerprint]) == [None]
        assert await store.denials_of([one.fingerprint]) == [None]
        assert [version.fingerprint for version in await walk(store, 5)] == [other.fingerprint]
        await fill(store, [one], is_flushed=is_flushed)
        assert await words(store, "alice") == {one.fingerprint}
        assert store.counts().certificates == 2


ALICE_HASH, BOB_HASH = user_id_hash(b"Alice"), user_id_hash(b"Bob")


async def test_the_newest_redaction_of_a_certificate_counts_also_after_a_restart(
    open_it: Open, is_flushed: bool
) -> None:
    one, other, unknown = (put(number).fingerprint for number in range(3))
    alice, bob = frozenset({ALICE_HASH}), frozenset({BOB_HASH})
    both, none = alice | bob, frozenset[PartHash]()
    async with open_it() as store:
        assert await store.redactions_of([one]) == [Redacted()]
        first = await store.commit([], [], [Redaction(one, bob, CREATED)])
        assert await store.redactions_of([one]) == [Redacted({"": bob})]
        some = [Redaction(one, both, CREATED), Redaction(other, alice, CREATED, "flood-1")]
        assert await store.commit([put(0)], [record(0, put(0))], some) == first + 1
    async with open_it() as store:
        names = [unknown, other, one]
        assert await store.redactions_of(names) == [
            Redacted(),
            Redacted({"flood-1": alice}),
            Redacted({"": both}),
        ]
        await store.commit([], [record(1, put(0))], [Redaction(one, none, CREATED)])
        assert await store.redactions_of(names) == [
            Redacted(),
            Redacted({"flood-1": alice}),
            Redacted(),
        ]


async def test_a_redaction_outlasts_whatever_else_becomes_of_its_certificate(
    open_it: Open, is_flushed: bool
) -> None:
    one, wanted = put(1, "Bob"), [Redacted({"": frozenset({ALICE_HASH})})]
    name = one.fingerprint
    async with open_it() as store:
        redaction = Redaction(name, frozenset({ALICE_HASH}), CREATED)
        await store.commit([one], [record(0, one)], [redaction])
        for write in (denial(one), Lift(name, CREATED), one, Lift(name, CREATED), one):
            change = await fill(store, [write], is_flushed=is_flushed)
            assert await store.redactions_of([name]) == wanted
        assert await store.get([name]) == [version(one, change)]


async def test_what_rollbacks_redact_is_remembered_beside_what_administrators_do(
    open_it: Open, is_flushed: bool
) -> None:
    name = put(0).fingerprint
    alice, bob = frozenset({ALICE_HASH}), frozenset({BOB_HASH})
    async with open_it() as store:
        some = [Redaction(name, alice, CREATED), Redaction(name, alice | bob, CREATED, "flood-1")]
        await store.commit([], [], some)
        (redacted,) = await store.redactions_of([name])
        assert redacted == Redacted({"": alice, "flood-1": alice | bob})
        assert redacted.parts == alice | bob
        await store.commit([], [], [Redaction(name, frozenset(), CREATED, "flood-1")])
        assert await store.redactions_of([name]) == [Redacted({"": alice})]


def record(number: int, of: Put, nonce: bytes = b"") -> Record:
    """Every third one is of somebody on this machine."""
    by = Fingerprint(bytes([number]) * 20) if number % 3 else None
    action, effect = Action(number % 3 + 1), Effect(number // 3 % 3 + 1)
    at = CREATED - number
    name = nonce or bytes([number]) * 16
    return Record(by, action, effect, of.fingerprint, f"reason {number}", at, name)


async def all_records(store: CertificateStore, limit: int) -> list[Record]:
    records: list[Record] = []
    cursor: Cursor | None = None
    while True:
        page = await store.audit(cursor, limit)
        assert len(page.records) <= limit
        records += page.records
        cursor = page.cursor
        if cursor is None:
            return records


@pytest.mark.parametrize("limit", [1, 3, 4, 100])
async def test_the_audit_log_has_all_that_was_recorded_oldest_first(
    open_it: Open, limit: int
) -> None:
    records = [record(number, put(number % 4)) for number in range(12)]
    async with open_it() as store:
        assert await all_records(store, limit) == []
        await store.commit([put(0)], records[:1])
        await store.commit([denial(put(0))], records[1:5])
        change = await store.commit([], records[5:])
        assert await all_records(store, limit) == records
    async with open_it() as store:
        assert await all_records(store, limit) == records
        assert store.counts().change == change
        assert await store.commit([put(1)]) == change + 1


async def test_a_request_is_known_by_fingerprint_and_nonce_also_after_a_restart(
    open_it: Open,
) -> None:
    one, other = put(1), put(2)
    asked = [
        (one.fingerprint, b"first"),
        (one.fingerprint, b"second"),
        (other.fingerprint, b"first"),
    ]
    async with open_it() as store:
        assert await store.are_recorded(asked) == [False, False, False]
        await store.commit([denial(one)], [record(0, one, b"first")])
        assert await store.are_recorded(asked) == [True, False, False]
        await store.commit([denial(other)], [record(1, other, b"first")])
    async with open_it() as store:
        assert await store.are_recorded(asked) == [True, False, True]
        assert await store.are_recorded([]) == []


async def test_a_value_of_another_kind_is_not_found(open_it: Open, is_flushed: bool) -> None:
    one = put(1, "Alice")
    async with open_it() as store:
        await fill(store, [one], is_flushed=is_flushed)
        assert await found(store, term(TermKind.DIGEST, one.fingerprint)) == ()
        assert await found(store, term(TermKind.KEY_ID, one.fingerprint)) == ()


async def test_terms_and_words_that_went_are_not_found(open_it: Open, is_flushed: bool) -> None:
    old, new = put(1, "Alice <alice@example.org>"), put(1, "Carol <carol@example.org>")
    async with open_it() as store:
        await fill(store, [old], is_flushed=is_flushed)
        await fill(store, [new], is_flushed=is_flushed)
        assert await found(store, address("alice@example.org")) == ()
        assert await words(store, "alice") == set()
        assert await found(store, address("carol@example.org")) == (new.fingerprint,)
        assert await words(store, "carol") == {new.fingerprint}


async def test_words_that_went_and_came_back_are_found(open_it: Open, is_flushed: bool) -> None:
    async with open_it() as store:
        for user_id in ("Alice", "Carol", "Alice"):
            await fill(store, [put(1, user_id)], is_flushed=is_flushed)
        assert await words(store, "alice") == {put(1).fingerprint}
        assert await words(store, "carol") == set()


async def test_a_certificate_that_lost_all_words_is_found_by_none(
    open_it: Open, is_flushed: bool
) -> None:
    async with open_it() as store:
        await fill(store, [put(1, "Alice")], is_flushed=is_flushed)
        await fill(store, [put(1)], is_flushed=is_flushed)
        assert await words(store, "alice") == set()
        await fill(store, [put(1, "Bob")], is_flushed=is_flushed)
        assert await words(store, "bob") == {put(1).fingerprint}


async def test_a_search_wants_all_words(open_it: Open, is_flushed: bool) -> None:
    both, one = put(1, "Alice Smith", "Bob"), put(2, "Alice Jones")
    async with open_it() as store:
        await fill(store, [both, one], is_flushed=is_flushed)
        assert await words(store, "alice") == {both.fingerprint, one.fingerprint}
        assert await words(store, "alice", "smith") == {both.fingerprint}
        assert await words(store, "smith", "bob") == {both.fingerprint}
        assert await words(store, "smith", "jones") == set()


@pytest.mark.parametrize(
    "word",
    [
        "jean-luc",
        "luc",
        "jörg",
        "łódź",
        "山田",
        "ελένη",
        "and",
        "or",
        "not",
        "near",
        "x1",
        "e\u0301clair",
    ],
)
async def test_every_kind_of_word_is_found(open_it: Open, is_flushed: bool, word: str) -> None:
    one = put(1, "Jean-Luc JÖRG Łódź 山田 Ελένη and OR not near x1 e\u0301clair")
    other = put(2, "somebody else entirely")
    async with open_it() as store:
        await fill(store, [one, other], is_flushed=is_flushed)
        assert await words(store, *words_of(word)) == {one.fingerprint}


async def test_a_part_of_a_word_is_no_word(open_it: Open, is_flushed: bool) -> None:
    async with open_it() as store:
        await fill(store, [put(1, "Alexander Mueller-Luedenscheidt")], is_flushed=is_flushed)
        assert await words(store, "alex") == set()
        assert await words(store, "alexander", "mueller") == {put(1).fingerprint}


async def test_at_most_as_many_as_wanted_are_found_the_first_by_fingerprint(
    open_it: Open, is_flushed: bool
) -> None:
    puts = [put(n, "Alice <alice@example.org>") for n in range(8)]
    names = tuple(sorted(one.fingerprint for one in puts))
    async with open_it() as store:
        await fill(store, puts[:5], is_flushed=is_flushed)
        await store.commit(puts[5:])
        assert await found(store, address("alice@example.org"), 100) == names
        assert await found(store, address("alice@example.org"), 3) == names[:3]
        some = await words(store, "alice", limit=3)
        assert len(some) == 3
        assert some <= set(names)


async def test_a_limit_is_reached_though_some_of_the_first_changed(
    open_it: Open, is_flushed: bool
) -> None:
    puts = {n: put(n, "Alice <alice@example.org>") for n in range(6)}
    names = sorted(one.fingerprint for one in puts.values())
    gone = [n for n, one in puts.items() if one.fingerprint in names[:3]]
    async with open_it() as store:
        await fill(store, list(puts.values()), is_flushed=is_flushed)
        await store.commit([put(n, "Bob <bob@example.org>") for n in gone])
        assert await found(store, address("alice@example.org"), 3) == tuple(names[3:])
        assert await words(store, "alice", limit=3) == set(names[3:])


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pages_visit_each_certificate_exactly_once(
    open_it: Open, is_flushed: bool, limit: int
) -> None:
    puts = [put(n) for n in range(7)]
    async with open_it() as store:
        await fill(store, puts[:4], is_flushed=is_flushed)
        await store.commit(puts[4:])
        got = await walk(store, limit)
        assert sorted(one.fingerprint for one in got) == sorted(one.fingerprint for one in puts)
        assert {one.packets for one in got} == {one.packets for one in puts}


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pages_of_digests_visit_each_certificate_exactly_once(
    open_it: Open, is_flushed: bool, limit: int
) -> None:
    puts = [put(n) for n in range(7)]
    async with open_it() as store:
        await fill(store, puts[:4], is_flushed=is_flushed)
        await store.commit(puts[4:])
        digests: list[NamedDigests] = []
        cursor: Cursor | None = None
        while True:
            page = await store.digests(cursor, limit)
            digests += page.digests
            cursor = page.cursor
            if cursor is None:
                break
        assert {one.stored for one in digests} == {one.digest for one in puts}
        assert len(digests) == len(puts)


async def test_pages_visit_each_exactly_once_though_commits_and_flushes_pass(
    open_it: Open, is_flushed: bool
) -> None:
    puts = [put(n) for n in range(12)]
    seen: list[Fingerprint] = []
    async with open_it() as store:
        await fill(store, puts, is_flushed=is_flushed)
        page = await store.page(None, 2)
        for number in range(12):
            seen += [one.fingerprint for one in page.versions]
            await store.commit([put(number, "changed"), put(100 + number)])
            if number % 3 == 1:
                await store.settle()
            if page.cursor is None:
                break
            page = await store.page(page.cursor, 2)
        assert len(seen) == len(set(seen))
        assert {one.fingerprint for one in puts} <= set(seen)


async def test_counts_follow_every_change(open_it: Open, is_flushed: bool) -> None:
    first, second, grown = put(1, "Alice"), put(2), put(1, "Alice", "Bob")
    async with open_it() as store:
        await fill(store, [first, second], is_flushed=is_flushed)
        await fill(store, [grown], is_flushed=is_flushed)
        counts = store.counts()
        assert counts.certificates == 2
        assert counts.packet_bytes == len(grown.packets) + len(second.packets)


async def test_changes_are_counted_by_the_hour(open_it: Open, is_flushed: bool) -> None:
    start = CREATED - CREATED % HOUR
    async with open_it() as store:
        await fill(store, [put(1, at=start), put(2, at=start + HOUR - 1)], is_flushed=is_flushed)
        await fill(store, [put(1, "Alice", at=start + HOUR)], is_flushed=is_flushed)
        await fill(store, [put(3, at=start + HOUR)], is_flushed=is_flushed)
        assert store.counts().hours == (Hour(start, 2, 0), Hour(start + HOUR, 1, 1))


async def test_hours_of_long_ago_are_forgotten(open_it: Open, is_flushed: bool) -> None:
    start = CREATED - CREATED % HOUR
    async with open_it() as store:
        await fill(store, [put(1, at=start)], is_flushed=is_flushed)
        await fill(store, [put(2, at=start + 30 * 24 * HOUR)], is_flushed=is_flushed)
        assert store.counts().hours == (Hour(start + 30 * 24 * HOUR, 1, 0),)


async def test_hours_of_the_last_week_are_kept(open_it: Open, is_flushed: bool) -> None:
    start = CREATED - CREATED % HOUR
    async with open_it() as store:
        await fill(store, [put(1, at=start)], is_flushed=is_flushed)
        await fill(store, [put(2, at=start + 7 * 24 * HOUR)], is_flushed=is_flushed)
        assert [hour.start for hour in store.counts().hours] == [start, start + 7 * 24 * HOUR]


async def test_what_was_opened_again_gives_the_same_answers(
    open_it: Open, is_flushed: bool
) -> None:
    puts = [put(n, f"Alice {n} <alice@example.org>", at=CREATED + n * HOUR) for n in range(5)]
    async with open_it() as store:
        await store.commit(puts[:3])
        await fill(store, puts[3:], is_flushed=is_flushed)
        await store.commit([put(4, "Bob", at=CREATED + 5 * HOUR)])
        counts, versions = store.counts(), await walk(store, 2)
    async with open_it() as store:
        assert store.counts() == counts
        assert await walk(store, 2) == versions
        alice = sorted(one.fingerprint for one in puts[:4])
        assert await found(store, address("alice@example.org")) == tuple(alice)
        assert await words(store, "alice") == set(alice)
        assert await words(store, "bob") == {puts[4].fingerprint}
        assert await store.commit([put(9)]) == counts.change + 1


async def test_settling_an_empty_or_a_settled_store_changes_nothing(open_it: Open) -> None:
    async with open_it() as store:
        await store.settle()
        await store.commit([put(1, "Alice")])
        await store.settle()
        before = store.counts()
        await store.settle()
        assert store.counts() == before
        assert await words(store, "alice") == {put(1).fingerprint}


async def test_a_whole_user_id_is_found_whatever_its_length(
    open_it: Open, is_flushed: bool
) -> None:
    text = "x" * 1500 + " Alice"
    async with open_it() as store:
        await fill(store, [put(1, text)], is_flushed=is_flushed)
        wanted = term(TermKind.TEXT, text_hash(text.lower()))
        assert await found(store, wanted) == (put(1).fingerprint,)


async def test_versions_of_every_key_live_side_by_side(open_it: Open, is_flushed: bool) -> None:
    old, new = put(1, "Alice"), put_of(made(1, "Alice", version=6))
    assert (len(old.fingerprint), len(new.fingerprint)) == (20, 32)
    async with open_it() as store:
        await fill(store, [old, new], is_flushed=is_flushed)
        got = await store.get([new.fingerprint, old.fingerprint])
        assert [one and one.packets for one in got] == [new.packets, old.packets]
        assert await words(store, "alice") == {old.fingerprint, new.fingerprint}


async def test_a_clock_that_steps_back_does_not_reorder_history(
    open_it: Open, is_flushed: bool
) -> None:
    times = [CREATED + 9 * HOUR, CREATED, 0, CREATED + 20 * HOUR, CREATED + HOUR]
    async with open_it() as store:
        heads: list[Head] = []
        for number, at in enumerate(times, start=1):
            assert await fill(store, [put(1, f"n{number}", at=at)], is_flushed=is_flushed) == number
            heads.append(store.head())
    async with open_it() as store:
        page = await store.history.log(None, 10)
        assert [entry.change for entry in page.entries] == [1, 2, 3, 4, 5]
        assert [await store.history.head(head.change) for head in heads] == heads
        (now,) = await store.get([put(1).fingerprint])
        assert now == version(put(1, "n5"), 5), "the last commit counts, not the latest time"

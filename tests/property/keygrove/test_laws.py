"""Laws of the product's pure parts that hold for all inputs."""

from collections.abc import Sequence
from contextlib import suppress
from functools import reduce
from io import BytesIO
from itertools import pairwise
from random import Random
from typing import TypeAlias

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keygrove import configuration
from keygrove.cluster.placement import Placement
from keygrove.errors import SettingsError
from keygrove.ingest.files import batches
from keygrove.ingest.steps import STEPS, draft, prepare
from keygrove.settings import Settings
from keygrove.storage.absorb import Held, Incoming, Outcome, absorb
from keygrove.storage.address import SLOTS, slot, tree_key
from keygrove.storage.cache import OVERHEAD_BYTES, SHARE, Answer, Cache, Form
from keygrove.storage.derive import derive
from keygrove.storage.forms import serve_form
from keygrove.storage.overlay import Entry, Overlay
from keygrove.storage.store import Cause
from keygrove.storage.tally import Tally
from keygrove_chaos.certificates import CREATED, armored, binary, digest_of, made, put_of
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.openpgp.certificate import Certificate, to_bytes
from keygrove_protocols.openpgp.keys import Digest, Fingerprint

texts = st.sets(st.sampled_from(["Alice", "Bob <b@x.example>", "Zoë", "jean-luc", ""]))


def state(found: set[str], subkeys: set[int], signatures: int) -> Certificate:
    return made(1, *sorted(found), subkeys=sorted(subkeys), signatures=signatures)


states = st.builds(state, texts, st.sets(st.integers(2, 4)), st.integers(0, 3))


def meet(held: Held | None, certificate: Certificate) -> Held:
    result = absorb(held, [Incoming(certificate, digest_of(certificate), Cause.UPLOAD)], CREATED)
    assert (result.put is None) == (result.outcomes == (Outcome.UNCHANGED,))
    if result.put is not None:
        assert result.put.digest == result.held.digest == digest_of(result.held.read())
        assert derive(result.put.packets).terms == result.put.terms
        assert derive(result.put.packets).words == result.put.words
        return Held(result.held.digest, packets=result.put.packets)
    return result.held


def meet_all(certificates: Sequence[Certificate]) -> bytes:
    held = reduce(meet, certificates, None)
    assert held is not None
    return to_bytes(held.read())


@given(st.lists(states, min_size=1, max_size=5), st.randoms())
def test_submissions_end_up_the_same_in_any_order_and_number(
    certificates: list[Certificate], random: Random
) -> None:
    shuffled = [*certificates, *certificates]
    random.shuffle(shuffled)
    assert meet_all(shuffled) == meet_all(certificates)


@given(states)
def test_every_form_of_what_was_stored_can_be_served(certificate: Certificate) -> None:
    for form in Form:
        assert serve_form(put_of(certificate).packets, form) is not None


numbers = st.integers(0, 5)
words = st.frozensets(st.sampled_from(["Alice", "Bob", "Zoë"]))


def entry(seq: int, number: int, found: frozenset[str]) -> Entry:
    put = put_of(made(number, *sorted(found)))
    return Entry(
        seq=seq,
        key=tree_key(put.fingerprint),
        fingerprint=put.fingerprint,
        digest=put.digest,
        sks_digest=put.sks_digest,
        source=put.source,
        size=put.size,
        terms=put.terms,
        words=put.words,
    )


@given(st.lists(st.tuples(numbers, words)), st.sets(st.integers(0, 20)))
def test_an_overlay_is_the_newest_entry_of_each_less_what_was_dropped(
    rows: list[tuple[int, frozenset[str]]], dropped: set[int]
) -> None:
    overlay = Overlay()
    newest: dict[Fingerprint, Entry] = {}
    for seq, (number, found) in enumerate(rows):
        one = entry(seq, number, found)
        overlay.add(one)
        newest[one.fingerprint] = one
    for one in list(newest.values()):
        if one.seq in dropped:
            overlay.drop(one)
            del newest[one.fingerprint]
    assert overlay.entries() == sorted(newest.values(), key=lambda one: one.key)
    for term in {term for one in newest.values() for term in one.terms}:
        found_by = {one.seq for one in overlay.find(term)}
        assert found_by == {one.seq for one in newest.values() if term in one.terms}
    for word in ("alice", "bob", "zoë"):
        found_by = {one.seq for one in overlay.search(frozenset({word}))}
        assert found_by == {one.seq for one in newest.values() if word in one.words}


Change: TypeAlias = tuple[bool, int, int]
"""Whether it is the first version, by how much it grew, and the hour."""

changes = st.lists(st.tuples(st.booleans(), st.integers(-50, 50), st.integers(0, 300)))


def tally(some: list[Change]) -> Tally:
    counted = Tally()
    for is_first, grown, hour in sorted(some, key=lambda change: change[2]):
        counted.count(is_first=is_first, grown_bytes=grown, at=CREATED + hour * 3600)
    return counted


@given(changes, changes)
def test_tallies_add_up(
    some: list[tuple[bool, int, int]], more: list[tuple[bool, int, int]]
) -> None:
    """Whatever is counted apart and added is what is counted together, hours that are kept."""
    latest = max((hour for _, _, hour in some), default=0)
    later = [(first, grown, hour + latest) for first, grown, hour in more]
    apart, together = tally(some), tally([*some, *later])
    apart.add(tally(later))
    assert apart.certificates == together.certificates
    assert apart.packet_bytes == together.packet_bytes
    kept = set(together.counts(0).hours)
    assert kept <= set(apart.counts(0).hours)


@given(
    st.integers(0, 60_000),
    st.lists(st.tuples(numbers, st.sampled_from(list(Form)), st.integers(0, 3_000), st.booleans())),
)
def test_a_cache_never_takes_more_than_it_may(
    bytes_max: int, uses: list[tuple[int, Form, int, bool]]
) -> None:
    cache = Cache(bytes_max)
    model: dict[tuple[int, Form], Answer] = {}
    for number, form, size, is_put in uses:
        name = Fingerprint(bytes([number]) * 20)
        if is_put:
            answer = Answer(name, Digest(bytes(16)), size, bytes(size))
            cache.put(form, answer)
            if (OVERHEAD_BYTES + size) * SHARE <= bytes_max:
                model[number, form] = answer
        else:
            cache.invalidate(name)
            model = {key: value for key, value in model.items() if key[0] != number}
        assert 0 <= cache.size_bytes <= bytes_max
    for (number, form), answer in model.items():
        assert cache.get(Fingerprint(bytes([number]) * 20), form) in (None, answer)


PLACEMENTS = [Placement(number) for number in range(1, 6)]


@given(st.binary(min_size=16, max_size=32))
def test_a_certificate_moves_to_the_newest_shard_or_stays(name: bytes) -> None:
    assert 0 <= slot(name) < SLOTS
    owners = [placement.shard(Fingerprint(name)) for placement in PLACEMENTS]
    for at, (before, after) in enumerate(pairwise(owners)):
        assert after in (before, at + 1)


@given(st.lists(st.integers(0, 50), max_size=8), st.integers(1, 64))
def test_a_file_gives_the_same_certificates_however_it_comes(found: list[int], piece: int) -> None:
    class Trickle(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(piece if size != -1 else -1)

    wanted = [binary([made(number, f"User {number}")]) for number in found]
    given_out = [one for batch in batches(Trickle(b"".join(wanted))) for one in batch.certificates]
    assert given_out == wanted


@given(st.binary(max_size=400))
def test_any_file_is_read_or_refused(data: bytes) -> None:
    with suppress(ProtocolError):
        for batch in batches(BytesIO(data)):
            assert batch.certificates


@given(st.binary(max_size=400), st.sampled_from(list(Cause)))
def test_any_submission_is_prepared_or_refused(data: bytes, cause: Cause) -> None:
    with suppress(ProtocolError):
        on = prepare(data, cause)
        assert len(on.candidates) + len(on.refused) >= 1


@given(st.lists(st.builds(made, st.integers(0, 9), st.sampled_from(["Alice", "Bob"]))))
def test_a_submission_is_prepared_alike_armored_or_not(certificates: list[Certificate]) -> None:
    if certificates:
        raw, armor = binary(certificates), armored(*certificates)
        assert prepare(raw, Cause.UPLOAD) == prepare(armor, Cause.UPLOAD)


@given(st.builds(made, st.integers(0, 9), st.sampled_from(["Alice", "Bob"])))
def test_a_step_never_looks_back(certificate: Certificate) -> None:
    on = draft(binary([certificate]), Cause.UPLOAD)
    for _, step in STEPS:
        once = step(on)
        assert step(on) == once
        on = once


toml_values = st.recursive(
    st.booleans() | st.integers(-10, 70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)
keys = st.sampled_from(sorted(configuration.OPTIONS))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(keys, toml_values, max_size=3))
def test_any_settings_are_taken_or_refused_with_words(overrides: dict[str, object]) -> None:
    said = ""
    try:
        loaded = configuration.load(None, {}, overrides)
    except SettingsError as error:
        said = str(error)
    else:
        again = msgspec.convert(msgspec.to_builtins(loaded.settings), Settings)
        assert again == loaded.settings
    assert "`" not in said or any("`" in str(one) for one in overrides.values())


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40))
def test_any_environment_is_taken_or_refused_with_words(value: str) -> None:
    for name in ("KEYGROVE_HTTP__LISTEN", "KEYGROVE_STORAGE__SHARDS", "KEYGROVE_DATA_DIR"):
        said = name
        try:
            configuration.load(None, {name: value}, {})
        except SettingsError as error:
            said = str(error)
        assert name in said

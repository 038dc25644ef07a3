"""Laws of the product's pure parts that hold for all inputs."""

from collections.abc import Sequence
from contextlib import suppress
from functools import reduce
from io import BytesIO
from itertools import pairwise
from random import Random
from typing import TypeAlias

import msgspec
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from keygrove import configuration
from keygrove.cluster.placement import Placement
from keygrove.errors import SettingsError
from keygrove.ingest.files import batches
from keygrove.ingest.steps import look_into, look_into_dump, read
from keygrove.settings import Settings
from keygrove.storage.absorb import Held, Outcome, absorb
from keygrove.storage.address import SLOTS, content_hash, slot, tree_key
from keygrove.storage.cache import Form
from keygrove.storage.candidate import candidate
from keygrove.storage.derive import derive, digest_terms
from keygrove.storage.derive import read as stored
from keygrove.storage.forms import serve_form
from keygrove.storage.overlay import Entry, Found, Overlay
from keygrove.storage.state import findings_of
from keygrove.storage.store import Digests
from keygrove.storage.tally import Standing, Tally
from keygrove.storage.write import Cause, Denial
from keygrove_chaos.certificates import CREATED, armored, binary, digest_of, made, put_of
from keygrove_chaos.signing import Signer
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.openpgp.certificate import Certificate, canonical, packets
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.merge import merge
from keygrove_protocols.openpgp.policy import MINIMAL, SKS_COMPATIBLE, VERIFIED, Bounds, Policy
from keygrove_protocols.openpgp.redaction import PartHash, user_id_hash, without_parts

texts = st.sets(st.sampled_from(["Alice", "Bob <b@x.example>", "Zoë", "jean-luc", ""]))


def state(found: set[str], subkeys: set[int], signatures: int) -> Certificate:
    return made(1, *sorted(found), subkeys=sorted(subkeys), signatures=signatures)


states = st.builds(state, texts, st.sets(st.integers(2, 4)), st.integers(0, 3))


CROWDED = Policy(preset="sks-compatible", bounds=Bounds(aside_packets=9))
"""Under which little is set aside."""
policies = st.sampled_from([VERIFIED, MINIMAL, SKS_COMPATIBLE, CROWDED])
tampered = st.sets(st.integers(0, 2))


def tamper(certificate: Certificate, marks: set[int]) -> Certificate:
    """With signatures of others put where they are forged."""
    forged = [Signer(60 + mark).sign(0x1F, certificate.primary, unhashed=OWN) for mark in marks]
    direct = (*certificate.direct, *forged)
    return canonical(Certificate(certificate.primary, direct, certificate.components))


OWN = Signer(1).issuer
received = st.builds(tamper, states, tampered)


def meet(held: Held | None, one: Certificate, policy: Policy) -> Held:
    result = absorb(held, [candidate(one, policy, Cause.UPLOAD)], policy, CREATED)
    assert (result.put is None) == (result.outcomes == (Outcome.UNCHANGED,))
    if result.put is not None:
        put = result.put
        assert put.digest == result.digest
        assert put.aside or put.digest == digest_of(stored(put.packets))
        assert derive(put.packets).terms == put.terms
        assert derive(put.packets).words == put.words
        return Held(put.digest, put.packets, put.aside)
    assert held is not None
    assert result.digest == held.digest
    return held


def meet_all(certificates: Sequence[Certificate], policy: Policy) -> Held:
    held: Held | None = None
    for one in certificates:
        held = meet(held, one, policy)
    assert held is not None
    return held


@given(st.lists(received, min_size=1, max_size=5), st.randoms(), policies)
def test_submissions_end_up_the_same_in_any_order_and_number(
    certificates: list[Certificate], random: Random, policy: Policy
) -> None:
    shuffled = [*certificates, *certificates]
    random.shuffle(shuffled)
    assert meet_all(shuffled, policy) == meet_all(certificates, policy)


@given(st.lists(received, min_size=1, max_size=5), policies)
def test_submissions_that_come_at_once_end_up_as_one_after_the_other(
    certificates: list[Certificate], policy: Policy
) -> None:
    incoming = [candidate(one, policy, Cause.UPLOAD) for one in certificates]
    at_once = absorb(None, incoming, policy, CREATED)
    assert at_once.put is not None
    put = at_once.put
    together = Held(put.digest, put.packets, put.aside)
    assert together == meet_all(certificates, policy)


@given(st.lists(received, min_size=1, max_size=4))
def test_what_is_kept_for_sks_has_the_digest_of_all_that_came(
    certificates: list[Certificate],
) -> None:
    held = meet_all(certificates, SKS_COMPATIBLE)
    assert held.digest == digest_of(reduce(merge, certificates))


@given(st.lists(received, min_size=1, max_size=5))
def test_no_more_is_stored_of_a_flood_than_is_served_and_may_be_set_aside(
    certificates: list[Certificate],
) -> None:
    held = meet_all(certificates, CROWDED)
    found = findings_of(held.packets, held.aside)
    served = findings_of(held.packets, b"")
    assert served.facts() <= found.facts()
    number = found.number()
    assert number <= CROWDED.bounds.aside_packets + served.number()
    assert held.digest == digest_of(found.certificate())
    everything = reduce(merge, certificates)
    if len(list(packets(everything))) <= CROWDED.bounds.aside_packets:
        assert held.digest == digest_of(everything)


redactions = st.frozensets(st.sampled_from(["Alice", "Bob <b@x.example>", "Nobody"]))


@given(st.lists(received, min_size=1, max_size=4), st.randoms(), policies, redactions)
def test_p102_redacted_user_ids_are_left_out_in_any_order_and_number(
    certificates: list[Certificate], random: Random, policy: Policy, texts: frozenset[str]
) -> None:
    """What is stored is what would be, had they never been in what came in.

    Of certificates that stand alone without them: others are taken where something is held only.
    """
    redacted = frozenset(user_id_hash(text.encode()) for text in texts)
    less = [without(one, texts) for one in certificates]
    assume(all(candidate(one, policy, Cause.UPLOAD).put is not None for one in less))
    shuffled = [*certificates, *certificates]
    random.shuffle(shuffled)
    known = held_after(certificates, policy, redacted)
    assert held_after(shuffled, policy, redacted) == known
    assert at_once(certificates, policy, redacted) == known
    assert held_after(less, policy, frozenset()) == known
    if known is not None:
        found = findings_of(known.packets, known.aside)
        assert without_parts(found, redacted) is found


def without(certificate: Certificate, texts: frozenset[str]) -> Certificate:
    bodies = {text.encode() for text in texts}
    kept = tuple(one for one in certificate.components if one.packet.body not in bodies)
    return Certificate(certificate.primary, certificate.direct, kept)


def held_after(
    certificates: Sequence[Certificate], policy: Policy, redacted: frozenset[PartHash]
) -> Held | None:
    """One after the other; None if nothing is left of any of them."""
    held: Held | None = None
    for one in certificates:
        incoming = [candidate(one, policy, Cause.UPLOAD)]
        put = absorb(held, incoming, policy, CREATED, redacted).put
        held = held if put is None else Held(put.digest, put.packets, put.aside)
    return held


def at_once(
    certificates: Sequence[Certificate], policy: Policy, redacted: frozenset[PartHash]
) -> Held | None:
    incoming = [candidate(one, policy, Cause.UPLOAD) for one in certificates]
    put = absorb(None, incoming, policy, CREATED, redacted).put
    return None if put is None else Held(put.digest, put.packets, put.aside)


@given(states)
def test_every_form_of_what_was_stored_can_be_served(certificate: Certificate) -> None:
    for form in Form:
        assert serve_form(put_of(certificate).packets, form) is not None


numbers = st.integers(0, 5)
words = st.frozensets(st.sampled_from(["Alice", "Bob", "Zoë"]))


def entry(seq: int, number: int, found: frozenset[str] | None) -> Entry:
    """Of a certificate with these user IDs; of one that is denied, or no longer, without."""
    put = put_of(made(number, *sorted(found or ())))
    if found is None:
        denial = Denial(put.fingerprint, "", CREATED) if seq % 2 else None
        return Entry(seq, tree_key(put.fingerprint), put.fingerprint, None, denial)
    return Entry(
        seq=seq,
        key=tree_key(put.fingerprint),
        fingerprint=put.fingerprint,
        found=Found(
            value=content_hash(put.packets),
            digests=Digests(put.digest, put.sks_digest),
            source=put.source,
            size=put.size,
            terms=put.terms | digest_terms(put.digest, put.sks_digest),
            words=put.words,
        ),
        denial=None,
    )


@given(st.lists(st.tuples(numbers, st.none() | words)), st.sets(st.integers(0, 20)))
def test_an_overlay_is_the_newest_entry_of_each_less_what_was_dropped(
    rows: list[tuple[int, frozenset[str] | None]], dropped: set[int]
) -> None:
    overlay = Overlay()
    newest: dict[Fingerprint, Entry] = {}
    for seq, (number, texts) in enumerate(rows):
        one = entry(seq, number, texts)
        overlay.add(one)
        newest[one.fingerprint] = one
    for one in list(newest.values()):
        if one.seq in dropped:
            overlay.drop(one)
            del newest[one.fingerprint]
    assert overlay.entries() == sorted(newest.values(), key=lambda one: one.key)
    held = {one.seq: one.found for one in newest.values() if one.found is not None}
    for term in {term for found in held.values() for term in found.terms}:
        found_by = {one.seq for one in overlay.find(term)}
        assert found_by == {seq for seq, found in held.items() if term in found.terms}
    for word in ("alice", "bob", "zoë"):
        found_by = {one.seq for one in overlay.search(frozenset({word}))}
        assert found_by == {seq for seq, found in held.items() if word in found.words}


Change: TypeAlias = tuple[bool, int, int]
"""Whether it is the first version, its size, and the hour."""

changes = st.lists(st.tuples(st.booleans(), st.integers(1, 50), st.integers(0, 300)))


def tally(some: list[Change]) -> Tally:
    counted = Tally()
    for is_first, grown, hour in sorted(some, key=lambda change: change[2]):
        counted.count(Standing(0, is_denied=False), Standing(grown, is_denied=not is_first))
        counted.count_put(is_first=is_first, at=CREATED + hour * 3600)
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
    assert apart.denials == together.denials
    kept = set(together.counts(0).hours)
    assert kept <= set(apart.counts(0).hours)


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
    found_in = batches(Trickle(b"".join(wanted)))
    assert [one.octets for batch in found_in for one in batch.certificates] == wanted


@given(st.binary(max_size=400))
def test_any_file_is_read_or_refused(data: bytes) -> None:
    with suppress(ProtocolError):
        for batch in batches(BytesIO(data)):
            assert batch.certificates or batch.skipped


@given(st.binary(max_size=400), policies)
def test_any_submission_is_looked_into_or_refused(data: bytes, policy: Policy) -> None:
    with suppress(ProtocolError):
        reading = read(data)
        prepared = look_into(reading, policy)
        assert len(prepared.ones) == len(reading.certificates)
        assert prepared.ones or reading.revocation


@given(st.binary(max_size=400), policies)
def test_any_certificate_of_a_dump_is_looked_into_or_refused(data: bytes, policy: Policy) -> None:
    one, other = look_into_dump([data, binary([made(1)])], policy).ones
    assert (one.at, other.at) == (0, 1)
    assert not other.error


@given(st.lists(st.builds(made, st.integers(0, 9), st.sampled_from(["Alice", "Bob"]))))
def test_a_submission_is_read_alike_armored_or_not(certificates: list[Certificate]) -> None:
    if certificates:
        assert read(binary(certificates)) == read(armored(*certificates))


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

"""Laws of packets, armor, certificates and queries that hold for every input."""

from contextlib import suppress
from functools import reduce
from pathlib import Path
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from keygrove_protocols.errors import EmptyInputError, ProtocolError
from keygrove_protocols.hkp.index import parse_index, write_index
from keygrove_protocols.hkp.v1 import parse_add, parse_lookup
from keygrove_protocols.limits import SUBMISSION
from keygrove_protocols.openpgp.armor import armor, dearmor, dearmored
from keygrove_protocols.openpgp.certificate import (
    Certificate,
    Component,
    Refused,
    canonical,
    group,
    packets,
    to_bytes,
)
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.keys import parse_key
from keygrove_protocols.openpgp.merge import merge
from keygrove_protocols.openpgp.packets import CertificateSplitter, Cut, Packet, join, split
from keygrove_protocols.openpgp.signatures import read_signature
from keygrove_protocols.openpgp.summary import Summary, UserIdSummary, summary
from keygrove_protocols.openpgp.terms import terms
from keygrove_protocols.openpgp.userid import normal_text, parse_user_id, words
from keygrove_protocols.openpgp.views import legacy_view

VECTORS = Path(__file__).parents[2] / "vectors" / "openpgp"
NAMES = (
    "merge-c.pgp",
    "v4-v3sig.pgp",
    "uat-image.pgp",
    "v6-ed448.pgp",
    "uid-edge.pgp",
    "rev-soft.pgp",
)
REAL = [(VECTORS / name).read_bytes() for name in NAMES]

bodies = st.binary(max_size=64) | st.integers(190, 9000).map(bytes)
sequences = st.lists(st.builds(Packet, st.integers(1, 63), bodies), max_size=8)
real = st.sampled_from(REAL)


def read(data: bytes) -> Certificate:
    (found,) = group(split(data, SUBMISSION), SUBMISSION)
    assert isinstance(found, Certificate)
    return found


@st.composite
def parts(draw: st.DrawFn, whole: Certificate | None = None) -> Certificate:
    """Some of a real certificate's packets, in any order and number, and its primary key."""
    whole = whole or read(draw(real))
    direct = st.lists(st.sampled_from(whole.direct), max_size=4) if whole.direct else st.just([])
    chosen: list[Component] = []
    for component in draw(st.lists(st.sampled_from(whole.components), max_size=6)):
        some = st.lists(st.sampled_from(component.signatures), max_size=4)
        signatures = draw(some) if component.signatures else []
        chosen.append(Component(component.packet, tuple(signatures)))
    return Certificate(whole.primary, tuple(draw(direct)), tuple(chosen))


def states(count: int) -> st.SearchStrategy[list[Certificate]]:
    """States of one certificate."""
    return real.flatmap(lambda data: st.lists(parts(read(data)), min_size=count, max_size=count))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real certificate with some octets changed, some left out, some put in."""
    data = bytearray(draw(real))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


def use(data: bytes) -> None:
    """Do with the data all that a server does."""
    for one in group(split(dearmor(data, SUBMISSION).data, SUBMISSION), SUBMISSION):
        if isinstance(one, Refused):
            continue
        certificate = canonical(one)
        assert read(to_bytes(certificate)) == canonical(read(to_bytes(one)))
        sks_digest(packets(certificate))
        terms(certificate)
        write_index([summary(certificate)], 0)
        legacy_view(certificate)


ARMOR_PARTS = [
    b"-----BEGIN PGP PUBLIC KEY BLOCK-----",
    b"-----END PGP PUBLIC KEY BLOCK-----",
    b"- -----BEGIN PGP PUBLIC KEY BLOCK-----\n",
    b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n",
    b"Comment: any\n",
    b"mQAA",
    b"mQ==",
    b"\r\n",
    b"\n",
    b"=AAAA",
    b" ",
    b"-",
]
"""Of what armor is made, to be put together in any order."""


@given(sequences)
def test_split_undoes_join(these: list[Packet]) -> None:
    assert split(join(these), SUBMISSION) == these


@given(st.binary(max_size=300))
def test_dearmor_undoes_armor(data: bytes) -> None:
    data = b"\x99" + data
    assert dearmor(armor(data), SUBMISSION).data == data
    assert dearmor(armor(data), SUBMISSION).crc_ok is True
    assert dearmor(armor(data, checksum=False), SUBMISSION).data == data


@given(
    st.lists(st.one_of(st.binary(min_size=1).map(armor), st.sampled_from(ARMOR_PARTS))),
    st.integers(1, 300),
)
def test_armor_in_pieces_is_read_as_armor_in_one(parts: list[bytes], size: int) -> None:
    text = b"text\n" + b"".join(parts)
    whole: bytes | None
    try:
        whole = dearmor(text, SUBMISSION).data
    except EmptyInputError:
        whole = b""
    except ProtocolError:
        whole = None
    pieces = (text[at : at + size] for at in range(0, len(text), size))
    try:
        found: bytes | None = b"".join(dearmored(pieces))
    except ProtocolError:
        found = None
    assert found == whole


@given(st.binary())
def test_p013_random_octets_are_read_or_refused(data: bytes) -> None:
    for attempt in (data, b"\x99" + data, armor(data)):
        with suppress(ProtocolError):
            use(attempt)
    with suppress(ProtocolError):
        parse_key(data)
    read_signature(data)


@given(mutated())
def test_p013_damaged_certificates_are_read_or_refused(data: bytes) -> None:
    with suppress(ProtocolError):
        use(data)
    with suppress(ProtocolError):
        use(armor(data))


@given(st.binary(max_size=60), st.sampled_from([2, 3, 4, 5, 6]), st.integers(0, 255))
def test_p040_keys_of_any_numbers_are_read_or_refused(
    material: bytes, version: int, algorithm: int
) -> None:
    length = len(material).to_bytes(4) if version > 4 else b""
    with suppress(ProtocolError):
        parse_key(bytes([version, 0, 0, 0, 0, algorithm]) + length + material)


@given(st.binary(), st.sampled_from([3, 4, 5, 6]))
def test_signatures_of_any_octets_are_read_or_malformed(data: bytes, version: int) -> None:
    read_signature(bytes([version]) + data)


@given(real)
def test_p012_every_beginning_of_a_certificate_is_a_beginning_of_its_packets(data: bytes) -> None:
    whole = split(data, SUBMISSION)
    ends = {len(join(whole[:count])) for count in range(len(whole) + 1)}
    for cut in range(len(data)):
        try:
            found = split(data[:cut], SUBMISSION)
        except ProtocolError:
            continue
        assert found == whole[: len(found)]
        assert len(ends) > len(found)


@given(st.lists(real, max_size=4), st.integers(1, 400))
def test_a_stream_is_cut_into_its_certificates(these: list[bytes], size: int) -> None:
    stream, splitter = b"".join(these), CertificateSplitter(SUBMISSION)
    found: list[Cut] = []
    for at in range(0, len(stream), size):
        found += splitter.feed(stream[at : at + size])
    found += splitter.close()
    assert [one.octets for one in found] == these
    assert all(stream.startswith(one.octets, one.place.offset) for one in found)
    assert [one.place.number for one in found] == list(range(1, len(these) + 1))


@given(st.binary(), st.integers(1, 9))
def test_a_stream_of_any_octets_is_cut_or_refused(data: bytes, size: int) -> None:
    splitter = CertificateSplitter(SUBMISSION)
    with suppress(ProtocolError):
        for at in range(0, len(data), size):
            splitter.feed(data[at : at + size])
        splitter.close()


@given(parts())
def test_p087_the_canonical_form_is_a_fixpoint(certificate: Certificate) -> None:
    once = canonical(certificate)
    assert canonical(once) == once
    assert read(to_bytes(once)) == once


@given(parts(), st.randoms())
def test_p087_the_canonical_form_does_not_depend_on_the_order(
    certificate: Certificate, random: Random
) -> None:
    shuffled = Certificate(
        certificate.primary,
        tuple(random.sample(certificate.direct, len(certificate.direct))),
        tuple(random.sample(certificate.components, len(certificate.components))),
    )
    assert canonical(shuffled) == canonical(certificate)


@given(states(3))
def test_p082_merge_is_a_semilattice(these: list[Certificate]) -> None:
    a, b, c = these
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, a) == canonical(a)
    assert merge(merge(a, b), a) == merge(a, b)


@given(real, st.data())
def test_p086_a_certificate_in_parts_merges_into_the_whole(
    octets: bytes, data: st.DataObject
) -> None:
    whole = canonical(read(octets))
    facts = [Certificate(whole.primary, (packet,)) for packet in whole.direct]
    for component in whole.components:
        alone = Component(component.packet)
        each = [Component(component.packet, (packet,)) for packet in component.signatures]
        facts += [Certificate(whole.primary, (), (one,)) for one in (alone, *each)]
    shuffled = data.draw(st.permutations(facts))
    merged = reduce(merge, shuffled, Certificate(whole.primary))
    assert merged == whole
    assert sks_digest(packets(merged)) == sks_digest(packets(whole))


@given(sequences, st.randoms())
def test_the_digest_does_not_depend_on_the_order(these: list[Packet], random: Random) -> None:
    assert sks_digest(random.sample(these, len(these))) == sks_digest(these)


@given(st.text())
def test_a_normal_text_is_normal(text: str) -> None:
    once = normal_text(text)
    assert normal_text(once) == once
    assert words(once) == words(text)


@given(st.text())
def test_words_hold_nothing_but_letters_digits_and_hyphens(text: str) -> None:
    for word in words(text):
        assert all(character.isalnum() for character in word.replace("-", ""))
        assert word.strip("-") == word


@given(st.binary())
def test_an_address_is_its_own_normal_form(body: bytes) -> None:
    address = parse_user_id(body).address
    if address is not None:
        assert parse_user_id(address.encode()).address == address


@given(st.binary())
def test_any_query_is_read_or_refused(query: bytes) -> None:
    for attempt in (query, b"op=get&search=" + query, b"op=hget&search=0x" + query):
        with suppress(ProtocolError):
            parse_lookup(attempt)


@given(st.binary(), st.none() | st.text() | st.just("multipart/form-data; boundary=a"))
def test_any_form_is_read_or_refused(body: bytes, content_type: str | None) -> None:
    for attempt in (body, b"keytext=" + body, b"--a\r\n" + body + b"\r\n--a--"):
        with suppress(ProtocolError):
            parse_add(attempt, content_type)


times = st.none() | st.integers(0, 2**33)
user_ids = st.builds(UserIdSummary, st.binary(max_size=40), times, times, st.booleans())
summaries = st.builds(
    Summary,
    version=st.just(4),
    fingerprint=st.binary(min_size=20, max_size=20),
    created=st.integers(0, 2**32),
    expires=times,
    algorithm=st.integers(0, 255),
    bits=st.integers(1, 16_384),
    user_ids=st.lists(user_ids, max_size=3).map(tuple),
    subkeys=st.just(()),
)


@given(st.lists(summaries, max_size=3), st.integers(0, 2**33))
def test_parse_index_undoes_write_index(these: list[Summary], now: int) -> None:
    index = write_index(these, now)
    found = parse_index(index)
    assert [key.fingerprint for key in found] == [one.fingerprint for one in these]
    assert [(key.created, key.expires) for key in found] == [
        (one.created, one.expires) for one in these
    ]
    assert [[u.text for u in key.user_ids] for key in found] == [
        [u.text for u in one.user_ids] for one in these
    ]
    assert index.isascii()


@given(st.binary())
def test_any_index_is_read_or_refused(data: bytes) -> None:
    for attempt in (data, b"pub:" + data, b"pub:01234567\nuid:" + data):
        with suppress(ProtocolError):
            parse_index(attempt)

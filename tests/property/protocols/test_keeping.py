"""Laws of what is found out about certificates and of what is kept of them."""

from collections.abc import Iterable
from contextlib import suppress
from functools import reduce
from pathlib import Path
from random import Random
from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from keygrove_chaos.signing import CREATED, subpacket
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.certificate import (
    Certificate,
    Component,
    canonical,
    group,
    to_bytes,
)
from keygrove_protocols.openpgp.findings import Mark, marked, marks_of, unite
from keygrove_protocols.openpgp.hashing import SHA1, Scope, attested_digest
from keygrove_protocols.openpgp.merge import merge
from keygrove_protocols.openpgp.packets import Packet, Tag, split
from keygrove_protocols.openpgp.policy import MINIMAL, VERIFIED, Bounds, Policy
from keygrove_protocols.openpgp.rules import keep
from keygrove_protocols.openpgp.signatures import KEY_REVOCATION, read_signature
from keygrove_protocols.openpgp.thirdparty import approved
from keygrove_protocols.openpgp.variants import fold_variants, signature_id
from keygrove_protocols.openpgp.verification import verify
from tests.openpgp import (
    ALICE,
    ATTESTS,
    BINDING,
    BOB,
    CAROL,
    CONSENTS,
    DIRECT,
    GENERIC,
    NAME,
    OTHER_NAME,
    POSITIVE,
    REVOKES,
    REVOKES_NAME,
    REVOKES_SUBKEY,
    SELF,
    SUBKEY,
    named_by,
    reason,
    revoker,
    signed,
    with_hints,
    with_wrong_digest,
    with_wrong_value,
)

VECTORS = Path(__file__).parents[2] / "vectors" / "openpgp"
ATTESTED = Policy(third_party="attested")
WITH_ATTRIBUTES = Policy(user_attributes=True)
AUTHENTICATES = 0x20
POLICIES = (VERIFIED, MINIMAL, ATTESTED, WITH_ATTRIBUTES)

Fact: TypeAlias = tuple[Packet | None, Packet | None]
"""A component, None for the primary key, and a signature on it, None for the component alone."""


def read(data: bytes) -> list[Certificate]:
    with suppress(ProtocolError):
        found = group(split(dearmor(data, BULK).data, BULK), BULK)
        return [one for one in found if isinstance(one, Certificate)]
    return []


def listed(*certifications: Packet) -> bytes:
    digests = b""
    for packet in certifications:
        signature = read_signature(packet.body)
        assert signature is not None
        digests += attested_digest(8, signature, packet.body) or b""
    return subpacket(37, digests)


BINDINGS = (BINDING, ALICE.bind(ALICE.primary, SUBKEY, AUTHENTICATES))
BACKSIGS = (
    signed(SUBKEY, CONSENTS, SUBKEY.subkey, created=CREATED + 9),
    signed(SUBKEY, CONSENTS, SUBKEY.subkey, created=CREATED + 8, hashed=named_by(SUBKEY)),
    signed(SUBKEY, CONSENTS, SUBKEY.subkey, created=CREATED + 10, hash_algorithm=SHA1),
    with_wrong_value(signed(SUBKEY, CONSENTS, SUBKEY.subkey, created=CREATED + 11)),
)
BOBS, CAROLS = signed(BOB, GENERIC, NAME), signed(CAROL, GENERIC, NAME, hashed=named_by(CAROL))
ATTRIBUTE = Packet(Tag.USER_ATTRIBUTE, b"\x02\x01a")
RICH = Certificate(
    ALICE.primary,
    (
        signed(ALICE, REVOKES, hashed=reason(1)),
        signed(ALICE, DIRECT, hashed=revoker(BOB.key.fingerprint)),
        signed(BOB, REVOKES),
        signed(CAROL, REVOKES),
        signed(CAROL, DIRECT),
        signed(ALICE, REVOKES_NAME),
    ),
    (
        Component(
            NAME,
            (
                SELF,
                signed(ALICE, POSITIVE, NAME, created=CREATED + 9, hashed=named_by(ALICE)),
                BOBS,
                CAROLS,
                signed(BOB, REVOKES_NAME, NAME),
                signed(CAROL, REVOKES_NAME, NAME),
                signed(ALICE, ATTESTS, NAME, hashed=listed(BOBS, CAROLS)),
                signed(ALICE, ATTESTS, NAME, created=CREATED + 1, hashed=listed(BOBS)),
                signed(ALICE, REVOKES_NAME, NAME),
            ),
        ),
        Component(
            OTHER_NAME,
            (
                signed(ALICE, POSITIVE, OTHER_NAME),
                signed(ALICE, POSITIVE, OTHER_NAME, created=CREATED + 1),
                *(signed(one, GENERIC, OTHER_NAME) for one in (BOB, CAROL)),
            ),
        ),
        Component(ATTRIBUTE, (signed(ALICE, POSITIVE, ATTRIBUTE), signed(BOB, GENERIC, ATTRIBUTE))),
        Component(
            SUBKEY.subkey,
            (
                *BINDINGS,
                signed(ALICE, REVOKES_SUBKEY, SUBKEY.subkey),
                signed(BOB, REVOKES_SUBKEY, SUBKEY.subkey),
            ),
        ),
    ),
)
HARD = Certificate(RICH.primary, (*RICH.direct, signed(ALICE, REVOKES)), RICH.components)
REAL = [one for file in sorted(VECTORS.glob("*.*")) for one in read(file.read_bytes())]
GENERATED = [RICH, HARD]
SMALL = [one for one in REAL if len(to_bytes(one)) < 20_000]
wholes = st.sampled_from(GENERATED) | st.sampled_from(SMALL)
policies = st.sampled_from(POLICIES)


def facts(certificate: Certificate) -> list[Fact]:
    found: list[Fact] = [(None, packet) for packet in certificate.direct]
    for component in certificate.components:
        found.append((component.packet, None))
        found += [(component.packet, packet) for packet in component.signatures]
    return found


def of(primary: Packet, some: Iterable[Fact]) -> Certificate:
    """The certificate of these facts, in their order."""
    some = list(some)
    return Certificate(
        primary,
        tuple(packet for place, packet in some if place is None and packet is not None),
        tuple(
            Component(place, () if packet is None else (packet,))
            for place, packet in some
            if place is not None
        ),
    )


def anchors(whole: Certificate) -> dict[Packet | None, list[Fact]]:
    """For each place what keeps other things there: the primary key's own, and what it approves."""
    findings = verify(whole)
    wanted = approved(findings)
    return {
        place: [(place, one.packet) for one in found if one.mark is Mark.VALID or id(one) in wanted]
        for place, found in findings.places()
    }


@st.composite
def altered(draw: st.DrawFn, packet: Packet) -> Packet:
    """A signature with something done to it that need not be noticed, or an octet altered."""
    signature, body = read_signature(packet.body), packet.body
    changes = st.sampled_from(["octet", "digest", "hints"])
    match draw(changes) if signature is not None and signature.version > 3 else "octet":
        case "digest":
            return with_wrong_digest(packet)
        case "hints":
            assert signature is not None
            issuer = [
                subpacket(16, signature.issuer or bytes(8)),
                subpacket(16, bytes(8)),
                BOB.issuer,
                named_by(BOB),
                subpacket(100, b""),
                *(subpacket(32, one) for one in signature.embedded[:1] if len(one) < 8000),
                *(subpacket(32, one.body) for one in BACKSIGS if packet in BINDINGS),
            ]
            chosen = draw(st.lists(st.sampled_from(issuer), max_size=3))
            return with_hints(packet, b"".join(chosen))
        case _:
            at = draw(st.integers(0, max(len(body) - 1, 0)))
            flipped = bytes((body[at] ^ 1 << draw(st.integers(0, 7)),)) if body else b""
            return Packet(Tag.SIGNATURE, body[:at] + flipped + body[at + 1 :])


@st.composite
def some_facts(draw: st.DrawFn, whole: Certificate) -> list[Fact]:
    """Facts of a certificate in any order and number, some of them altered."""
    all_facts = facts(whole)
    chosen = draw(st.lists(st.sampled_from(all_facts), max_size=12)) if all_facts else []
    return [
        (place, draw(st.just(packet) | altered(packet)) if packet is not None else None)
        for place, packet in chosen
    ]


@st.composite
def anchored(draw: st.DrawFn, count: int) -> list[Certificate]:
    """Parts of one certificate, each with what keeps the things that are in it."""
    whole = draw(wholes)
    held = anchors(whole)
    parts: list[Certificate] = []
    for _ in range(count):
        chosen = draw(some_facts(whole))
        places = [None, *dict.fromkeys(place for place, _ in chosen if place is not None)]
        extra = [fact for place in places for fact in held.get(place, [])]
        if whole in GENERATED:  # else hard or soft revocations are in every part
            extra = [fact for fact in extra if not is_revocation(fact)]
        parts.append(of(whole.primary, draw(st.permutations(chosen + extra))))
    return parts


def is_revocation(fact: Fact) -> bool:
    place, packet = fact
    signature = read_signature(packet.body) if packet is not None else None
    return place is None and signature is not None and signature.kind == KEY_REVOCATION


@st.composite
def unanchored(draw: st.DrawFn, count: int = 2) -> list[Certificate]:
    """Parts of one certificate, whatever is in them."""
    whole = draw(wholes)
    return [of(whole.primary, draw(some_facts(whole))) for _ in range(count)]


def kept(certificate: Certificate, policy: Policy) -> Certificate:
    return keep(verify(certificate), policy).findings.certificate()


def unbound(certificate: Certificate, policy: Policy) -> Certificate:
    """The components of which nothing is kept, with what is on them."""
    held = {one.packet for one in kept(certificate, policy).components}
    rest = tuple(one for one in certificate.components if one.packet not in held)
    return Certificate(certificate.primary, (), rest)


@given(anchored(3), policies)
def test_p083_what_is_kept_of_all_is_kept_of_what_was_kept(
    parts: list[Certificate], policy: Policy
) -> None:
    whole = kept(reduce(merge, parts), policy)
    assert kept(reduce(merge, [kept(one, policy) for one in parts]), policy) == whole
    assert kept(merge(kept(merge(parts[0], parts[1]), policy), parts[2]), policy) == whole


FLOOD = [
    signed(one, GENERIC, NAME, created=CREATED + at, hashed=subpacket(20, bytes(40 * (at * 7 % 5))))
    for at, one in enumerate([BOB, CAROL, SUBKEY] * 3)
]
OWN = [
    signed(ALICE, kind, NAME, created=CREATED + at)
    for kind in (POSITIVE, ATTESTS)
    for at in range(3)
]


@given(
    st.lists(st.lists(st.sampled_from(FLOOD + OWN)), min_size=2, max_size=3),
    st.builds(Bounds, third_party_signatures=st.integers(0, 6))
    | st.builds(Bounds, own_signatures=st.integers(1, 3))
    | st.builds(Bounds, packets=st.integers(1, 12))
    | st.builds(Bounds, certificate_octets=st.integers(200, 2000)),
)
def test_p083_bounds_keep_the_same_of_parts_as_of_the_whole(
    chosen: list[list[Packet]], bounds: Bounds
) -> None:
    policy = Policy(bounds=bounds)
    parts = [Certificate(ALICE.primary, (), (Component(NAME, (SELF, *some)),)) for some in chosen]
    whole = kept(reduce(merge, parts), policy)
    assert kept(reduce(merge, [kept(one, policy) for one in parts]), policy) == whole
    assert kept(whole, policy) == whole


REVOKERS_FLOOD = [
    signed(one, REVOKES, created=CREATED + at * 5 % 7)
    for at, one in enumerate([BOB, CAROL, SUBKEY] * 3)
]


@given(
    st.lists(st.lists(st.sampled_from(REVOKERS_FLOOD)), min_size=2, max_size=3),
    st.builds(Bounds, third_party_signatures=st.integers(0, 6))
    | st.builds(Bounds, packets=st.integers(4, 12))
    | st.builds(Bounds, certificate_octets=st.integers(400, 2000)),
)
def test_p083_bounds_keep_the_same_of_revocations_by_others(
    chosen: list[list[Packet]], bounds: Bounds
) -> None:
    policy = Policy(bounds=bounds)
    lets_bob = signed(ALICE, DIRECT, hashed=revoker(BOB.key.fingerprint))
    name = (Component(NAME, (SELF,)),)
    parts = [Certificate(ALICE.primary, (lets_bob, *some), name) for some in chosen]
    whole = kept(reduce(merge, parts), policy)
    assert kept(reduce(merge, [kept(one, policy) for one in parts]), policy) == whole
    assert kept(whole, policy) == whole


@given(unanchored())
def test_p083_only_what_nobody_bound_has_to_come_again(parts: list[Certificate]) -> None:
    """The exception that the rules name, exactly: with it the law holds for any parts."""
    a, b = parts
    left = [kept(one, VERIFIED) for one in parts] + [unbound(one, VERIFIED) for one in parts]
    assert kept(reduce(merge, left), VERIFIED) == kept(merge(a, b), VERIFIED)
    again = reduce(merge, [kept(one, VERIFIED) for one in parts] + parts)
    assert kept(again, VERIFIED) == kept(merge(a, b), VERIFIED)


@given(unanchored(), policies)
def test_what_was_kept_is_kept(parts: list[Certificate], policy: Policy) -> None:
    once = keep(verify(parts[0]), policy)
    again = keep(once.findings, policy)
    assert (again.findings, again.pruned, again.dropped) == (once.findings, {}, ())
    assert again.error == once.error


@given(unanchored(1), policies, st.randoms())
def test_p087_what_is_kept_is_canonical_whatever_the_order(
    parts: list[Certificate], policy: Policy, random: Random
) -> None:
    (part,) = parts
    form = kept(part, policy)
    assert canonical(form) == form
    shuffled = of(part.primary, random.sample(facts(part), len(facts(part))))
    assert kept(shuffled, policy) == form


@given(unanchored(1), policies)
def test_p094_what_is_served_is_trusted_and_kept_again_unchanged(
    parts: list[Certificate], policy: Policy
) -> None:
    found = keep(verify(parts[0]), policy)
    form = found.findings.certificate()
    (served,) = read(to_bytes(form))
    assert served == form
    trusted = marked(served)
    assert trusted == verify(served)
    again = keep(trusted, policy)
    assert (again.findings.certificate(), again.pruned, again.error) == (form, {}, found.error)


@given(unanchored())
def test_p094_verifying_a_merge_by_what_is_known_is_verifying_it(
    parts: list[Certificate],
) -> None:
    known = marks_of(unite([*map(verify, parts)]))
    assert verify(reduce(merge, parts), known) == verify(reduce(merge, parts))


@given(unanchored(1), st.randoms())
def test_p085_one_copy_of_each_signature_is_kept_in_any_order(
    parts: list[Certificate], random: Random
) -> None:
    findings = verify(parts[0])
    for place, found in findings.places():
        scope = Scope(findings.primary, place)
        folded = fold_variants(found, scope)
        assert fold_variants(folded, scope) == folded
        shuffled = random.sample(found, len(found))
        assert set(fold_variants(shuffled, scope)) == set(folded)
        valid = [signature_id(one) for one in folded if one.mark is Mark.VALID]
        assert len(valid) == len(set(valid))
        assert {signature_id(one) for one in folded} == {signature_id(one) for one in found}


@given(st.sampled_from(SMALL).map(to_bytes), st.data())
def test_p013_damaged_certificates_are_looked_into(octets: bytes, data: st.DataObject) -> None:
    damaged = bytearray(octets)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(damaged)))
        damaged[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    for certificate in read(bytes(damaged)):
        findings = verify(certificate)
        for policy in POLICIES:
            form = keep(findings, policy).findings.certificate()
            assert canonical(form) == form

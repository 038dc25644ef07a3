"""What goes first where a certificate is more than may be kept, and what never goes."""

import msgspec
import pytest

from keygrove_chaos.signing import CREATED, Signer, subpacket
from keygrove_protocols.openpgp.certificate import Certificate, Component, packets
from keygrove_protocols.openpgp.findings import marked
from keygrove_protocols.openpgp.merge import merge
from keygrove_protocols.openpgp.packets import Packet, Tag
from keygrove_protocols.openpgp.policy import Bounds, Policy
from keygrove_protocols.openpgp.rules import Kept, keep
from keygrove_protocols.openpgp.verification import verify
from tests.openpgp import (
    ALICE,
    ATTESTS,
    BINDING,
    BINDS,
    BOB,
    CAROL,
    DIRECT,
    ENCRYPTS,
    GENERIC,
    NAME,
    OTHER_NAME,
    OTHER_SUBKEY,
    POSITIVE,
    REVOKES,
    REVOKES_NAME,
    REVOKES_SUBKEY,
    SELF,
    SUBKEY,
    alice,
    on_subkey,
    revoker,
    signed,
    with_hints,
)


def bounded(**bounds: int) -> Policy:
    return Policy(bounds=Bounds(**bounds))


def kept(certificate: Certificate, policy: Policy) -> Kept:
    return keep(verify(certificate), policy)


def on_name(found: Kept) -> set[Packet]:
    """The signatures kept on Alice's user ID."""
    (bundle,) = (one for one in found.findings.bundles if one.packet == NAME)
    return {one.packet for one in bundle.findings}


def octets(certificate: Certificate) -> int:
    return sum(len(packet.body) for packet in packets(certificate))


def theirs(count: int) -> list[Packet]:
    """Of others, the oldest first."""
    return [signed(Signer(100 + at), GENERIC, NAME, created=CREATED + at) for at in range(count)]


def test_p098_of_others_signatures_at_a_place_the_latest_go() -> None:
    some = theirs(4)
    assert on_name(kept(alice(*some), bounded(third_party_signatures=4))) == {SELF, *some}
    assert on_name(kept(alice(*some), bounded(third_party_signatures=3))) == {SELF, *some[:3]}
    assert on_name(kept(alice(*some), bounded(third_party_signatures=0))) == {SELF}


def test_p098_each_place_has_its_own_bound() -> None:
    direct = (signed(BOB, DIRECT), signed(CAROL, DIRECT))
    found = kept(alice(*theirs(2), direct=direct), bounded(third_party_signatures=2))
    assert found.pruned == {}


def test_p098_of_own_signatures_at_a_place_the_oldest_go() -> None:
    own = [signed(ALICE, POSITIVE, NAME, created=CREATED + at) for at in range(1, 4)]
    assert on_name(kept(alice(*own), bounded(own_signatures=4))) == {SELF, *own}
    assert on_name(kept(alice(*own), bounded(own_signatures=3))) == set(own)


def test_attestations_push_no_binding_out() -> None:
    attestations = [signed(ALICE, ATTESTS, NAME, created=CREATED + at) for at in range(1, 4)]
    found = kept(alice(*attestations), bounded(own_signatures=2))
    assert on_name(found) == {SELF, *attestations[1:]}
    certificate = found.findings.certificate()
    assert keep(marked(certificate), bounded(own_signatures=2)).findings.certificate() == (
        certificate
    )


def test_p099_own_revocations_are_beside_every_bound() -> None:
    revocations = [signed(ALICE, REVOKES_NAME, NAME, created=CREATED + at) for at in range(3)]
    direct = signed(ALICE, REVOKES, hashed=subpacket(29, b"\1"))
    whole = alice(*revocations, direct=(direct,))
    full = bounded(own_signatures=1, packets=3, certificate_octets=octets(alice()))
    found = kept(whole, full)
    assert (found.error, found.pruned) == (None, {})
    assert kept(alice(), full).error is None


@pytest.mark.parametrize("spare", [0, 1])
def test_p099_a_certificate_filled_to_its_limits_takes_a_revocation(spare: int) -> None:
    flooded = on_subkey(BINDING)
    name, subkey = flooded.components
    flooded = Certificate(
        flooded.primary, (), (Component(name.packet, (*name.signatures, *theirs(9))), subkey)
    )
    full = bounded(
        certificate_octets=octets(on_subkey(BINDING)) + spare,
        packets=5 + spare,
        own_signatures=1,
        third_party_signatures=4,
    )
    assert kept(flooded, full).error is None
    revocations = {
        None: signed(ALICE, REVOKES),
        NAME: signed(ALICE, REVOKES_NAME, NAME),
        SUBKEY.subkey: signed(ALICE, REVOKES_SUBKEY, SUBKEY.subkey),
    }
    for component, revocation in revocations.items():
        alone = (
            Certificate(ALICE.primary, (revocation,), ())
            if component is None
            else Certificate(ALICE.primary, (), (Component(component, (revocation,)),))
        )
        found = kept(merge(flooded, alone), full)
        assert found.error is None
        assert revocation in {one.packet for _, some in found.findings.places() for one in some}


def test_p098_in_all_the_latest_of_others_go_first() -> None:
    some = theirs(4)
    whole = alice(*some)
    room = octets(whole)
    assert kept(whole, bounded(certificate_octets=room)).pruned == {}
    less = room - len(some[3].body)
    assert on_name(kept(whole, bounded(certificate_octets=less))) == {SELF, *some[:3]}
    assert on_name(kept(whole, bounded(packets=len(list(packets(whole)))))) == {SELF, *some}
    assert on_name(kept(whole, bounded(packets=len(list(packets(whole))) - 1))) == {SELF, *some[:3]}


LETS_BOB = signed(ALICE, DIRECT, hashed=revoker(BOB.key.fingerprint))
BY_BOB = signed(BOB, REVOKES, created=CREATED + 99)


def test_p093_a_named_revokers_revocation_stays_where_strangers_go() -> None:
    """Though it is the latest of all: with the rest of others' signatures a flood pushed it out."""
    flood = tuple(signed(Signer(100 + at), REVOKES, created=CREATED + at) for at in range(9))
    at_a_place = kept(alice(direct=(LETS_BOB, *flood, BY_BOB)), bounded(third_party_signatures=3))
    assert {one.packet for one in at_a_place.findings.direct} == {LETS_BOB, BY_BOB, *flood[:2]}
    on_key = signed(BOB, REVOKES_SUBKEY, SUBKEY.subkey, created=CREATED + 99)
    whole = on_subkey(BINDING, on_key)
    whole = merge(whole, alice(*theirs(9), direct=(LETS_BOB, *flood, BY_BOB)))
    in_all = kept(whole, bounded(packets=8))
    left = {one.packet for _, some in in_all.findings.places() for one in some}
    assert {BY_BOB, on_key} <= left
    assert len(left) == 5


def test_p093_nobody_is_a_revoker_by_saying_so() -> None:
    flood = tuple(signed(Signer(100 + at), REVOKES, created=CREATED + at) for at in range(3))
    naming_himself = signed(BOB, DIRECT, created=CREATED + 50, hashed=revoker(BOB.key.fingerprint))
    found = kept(alice(direct=(naming_himself, *flood, BY_BOB)), bounded(third_party_signatures=3))
    assert {one.packet for one in found.findings.direct} == set(flood)


def test_the_last_of_others_signatures_may_end_beyond_the_bound() -> None:
    some = theirs(2)
    room = octets(alice(some[0]))
    assert on_name(kept(alice(*some), bounded(certificate_octets=room + 1))) == {SELF, *some}


def test_p083_a_long_signature_left_out_lets_no_later_one_in() -> None:
    """Else a part with the long one, and one with the short one, end otherwise than the whole."""
    first = signed(BOB, GENERIC, NAME)
    long = signed(CAROL, GENERIC, NAME, created=CREATED + 1, hashed=subpacket(20, bytes(500)))
    short = signed(Signer(9), GENERIC, NAME, created=CREATED + 2)
    policy = bounded(certificate_octets=octets(alice(first, short)) + 50)
    parts = [kept(one, policy).findings.certificate() for one in (alice(first, long), alice(short))]
    merged = kept(merge(*parts), policy)
    assert (
        merged.findings.certificate()
        == kept(alice(first, long, short), policy).findings.certificate()
    )
    assert on_name(merged) == {SELF, first, long}


@pytest.mark.parametrize(
    "bounds",
    [
        pytest.param({"user_ids": 1}, id="user-ids"),
        pytest.param({"subkeys": 1}, id="subkeys"),
        pytest.param({"packets": 8}, id="packets"),
        pytest.param({"certificate_octets": -1}, id="octets"),
        pytest.param({"key_octets": len(ALICE.primary.body) - 1}, id="primary-key"),
    ],
)
def test_p098_what_is_too_much_though_all_that_may_go_is_gone_is_refused(
    bounds: dict[str, int],
) -> None:
    names = [Component(packet, (signed(ALICE, POSITIVE, packet),)) for packet in (NAME, OTHER_NAME)]
    subkeys = [
        Component(one.subkey, (ALICE.bind(ALICE.primary, one, ENCRYPTS),))
        for one in (SUBKEY, OTHER_SUBKEY)
    ]
    whole = Certificate(ALICE.primary, (), (*names, *subkeys))
    if bounds.get("certificate_octets"):
        bounds = {"certificate_octets": octets(whole) - 1}
    assert kept(whole, bounded(**bounds)).error == "TooLarge"
    above = {name: value + 1 for name, value in bounds.items()}
    assert kept(whole, bounded(**above)).error is None


@pytest.mark.parametrize("size", ["user_id_octets", "signature_octets", "key_octets"])
def test_p098_a_packet_above_its_bound_is_dropped_with_what_is_on_it(size: str) -> None:
    long = Packet(Tag.USER_ID, bytes(99).replace(b"\0", b"a"))
    heavy = signed(BOB, GENERIC, NAME, hashed=subpacket(20, bytes(300)))
    large = Packet(Tag.PUBLIC_SUBKEY, b"\x04" + bytes(4) + b"\x63" + bytes(70))
    whole = Certificate(
        ALICE.primary,
        (),
        (
            Component(NAME, (SELF, heavy)),
            Component(long, (signed(ALICE, POSITIVE, long),)),
            Component(large, (signed(ALICE, BINDS, large),)),
        ),
    )
    limit = {"user_id_octets": 99, "signature_octets": len(heavy.body), "key_octets": 76}[size]
    gone = {"user_id_octets": 2, "signature_octets": 1, "key_octets": 2}[size]
    assert kept(whole, bounded(**{size: limit})).pruned == {}
    found = kept(whole, bounded(**{size: limit - 1}))
    assert (found.dropped, found.pruned) == (("Oversize",), {"packets within bounds": gone})


def test_bounds_of_user_attributes_count_with_user_ids() -> None:
    image = Packet(Tag.USER_ATTRIBUTE, b"\x03\x64ab")
    signature = signed(ALICE, POSITIVE, image)
    whole = Certificate(
        ALICE.primary, (), (Component(NAME, (SELF,)), Component(image, (signature,)))
    )
    policy = msgspec.structs.replace(bounded(user_ids=1), user_attributes=True)
    assert kept(whole, policy).error == "TooLarge"
    smaller = msgspec.structs.replace(bounded(user_attribute_octets=3), user_attributes=True)
    assert kept(whole, smaller).dropped == ("Oversize",)


def test_of_copies_in_several_names_the_same_go_whichever_came_first() -> None:
    theirs = signed(BOB, GENERIC, NAME)
    copy = with_hints(theirs, CAROL.issuer)
    policy = bounded(third_party_signatures=1)
    assert kept(alice(theirs, copy), policy).findings == kept(alice(copy, theirs), policy).findings

"""How much of what is not served is set aside where a certificate is flooded."""

from keygrove_chaos.signing import CREATED, Signer
from keygrove_protocols.openpgp.aside import within_aside
from keygrove_protocols.openpgp.certificate import Certificate, Component
from keygrove_protocols.openpgp.findings import Findings
from keygrove_protocols.openpgp.packets import Packet, Tag
from keygrove_protocols.openpgp.policy import SKS_COMPATIBLE, Bounds
from keygrove_protocols.openpgp.rules import keep
from keygrove_protocols.openpgp.verification import verify
from tests.openpgp import ALICE, GENERIC, NAME, SELF, signed

UNBOUND = Packet(Tag.USER_ID, b"Mallory")
UNREADABLE = [Packet(Tag.SIGNATURE, bytes((at,))) for at in range(1, 6)]
FORGED = [
    signed(Signer(60 + at), GENERIC, NAME, unhashed=ALICE.issuer, created=CREATED + at)
    for at in range(4)
]
PLAUSIBLE = [signed(Signer(70 + at), GENERIC, UNBOUND, created=CREATED + at) for at in range(3)]
"""On a user ID that the primary key did not sign for, so that none is served."""
FLOODED = Certificate(
    ALICE.primary,
    tuple(UNREADABLE),
    (Component(NAME, (SELF, *FORGED)), Component(UNBOUND, tuple(PLAUSIBLE))),
)
SERVED = {NAME, SELF}


def left(**bounds: int) -> Findings:
    findings = verify(FLOODED)
    served = keep(findings, SKS_COMPATIBLE).findings
    return within_aside(findings, served, Bounds(**bounds))


def stored(**bounds: int) -> set[Packet]:
    """What is stored of it beside its primary key."""
    facts = left(**bounds).facts()
    return {one for component, packet in facts if (one := packet or component) is not None}


def test_what_is_within_the_bounds_is_stored_as_it_is() -> None:
    findings = verify(FLOODED)
    served = keep(findings, SKS_COMPATIBLE).findings
    packets = findings.number()
    octets = sum(len(one.body) for one in [ALICE.primary, *stored()])
    bounds = Bounds(aside_packets=packets, aside_octets=octets)
    assert within_aside(findings, served, bounds) is findings
    for one in (Bounds(aside_packets=packets - 1), Bounds(aside_octets=octets - 1)):
        assert within_aside(findings, served, one).number() == packets - 1


def test_what_cannot_be_read_goes_first_then_what_is_forged() -> None:
    readable = SERVED | {UNBOUND} | set(PLAUSIBLE) | set(FORGED)
    assert stored(aside_packets=12) == readable | set(UNREADABLE[:1])
    assert stored(aside_packets=11) == readable
    assert stored(aside_packets=9) == readable - set(FORGED[2:])
    assert stored(aside_packets=3) == SERVED | {UNBOUND}


def test_what_is_served_is_stored_whatever_the_flood() -> None:
    assert stored(aside_packets=0, aside_octets=0) == SERVED


def test_the_octets_count_too_and_the_last_packet_may_end_beyond() -> None:
    first, second = sorted((SELF, PLAUSIBLE[0]), key=lambda one: one.body)  # of one second
    octets = sum(len(one.body) for one in (ALICE.primary, NAME, UNBOUND, first))
    assert stored(aside_octets=octets) == SERVED | {UNBOUND, first}
    assert stored(aside_octets=octets + 1) == SERVED | {UNBOUND, first, second}


def test_a_signature_goes_with_its_component() -> None:
    assert [bundle.packet for bundle in left(aside_packets=2).bundles] == [NAME]

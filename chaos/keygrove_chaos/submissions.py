"""What a request of a plan sends, and what a node shows of it then: worked out, not asked for.

What is signed as it should be is kept; what bears somebody's name who did not sign it is never
shown. The rest follows from the preset of the node that is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from keygrove_chaos.certificates import (
    FIRST_STRANGER,
    POSITIVE,
    armored,
    costly,
    flooded,
    laborious,
    made,
)
from keygrove_chaos.crdt import facts
from keygrove_chaos.plan import Ask, Preset
from keygrove_chaos.signing import Signer, subpacket
from keygrove_protocols.hkp.admin import AdminAction, AdminRequest, write_request
from keygrove_protocols.openpgp.armor import armor
from keygrove_protocols.openpgp.certificate import Certificate, Component, fingerprint, to_bytes
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.packets import Packet, Tag, join
from keygrove_protocols.openpgp.signatures import KEY_REVOCATION

ADMIN: Final = 3_000_000
"""The number of the administrator's key, on all nodes."""
SERVER: Final = "keys.x.example"
"""What requests call the node that they are for."""
WITNESSES: Final = 2
"""Others who sign a user ID."""
FLOOD: Final = 300
"""Signatures of a flood: some more octets than are looked into at once."""
SLOW_US: Final = 50_000
"""More than is verified at once, by the estimate;"""
COSTLY: Final = 1_500
"""and so many packets of the slowest kind, which take more than anything may."""
_FORGER: Final = FIRST_STRANGER + 500_000
_REASON: Final = subpacket(29, b"\x01superseded")
"""A soft reason: a hard one has a node forget others' signatures;"""
_LOST: Final = subpacket(29, b"\x02stolen")
"""and this is one."""

Route: TypeAlias = Literal["add", "load", "offer"]


class Submission(msgspec.Struct, frozen=True):
    """What is sent, and by names as in `crdt.facts`: what is shown of it, what never is."""

    octets: bytes
    """Armored for `add`, packets for `load` and `offer`."""
    route: Route
    shown: frozenset[str]
    forged: frozenset[str] = frozenset()


def name_of(ask: Ask) -> Fingerprint:
    """The fingerprint of the key that is asked about."""
    return fingerprint(costly(COSTLY) if ask.verb == "overtax" else made(ask.key))


def offered(program: Iterable[Ask]) -> dict[tuple[str, str], tuple[str, ...]]:
    """By node and partner: the fingerprints of the keys that it offers there, in hex."""
    keys: dict[tuple[str, str], dict[str, None]] = {}
    for ask in program:
        if ask.origin:
            some = keys.setdefault((ask.node, ask.origin), {})
            if ask.verb == "offer":
                some[name_of(ask).hex()] = None
    return {place: tuple(some) for place, some in keys.items()}


def submission(ask: Ask, preset: Preset) -> Submission:
    """What a request with one of the verbs of `plan.PUTS` sends to a node with this preset."""
    return _MADE[ask.verb](ask, preset)


def _put(ask: Ask, _: Preset) -> Submission:
    return _added(made(ask.key, ask.text))


def _load(ask: Ask, _: Preset) -> Submission:
    certificate = made(ask.key, ask.text)
    return Submission(to_bytes(certificate), "load", facts(certificate))


def _offer(ask: Ask, preset: Preset) -> Submission:
    return msgspec.structs.replace(_load(ask, preset), route="offer")


def _certify(ask: Ask, preset: Preset) -> Submission:
    certified = made(ask.key, ask.text, signatures=WITNESSES)
    return _added(certified, made(ask.key, ask.text) if preset == "minimal" else certified)


def _flood(ask: Ask, preset: Preset) -> Submission:
    flood = flooded(ask.key, FLOOD)
    return _added(flood, made(ask.key, "Flooded") if preset == "minimal" else flood)


def _tire(ask: Ask, _: Preset) -> Submission:
    return _added(laborious(ask.key, SLOW_US), made(ask.key, "Laborious"))


def _overtax(_ask: Ask, _: Preset) -> Submission:
    return _added(costly(COSTLY))


def _forge(ask: Ask, _: Preset) -> Submission:
    honest = made(ask.key, ask.text)
    forged = _forged(honest, ask)
    return Submission(armored(forged), "add", facts(honest), facts(forged) - facts(honest))


def _revoke(ask: Ask, _: Preset) -> Submission:
    """It comes alone, as GnuPG writes one for each new key."""
    primary = made(ask.key).primary
    packet = Signer(ask.key).sign(KEY_REVOCATION, primary, hashed=_REASON)
    shown = facts(Certificate(primary, (packet,), ()))
    return Submission(armor(join([packet])), "add", shown)


def _condemn(ask: Ask, _: Preset) -> Submission:
    """It comes with its key, and nothing else."""
    primary = made(ask.key).primary
    packet = Signer(ask.key).sign(KEY_REVOCATION, primary, hashed=_LOST)
    return _added(Certificate(primary, (packet,), ()))


_MADE: Final[Mapping[str, Callable[[Ask, Preset], Submission]]] = {
    "put": _put,
    "load": _load,
    "offer": _offer,
    "certify": _certify,
    "flood": _flood,
    "tire": _tire,
    "overtax": _overtax,
    "forge": _forge,
    "revoke": _revoke,
    "condemn": _condemn,
}


def _added(sent: Certificate, shown: Certificate | None = None) -> Submission:
    return Submission(armored(sent), "add", facts(shown or sent))


def _forged(honest: Certificate, ask: Ask) -> Certificate:
    """With a user ID, and a signature on one that is there, which another key made in its name."""
    own, forger, primary = Signer(ask.key), Signer(_FORGER), honest.primary
    (component,) = honest.components
    more = Packet(Tag.USER_ID, f"forged {ask.text}".encode())

    def in_its_name(packet: Packet) -> Packet:
        return forger.sign(POSITIVE, primary, packet, unhashed=own.issuer)

    again = Component(component.packet, (*component.signatures, in_its_name(component.packet)))
    return Certificate(primary, (), (again, Component(more, (in_its_name(more),))))


def order(ask: Ask, now: int) -> tuple[bytes, bytes]:
    """An administrator's request, dated `now`, and its signature; `ask.text` is its nonce."""
    nonce = bytes.fromhex(ask.text)
    wanted = AdminRequest(AdminAction(ask.verb), SERVER, now, nonce, (name_of(ask),))
    text = write_request(wanted)
    return text, join([Signer(ADMIN).sign_document(text, created=now)])

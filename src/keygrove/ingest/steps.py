"""What a submission goes through before the store: pure functions, one for each kind.

What clients send is read as a whole: damage anywhere refuses all of it. Of a dump each
certificate stands for itself. A route only accepts or refuses a whole certificate: what is kept
of it is for the policy to say, which is the same for all.
"""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec
from blake3 import blake3

from keygrove.storage.candidate import Candidate, candidate, revocations
from keygrove.storage.write import Cause
from keygrove_protocols.errors import (
    MalformedPrimaryError,
    ProtocolError,
    TooLargeError,
    UnsupportedKeyVersionError,
)
from keygrove_protocols.limits import BULK, SUBMISSION
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.certificate import (
    Certificate,
    Refused,
    bare_revocation,
    group,
    key,
)
from keygrove_protocols.openpgp.claims import read_claim
from keygrove_protocols.openpgp.keys import Fingerprint, parse_key
from keygrove_protocols.openpgp.packets import Packet, Tag, read_header, split
from keygrove_protocols.openpgp.policy import Policy
from keygrove_protocols.openpgp.rules import VERSION
from keygrove_protocols.openpgp.signatures import KEY_REVOCATION
from keygrove_protocols.openpgp.verification import cost_us

OLDEST_SUBMITTED = 4
"""Fingerprints of version 3 can be forged: such keys come from dumps only."""
SOURCE_OCTETS = 16
INLINE_BYTES = 32 << 10
INLINE_US = 2_000
"""What is read and verified at once holds up the event loop for a few milliseconds at most."""
HEAVY_US = 100_000
"""What takes longer would be felt by others even in a thread."""
SUBMISSION_US_MAX = 5_000_000
"""Of several certificates that one client sends: others wait meanwhile."""
COST_US_MAX = 20_000_000
"""Of one certificate. Poisoned ones with 150,000 signatures take two seconds; whoever makes the
primary key can have us do arithmetic on thousands of signatures of the slowest kind."""
REVOCATIONS_US_MAX = 2_000_000
"""Of one certificate that takes longer than it may: what is looked for in it nevertheless."""
TOO_COSTLY = "TooCostly"
COSTLY = "it takes too long to verify: leave out old signatures of its own"

One: TypeAlias = Candidate | Refused
"""What became of one certificate before it met its shard."""


class Prepared(msgspec.Struct, frozen=True, tag=True):
    """A submission that was looked into: its certificates, in its order."""

    ones: tuple[One, ...]


class Costly(msgspec.Struct, frozen=True):
    """A certificate that takes too long to look into: `rest` has its revocations, if any."""

    rest: Certificate


Readable: TypeAlias = Certificate | Costly | Refused


class Reading(msgspec.Struct, frozen=True):
    """A submission that was read: its certificates, or a revocation without one."""

    certificates: tuple[Readable, ...] = ()
    revocation: Packet | None = None
    cost_us: int = 0
    """About how many microseconds it takes to look into it; what takes too long is refused."""


def read(data: bytes) -> Reading:
    """Read what a client sent, armored or binary.

    Raises:
        ProtocolError: nothing of it can be taken.
    """
    packets = split(dearmor(data, SUBMISSION).data, SUBMISSION)
    revocation = bare_revocation(packets)
    if revocation is not None:
        return Reading(revocation=revocation)
    found = group(packets, SUBMISSION)
    read_in = [_within_bounds(_refuse_disused(one, at)) for at, one in enumerate(found)]
    certificates = tuple(one for one, _ in read_in)
    cost = sum(us for _, us in read_in)
    if cost > SUBMISSION_US_MAX and len(certificates) > 1:
        raise TooLargeError("the certificates take too long to verify together: send fewer at once")
    return Reading(certificates, cost_us=cost)


def named(one: Readable) -> Fingerprint | None:
    """Whose certificate it is, as far as that can be read."""
    if isinstance(one, Refused):
        return one.fingerprint
    return key(one.rest if isinstance(one, Costly) else one).fingerprint


def look_into(reading: Reading, policy: Policy) -> Prepared:
    """Verify what was read, and apply the policy to it."""
    return Prepared(
        tuple(
            _candidate(one, policy, Cause.UPLOAD, at) for at, one in enumerate(reading.certificates)
        )
    )


def look_into_dump(certificates: Sequence[bytes], policy: Policy) -> Prepared:
    """The same for certificates of a dump, each as its packets."""
    salt = source_salt(policy)
    return Prepared(
        tuple(_look_into_one(octets, policy, salt, at) for at, octets in enumerate(certificates))
    )


def _look_into_one(octets: bytes, policy: Policy, salt: bytes, at: int) -> One:
    try:
        (one,) = group(split(octets, BULK), BULK)
    except ProtocolError as error:
        return Refused(None, error.code, str(error), at=at)
    readable, _ = _within_bounds(one)
    return _candidate(readable, policy, Cause.LOAD, at, source_of(octets, salt))


def _within_bounds(one: Certificate | Refused) -> tuple[Readable, int]:
    """What of it is to be looked into, and about how many microseconds that takes."""
    if isinstance(one, Refused):
        return one, 0
    us = cost_us(one)
    if us <= COST_US_MAX:
        return one, us
    rest = _revocations_in(one)
    return Costly(rest), cost_us(rest)


def _candidate(one: Readable, policy: Policy, cause: Cause, at: int, source: bytes = b"") -> One:
    if isinstance(one, Refused):
        return msgspec.structs.replace(one, at=at)
    if isinstance(one, Certificate):
        return candidate(one, policy, cause, at=at, source=source)
    found = revocations(one.rest, cause, error=TOO_COSTLY, at=at)
    return found or Refused(key(one.rest).fingerprint, TOO_COSTLY, COSTLY, at=at)


def _revocations_in(one: Certificate) -> Certificate:
    """Of a certificate that takes too long to verify its revocations, as far as there is time.

    Others may put in as many as they like that are none; one alone is always taken.
    """
    primary, spent_us = key(one), 0
    some: list[Packet] = []
    for packet in dict.fromkeys(one.direct):
        claim = read_claim(packet, primary)
        if claim.is_self and claim.signature is not None and claim.signature.kind == KEY_REVOCATION:
            spent_us += cost_us(Certificate(one.primary, (packet,)))
            if spent_us > REVOCATIONS_US_MAX:
                break
            some.append(packet)
    return Certificate(one.primary, tuple(some))


def source_salt(policy: Policy) -> bytes:
    """What makes sources of one policy differ from those of all others."""
    return msgspec.msgpack.encode((VERSION, policy), order="deterministic")


def source_of(octets: bytes, salt: bytes) -> bytes:
    """What names an input, under the policy that has looked into it."""
    return blake3(octets, key=blake3(salt).digest()).digest(SOURCE_OCTETS)


def revocation_in(octets: bytes) -> Packet | None:
    """The revocation of a key, where that is all there is in this; else None."""
    try:
        is_signature = bool(octets) and read_header(octets, 0).tag == Tag.SIGNATURE
        return bare_revocation(split(octets, BULK)) if is_signature else None
    except ProtocolError:
        return None


def name_of(octets: bytes) -> Fingerprint | None:
    """Whose certificate begins here, None if that cannot be read."""
    if not octets:
        return None
    try:
        header = read_header(octets, 0)
        if header.tag != Tag.PUBLIC_KEY:
            return None
        return parse_key(octets[header.start : header.end]).fingerprint
    except ProtocolError:
        return None


def _refuse_disused(one: Certificate | Refused, at: int) -> Certificate | Refused:
    """Refuse what is about in dumps, and what nobody should send any more."""
    if isinstance(one, Refused):
        return one
    name = key(one)
    if name.version < OLDEST_SUBMITTED:
        code = UnsupportedKeyVersionError.code
        text = f"a key of version {name.version} is taken from dumps only: make a new key"
        return Refused(name.fingerprint, code, text, name.key_id, name.version, at)
    try:
        parse_key(one.primary.body, is_strict=True)
    except MalformedPrimaryError as error:
        text = f"{error}, and so programs refuse the key: make a new one"
        return Refused(name.fingerprint, error.code, text, name.key_id, name.version, at)
    return one

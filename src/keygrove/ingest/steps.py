"""What a submission goes through before the store: one ordered list of named, pure steps.

Each takes the draft as it is and returns it a step further. A step raises ProtocolError when
the whole submission is to be refused, and moves a certificate to `refused` when only that
one is.
"""

from collections.abc import Callable
from itertools import count
from typing import TypeAlias

import msgspec

from keygrove.cluster.candidate import Candidate
from keygrove.storage.store import Cause
from keygrove_protocols.errors import UnsupportedKeyVersionError
from keygrove_protocols.limits import BULK, SUBMISSION, Limits
from keygrove_protocols.openpgp import certificate as certificates
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.certificate import Certificate, Refused
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.packets import Packet, split


class Draft(msgspec.Struct, frozen=True, tag=True):
    """A submission on its way. Each field is empty until its step has filled it."""

    data: bytes
    cause: Cause
    limits: Limits
    packets: tuple[Packet, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    refused: tuple[Refused, ...] = ()


Step: TypeAlias = Callable[[Draft], Draft]


def draft(data: bytes, cause: Cause) -> Draft:
    """A submission as it came in. Only dumps may be larger than a submission."""
    return Draft(data, cause, BULK if cause is Cause.LOAD else SUBMISSION)


def take_off_armor(on: Draft) -> Draft:
    """Armored or binary: from here on it is packets."""
    return _with(on, data=dearmor(on.data, on.limits).data)


def split_packets(on: Draft) -> Draft:
    """Find the packets."""
    return _with(on, data=b"", packets=tuple(split(on.data, on.limits)))


def group_packets(on: Draft) -> Draft:
    """Find the certificates."""
    grouped = certificates.group(on.packets, on.limits)
    return _with(
        on,
        packets=(),
        certificates=tuple(one for one in grouped if isinstance(one, Certificate)),
        refused=on.refused + tuple(one for one in grouped if isinstance(one, Refused)),
    )


def make_canonical(on: Draft) -> Draft:
    """Put each certificate into its one form, and name it and its state."""
    refused = {one.at for one in on.refused}
    places = (at for at in count() if at not in refused)
    candidates = tuple(
        _candidate(one, at) for one, at in zip(on.certificates, places, strict=False)
    )
    return _with(on, certificates=(), candidates=candidates)


def refuse_old_versions(on: Draft) -> Draft:
    """Version 3 keys, whose fingerprints can be forged, come from dumps only."""
    if on.cause is Cause.LOAD:
        return on
    old = tuple(one for one in on.candidates if one.version < OLDEST_SUBMITTED)
    return _with(
        on,
        candidates=tuple(one for one in on.candidates if one.version >= OLDEST_SUBMITTED),
        refused=on.refused + tuple(_refuse_version(one) for one in old),
    )


OLDEST_SUBMITTED = 4

STEPS: tuple[tuple[str, Step], ...] = (
    ("take off armor", take_off_armor),
    ("split packets", split_packets),
    ("group packets", group_packets),
    ("make canonical", make_canonical),
    ("refuse old versions", refuse_old_versions),
)


def prepare(data: bytes, cause: Cause) -> Draft:
    """Take a submission through all steps.

    Raises:
        ProtocolError: nothing of it can be taken.
    """
    on = draft(data, cause)
    for _, step in STEPS:
        on = step(on)
    return on


def _candidate(one: Certificate, at: int) -> Candidate:
    canonical = certificates.canonical(one)
    key = certificates.key(canonical)
    digest = sks_digest(certificates.packets(canonical))
    return Candidate(key.fingerprint, key.version, canonical, digest, at)


def _refuse_version(one: Candidate) -> Refused:
    text = f"a key of version {one.version} is taken from dumps only: make a new key"
    return Refused(one.fingerprint, UnsupportedKeyVersionError.code, text, at=one.at)


def _with(on: Draft, **changes: object) -> Draft:
    return msgspec.structs.replace(on, **changes)

"""What the ingest actor is asked and what it answers."""

from enum import Enum
from typing import ClassVar

import msgspec

from keygrove.ingest.verdicts import Rejected
from keygrove.storage.messages import Failed, NoSpace, Overloaded
from keygrove.storage.write import Cause
from keygrove_actors import Call
from keygrove_protocols.openpgp.keys import Fingerprint

INGEST = "ingest"
"""The name of the actor."""


ORIGIN_MAX = 64


class IngestApi:
    """The protocol of the ingest actor."""


class Result(Enum):
    """What became of one certificate of a submission."""

    INSERTED = "inserted"
    UPDATED = "updated"
    IGNORED = "ignored"
    INVALID = "invalid"


class Fate(msgspec.Struct, frozen=True, tag=True):
    """One certificate of a submission."""

    result: Result
    fingerprint: Fingerprint | None
    version: int | None
    error: str = ""
    """A constant code where it is invalid."""
    comment: str = ""
    at: int = 0
    """Which certificate of the submission it is, from 0."""
    dropped: dict[str, int] = {}
    """What was left out of one that was taken: so many packets for each reason, by its code."""
    pruned: dict[str, int] = {}
    """The same by the rule of the policy that took them, for whatever reason."""


class Submitted(msgspec.Struct, frozen=True, tag=True):
    """What became of each certificate; what was taken is durable."""

    fates: tuple[Fate, ...]


class Unavailable(msgspec.Struct, frozen=True, tag=True):
    """A shard did not answer; what was taken is not known. Submitting again is safe."""


class Unwritable(msgspec.Struct, frozen=True, tag=True):
    """The disk is read-only; nothing of this was kept."""


class Submit(
    Call[IngestApi, Submitted | Rejected | NoSpace | Unwritable | Unavailable | Failed],
    frozen=True,
    tag=True,
):
    """Take what can be taken of some armored or binary certificates, or a revocation."""

    errors: ClassVar = (Overloaded,)
    data: bytes
    origin: str = ""
    """The server that passes them on, as it calls itself, up to `ORIGIN_MAX` characters."""


class Load(
    Call[IngestApi, Submitted | Rejected | NoSpace | Unwritable | Unavailable | Failed],
    frozen=True,
    tag=True,
):
    """Take what can be taken of some certificates of a dump, each as its packets.

    Or of revocations without theirs, each as its packet.
    """

    errors: ClassVar = (Overloaded,)
    certificates: tuple[bytes, ...]
    origin: str = ""
    """Which load it is part of, or which partner they come from, up to `ORIGIN_MAX` characters."""
    cause: Cause = Cause.LOAD
    """`LOAD` or `RECON`."""

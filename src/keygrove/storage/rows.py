"""Rows of the heap: what is written for each kind of change, and read back at a replay.

op          v                     aside                     md5, sks, source
1 put       packets               what is set aside         of the certificate
2 denial    reason, in UTF-8      digests, 16 octets each   empty
3 lift      empty                 empty                     empty
"""

from enum import IntEnum

import msgspec

from keygrove.storage.address import content_hash, tree_key
from keygrove.storage.write import Cause, Denial, Lift, Put, Write
from keygrove_protocols.openpgp.keys import Digest, Fingerprint

DIGEST_OCTETS = 16


class Op(IntEnum):
    """What a row does."""

    PUT = 1
    DENY = 2
    LIFT = 3


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One change of one certificate, as written."""

    seq: int
    n: int
    op: Op
    k: bytes
    h: bytes
    fp: bytes
    md5: bytes
    sks: bytes
    source: bytes
    old: int | None
    cause: int
    at: int
    v: bytes
    aside: bytes

    @property
    def size(self) -> int:
        """Octets of what is stored."""
        return len(self.v) + len(self.aside)


class Place(msgspec.Struct, frozen=True, array_like=True):
    """The row that says what a certificate is now, and that the next one will replace."""

    seq: int
    op: Op
    size: int
    """Octets stored."""


def may_follow(op: Op, place: Place | None) -> bool:
    """Is such a row a change of what stands there? See `store.Write`."""
    match op:
        case Op.PUT:
            return place is None or place.op is not Op.DENY
        case Op.DENY:
            return True
        case Op.LIFT:
            return place is not None and place.op is not Op.LIFT


def row_of(write: Write, seq: int, change: int, place: Place | None) -> Row:
    """The row for a change of a certificate that stands at `place`, or that is not there."""
    names, cause = (b"", b"", b""), Cause.ADMIN
    match write:
        case Put():
            op, v, aside, cause = Op.PUT, write.packets, write.aside, write.cause
            names = (write.digest, write.sks_digest, write.source)
        case Denial():
            op, v, aside = Op.DENY, write.reason.encode(), b"".join(write.digests)
        case Lift():
            op, v, aside = Op.LIFT, b"", b""
    md5, sks, source = names
    return Row(
        seq=seq,
        n=change,
        op=op,
        k=tree_key(write.fingerprint),
        h=content_hash(v, aside),
        fp=write.fingerprint,
        md5=md5,
        sks=sks,
        source=source,
        old=None if place is None else place.seq,
        cause=cause.value,
        at=write.at,
        v=v,
        aside=aside,
    )


def denial_in(row: Row) -> Denial:
    """The denial that a row was written for."""
    return Denial(Fingerprint(row.fp), row.v.decode(), row.at, split_digests(row.aside))


def split_digests(joined: bytes) -> tuple[Digest, ...]:
    """Digests that were written one behind the other."""
    starts = range(0, len(joined), DIGEST_OCTETS)
    return tuple(Digest(joined[start : start + DIGEST_OCTETS]) for start in starts)

"""Rows of the heap: what is written for each kind of change, and read back at a replay.

op          held                                        denial
1 put       the certificate                             empty
2 denial    what its key says against itself, if it     msgpack of [reason, digests]
            says anything
3 lift      what its key says against itself, if it     empty
            says anything

Of what is held, `h` is the content hash, `ah` the hash of what is set aside, `size` its octets,
and `md5`, `sks` and `source` are its names; all of these are empty where nothing is held.
`sum` is a checksum of every column before it: with `h`, nothing that rots in a row goes unseen.
"""

from collections.abc import Sequence
from enum import IntEnum

import msgspec
from blake3 import blake3

from keygrove.errors import DamagedError
from keygrove.storage.address import aside_hash, content_hash, tree_key
from keygrove.storage.write import Cause, Denial, Lift, Put, Write
from keygrove_protocols.openpgp.keys import Digest, Fingerprint

SUM_OCTETS = 8


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
    ah: bytes
    size: int
    fp: bytes
    md5: bytes
    sks: bytes
    source: bytes
    old: int | None
    cause: int
    origin: str
    at: int
    denial: bytes
    sum: bytes
    v: bytes
    aside: bytes

    @property
    def value(self) -> bytes | None:
        """What stands in the tree for this: the hash of what is held, if anything is."""
        return self.h or None


class Place(msgspec.Struct, frozen=True, array_like=True):
    """The row that says what a certificate is now, and that the next one will replace."""

    seq: int
    op: Op
    size: int
    """Octets held; 0 where nothing is."""


class _Denied(msgspec.Struct, frozen=True, array_like=True):
    reason: str
    digests: tuple[bytes, ...]
    since: int | None = None


def may_follow(op: Op, place: Place | None) -> bool:
    """Is such a row a change of what stands there? See `write.Write`."""
    match op:
        case Op.PUT:
            return place is None or place.op is not Op.DENY
        case Op.DENY:
            return True
        case Op.LIFT:
            return place is not None and (place.op is not Op.LIFT or place.size > 0)


def row_of(write: Write, seq: int, change: int, place: Place | None) -> Row:
    """The row for a change of a certificate that stands at `place`, or that is not there."""
    op, held, denial = Op.LIFT, None, b""
    match write:
        case Put():
            op, held = Op.PUT, write
        case Denial():
            op, held = Op.DENY, write.held
            denial = msgspec.msgpack.encode(_Denied(write.reason, write.digests, write.since))
        case Lift():
            held = write.held
    h = ah = md5 = sks = source = v = aside = b""
    if held is not None:
        v, aside = held.packets, held.aside
        ah = aside_hash(aside) if aside else b""
        h = content_hash(v, ah)
        md5, sks, source = held.digest, held.sks_digest, held.source
    row = Row(
        seq=seq,
        n=change,
        op=op,
        k=tree_key(write.fingerprint),
        h=h,
        ah=ah,
        size=len(v) + len(aside),
        fp=write.fingerprint,
        md5=md5,
        sks=sks,
        source=source,
        old=None if place is None else place.seq,
        cause=write.cause.value,
        origin=write.origin,
        at=write.at,
        denial=denial,
        sum=b"",
        v=v,
        aside=aside,
    )
    return msgspec.structs.replace(row, sum=checksum(msgspec.structs.astuple(row)))


def checksum(columns: tuple[object, ...]) -> bytes:
    """The checksum of a row, of which these are the columns, in order: those up to `denial`."""
    return seal(columns[:_SUMMED])


def seal(columns: Sequence[object]) -> bytes:
    """The checksum of these columns, of whatever table."""
    return blake3(msgspec.msgpack.encode(columns)).digest(SUM_OCTETS)


_SUMMED = Row.__struct_fields__.index("sum")


def check(row: Row) -> None:
    """Look whether a row is as it was written, what is held included.

    Raises:
        DamagedError: it is not.
    """
    is_held = bool(row.v)
    ah = aside_hash(row.aside) if row.aside else b""
    h = content_hash(row.v, ah) if is_held else b""
    if (row.h, row.ah) != (h, ah) or row.sum != checksum(msgspec.structs.astuple(row)):
        raise DamagedError(
            f"heap.db is damaged: row {row.seq} is not what was written there; run keygrove fsck"
        )


def denial_in(row: Row) -> Denial:
    """The denial that a row was written for, without what is held beside it."""
    denied = msgspec.msgpack.decode(row.denial, type=_Denied)
    return Denial(
        Fingerprint(row.fp),
        denied.reason,
        row.at,
        tuple(map(Digest, denied.digests)),
        cause=Cause(row.cause),
        origin=row.origin,
        since=denied.since,
    )

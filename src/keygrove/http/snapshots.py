"""Snapshots on the control socket: what was held is shown to nobody but who runs the server.

    GET  /snapshots                             Listing
    POST /snapshots?name=NAME                   Line: it is taken
    POST /snapshots/drop?name=NAME              {}
    GET  /snapshots/diff?old=A&new=B            Differences: a page
         &start=START                           the next one, with the texts that the last one had
    GET  /snapshots/show?at=A&fingerprint=HEX   the packets

What A and B may be says `cluster.snapshots.Snapshots.moment`. What cannot be done as it was asked
is 409, and a certificate that was not held 404.
"""

from enum import Enum

import msgspec

from keygrove.cluster.snapshots import Listed, Position, Snapshots, write_moment
from keygrove.errors import SnapshotError
from keygrove.http.asgi import JSON, Request, Resource, Response
from keygrove.http.errors import HttpError
from keygrove.http.telling import in_full
from keygrove.storage.snapshot_messages import Differing
from keygrove_protocols.openpgp.keys import Fingerprint

PACKETS = "application/octet-stream"


class Line(msgspec.Struct, frozen=True):
    """A snapshot, as JSON has it."""

    name: str
    at: int
    """Seconds, UTC."""
    certificates: int
    root: str | None
    """In hexadecimal; None if it is partial."""


class Listing(msgspec.Struct, frozen=True):
    """All snapshots, the oldest first."""

    snapshots: tuple[Line, ...]


class Kind(Enum):
    """How a certificate differs."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    DENIED = "denied"
    """It is blocked in the newer state, and what was held of it is gone, or nearly all of it."""


class Difference(msgspec.Struct, frozen=True):
    """A certificate that differs, as JSON has it."""

    fingerprint: str
    kind: Kind


class Differences(msgspec.Struct, frozen=True):
    """A page of what differs."""

    old: str
    """Both mean the same moment for ever."""
    new: str
    differences: tuple[Difference, ...]
    start: str | None
    """Where the next page begins; None at the end."""


async def listing(snapshots: Snapshots) -> Listing:
    """All of them."""
    return Listing(tuple(map(_line, await snapshots.all())))


async def page(snapshots: Snapshots, old: str, new: str, start: str) -> Differences:
    """What differs, from `start` on, which is empty for the first page.

    Raises:
        SnapshotError: `old`, `new` or `start` means nothing.
    """
    moments = await snapshots.moment(old), await snapshots.moment(new)
    found, position = await snapshots.differing(*moments, _position(start))
    return Differences(
        write_moment(moments[0]),
        write_moment(moments[1]),
        tuple(Difference(one.fingerprint.hex().upper(), _kind(one)) for one in found),
        None if position is None else f"{position.shard}.{position.after.hex()}",
    )


async def packets(snapshots: Snapshots, at: str, fingerprint: str) -> bytes | None:
    """What was to be served of a certificate; None if nothing was held.

    Raises:
        SnapshotError: `at` means nothing, or `fingerprint` is none.
    """
    try:
        name = Fingerprint(bytes.fromhex(fingerprint))
    except ValueError as error:
        raise SnapshotError(f"{fingerprint[:80]!r} is no fingerprint") from error
    found = await snapshots.get(name, await snapshots.moment(at))
    return None if found is None else found.packets


def snapshot_resources(snapshots: Snapshots) -> dict[str, Resource]:
    """The paths above."""

    async def show_all(_: Request) -> Response:
        return _json(await listing(snapshots))

    async def create(request: Request) -> Response:
        return _json(_line(await snapshots.create(request.field("name"))))

    async def drop(request: Request) -> Response:
        await snapshots.drop(request.field("name"))
        return Response(200, b"{}\n", JSON)

    async def diff(request: Request) -> Response:
        old, new, start = (request.field(name) for name in ("old", "new", "start"))
        return _json(await page(snapshots, old, new, start))

    async def show(request: Request) -> Response:
        found = await packets(snapshots, request.field("at"), request.field("fingerprint"))
        if found is None:
            raise HttpError(404, "no certificate with that primary key was held then")
        return Response(200, found, PACKETS)

    return {
        "/snapshots": Resource(get=in_full(show_all), post=in_full(create)),
        "/snapshots/drop": Resource(post=in_full(drop)),
        "/snapshots/diff": Resource(get=in_full(diff)),
        "/snapshots/show": Resource(get=in_full(show)),
    }


def _json(value: object) -> Response:
    return Response(200, msgspec.json.encode(value) + b"\n", JSON)


def _line(one: Listed) -> Line:
    return Line(one.name, one.at, one.certificates, None if one.root is None else one.root.hex())


def _kind(one: Differing) -> Kind:
    if one.is_denied:
        return Kind.DENIED
    if not one.was_held:
        return Kind.ADDED
    return Kind.CHANGED if one.is_held else Kind.REMOVED


def _position(start: str) -> Position:
    if not start:
        return Position()
    shard, _, after = start.partition(".")
    try:
        return Position(int(shard), bytes.fromhex(after))
    except ValueError as error:
        raise SnapshotError(f"{start[:80]!r} is where no page begins") from error

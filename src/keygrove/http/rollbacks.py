"""Rollbacks on the control socket.

    GET  /rollbacks                       Listing
    POST /rollbacks/rehearse              Ask in JSON: what it would come to, a Rehearsed
    POST /rollbacks                       Ask in JSON: it is carried out, a Line
    POST /rollbacks/resume?name=NAME      Line
    POST /rollbacks/undo?name=NAME        Line
         &dry=1                           Rehearsed

What cannot be done as it was asked is 409.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from keygrove.cluster.rollbacks import Rollbacks, Selection, Standing
from keygrove.errors import RollbackError
from keygrove.http.asgi import JSON, Request, Resource, Response, Shared
from keygrove.http.errors import HttpError
from keygrove.http.telling import in_full
from keygrove.ports import Clock
from keygrove.storage.rollback import Before, Rehearsal
from keygrove.storage.write import Cause
from keygrove_protocols.openpgp.keys import Fingerprint

ASK_BYTES_MAX = 64 << 20
"""A list of a million fingerprints in hexadecimal."""
NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{0,39}")
REASON_MAX = 500


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be taken back: the changes of which all of this holds."""

    since: str = ""
    """As `keygrove snapshot diff` takes moments; empty: since there was nothing."""
    until: str = "now"
    causes: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] | None = None
    force: bool = False
    reason: str = ""


class Tolled(msgspec.Struct, frozen=True):
    """How many certificates met which end."""

    removed: int
    changed: int
    restored: int
    entangled: int
    overgrown: int
    lost: int
    damaged: int
    octets: int


class Rehearsed(msgspec.Struct, frozen=True):
    """What it would come to."""

    toll: Tolled
    entangled: tuple[str, ...]
    """Fingerprints, in hexadecimal; some of them, if there are very many."""
    brought: dict[str, int]
    """How many of the certificates came by which cause and origin."""


class Earlier(msgspec.Struct, frozen=True):
    """How a rollback stood when its undo began."""

    toll: Tolled
    at: int
    """Seconds, UTC."""


class Line(msgspec.Struct, frozen=True):
    """A rollback; of one that is undone, or about to be, `toll` and `at` are of its undo."""

    name: str
    stage: str
    is_partial: bool
    toll: Tolled
    reason: str
    at: int
    """Seconds, UTC."""
    before: Earlier | None = None
    """Of one that is undone, or about to be."""


class Listing(msgspec.Struct, frozen=True):
    """All rollbacks, the oldest first."""

    rollbacks: tuple[Line, ...]


def rollback_resources(rollbacks: Rollbacks, shared: Shared) -> dict[str, Resource]:
    """The paths above."""
    clock = shared.clock

    async def show_all(_: Request) -> Response:
        return _json(Listing(tuple(map(_line, await rollbacks.all()))))

    async def rehearse(request: Request) -> Response:
        ask = await _ask(request)
        found = await rollbacks.rehearse("rehearsal", _selection(ask), clock.now())
        return _json(_rehearsed(found))

    async def begin(request: Request) -> Response:
        ask = await _ask(request)
        name = _name(clock, shared.token)
        standing = await rollbacks.begin(name, _selection(ask), ask.reason, clock.now())
        return _json(_line(standing))

    async def resume(request: Request) -> Response:
        return _json(_line(await rollbacks.resume(request.field("name"), clock.now())))

    async def undo(request: Request) -> Response:
        name = request.field("name")
        if request.field("dry"):
            return _json(_rehearsed(await rollbacks.rehearse_undo(name, clock.now())))
        return _json(_line(await rollbacks.undo(name, clock.now())))

    return {
        "/rollbacks": Resource(get=in_full(show_all), post=in_full(begin)),
        "/rollbacks/rehearse": Resource(post=in_full(rehearse)),
        "/rollbacks/resume": Resource(post=in_full(resume)),
        "/rollbacks/undo": Resource(post=in_full(undo)),
    }


async def _ask(request: Request) -> Ask:
    try:
        ask = msgspec.json.decode(await request.body(ASK_BYTES_MAX), type=Ask)
    except msgspec.DecodeError as error:
        raise HttpError(400, f"no rollback in JSON: {error}") from error
    if len(ask.reason) > REASON_MAX:
        raise HttpError(400, f"the reason is longer than {REASON_MAX} characters")
    return ask


def _selection(ask: Ask) -> Selection:
    names: frozenset[Fingerprint] | None = None
    try:
        causes = frozenset(Cause[cause.upper()] for cause in ask.causes)
        if ask.fingerprints is not None:
            names = frozenset(Fingerprint(bytes.fromhex(one)) for one in ask.fingerprints)
    except KeyError as error:
        known = ", ".join(cause.name.lower() for cause in Cause)
        raise RollbackError(f"{error} is no cause: name some of {known}") from error
    except ValueError as error:
        raise RollbackError(f"one of the fingerprints is none: {error}") from error
    return Selection(ask.since, ask.until, causes, frozenset(ask.origins), names, ask.force)


def _name(clock: Clock, token: Callable[[int], bytes]) -> str:
    when = datetime.fromtimestamp(clock.now(), UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{when}-{token(2).hex()}"


def _rehearsed(found: Rehearsal) -> Rehearsed:
    entangled = tuple(name.hex().upper() for name in found.entangled)
    return Rehearsed(_tolled(found), entangled, found.brought)


def _line(one: Standing) -> Line:
    stage = one.stage.name.lower()
    before = None if one.before is None else Earlier(_tolled(one.before), one.before.at)
    return Line(one.name, stage, one.is_partial, _tolled(one), one.reason, one.at, before)


def _tolled(of: Rehearsal | Standing | Before) -> Tolled:
    return Tolled(*msgspec.structs.astuple(of.toll))


def _json(value: object) -> Response:
    return Response(200, msgspec.json.encode(value) + b"\n", JSON)

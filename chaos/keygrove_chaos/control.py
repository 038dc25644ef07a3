"""What is asked of a node by its control socket, and by partners; and how it is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Final, Protocol, TypeAlias, assert_never
from urllib.parse import urlencode

import msgspec

from keygrove.http.errors import BUG, BUSY, NO_SPACE
from keygrove.http.rollbacks import Ask, Line, Listing
from keygrove.ingest.messages import Result, Submitted, Unavailable, Unwritable
from keygrove.ingest.verdicts import Rejected
from keygrove.storage.messages import Failed, NoSpace
from keygrove_chaos.crdt import facts
from keygrove_chaos.servers import Reply
from keygrove_chaos.web import OPERATION
from keygrove_protocols.limits import OWN
from keygrove_protocols.openpgp.certificate import Certificate, group
from keygrove_protocols.openpgp.packets import split

OK: Final = 200
CONFLICT: Final = 409
"""It cannot be done as it was asked."""
UNACCEPTABLE: Final = 422


class Asking(Protocol):
    """A way to a node."""

    def __call__(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str], /
    ) -> Awaitable[Reply]:
        """Make a request."""
        ...


class Partners(Protocol):
    """Those from whom nodes take certificates by reconciliation."""

    def __call__(
        self, node: str, partner: str, certificate: bytes, operation: str, /
    ) -> Awaitable[Reply]:
        """Have one bring a certificate to a node; see `Machine.offer`."""
        ...


class Control:
    """Requests of the control socket. Raises what the way to the node raises."""

    def __init__(self, asking: Asking) -> None:
        self._ask = asking

    async def load(self, certificate: bytes, operation: str = "") -> Reply:
        """Have one certificate of a dump taken in; the status is as if it had been submitted."""
        body = msgspec.msgpack.encode((certificate,))
        reply = await self._ask("POST", "/load", body, named(operation))
        return reply if reply.status != OK else replied(msgspec.json.decode(reply.body, type=Taken))

    async def take_snapshot(self, name: str, operation: str = "") -> Reply:
        """Take a snapshot."""
        return await self._ask("POST", _target("/snapshots", name=name), b"", named(operation))

    async def look_back(self, name: str, key: str, operation: str = "") -> Reply:
        """Ask for the packets of a certificate as a snapshot has them; see `shown_then`."""
        target = _target("/snapshots/show", at=name, fingerprint=key)
        return await self._ask("GET", target, b"", named(operation))

    async def rollbacks(self) -> Reply:
        """Ask for all rollbacks; see `listed`."""
        return await self._ask("GET", "/rollbacks", b"", {})

    async def begin(self, partner: str) -> Reply:
        """Take back what a partner brought; that is the rollback's reason, too."""
        body = msgspec.json.encode(Ask(origins=(partner,), reason=partner))
        return await self._ask("POST", "/rollbacks", body, {})

    async def resume(self, name: str) -> Reply:
        """Go on with a rollback that was broken off before it began."""
        return await self._ask("POST", _target("/rollbacks/resume", name=name), b"", {})

    async def undo(self, name: str) -> Reply:
        """Restore what a rollback took."""
        return await self._ask("POST", _target("/rollbacks/undo", name=name), b"", {})


def listed(reply: Reply) -> tuple[Line, ...]:
    """The rollbacks of an answer; none if it is no listing: its status says so."""
    return msgspec.json.decode(reply.body, type=Listing).rollbacks if reply.status == OK else ()


def shown_then(reply: Reply) -> frozenset[str]:
    """What a certificate said at a time, by names as of `crdt.facts`; nothing if none was held."""
    if reply.status != OK:
        return frozenset()
    (found,) = group(split(reply.body, OWN), OWN)
    assert isinstance(found, Certificate), f"kept, and refused by who reads it: {found}"
    return facts(found)


Taken: TypeAlias = Submitted | Rejected | NoSpace | Unwritable | Unavailable | Failed
"""What becomes of a certificate that a load, or a partner, brings."""


def replied(taken: Taken) -> Reply:
    """The same as HTTP would have it, had the certificate been submitted."""
    status = _status(taken)
    return Reply(status, {"retry-after": "1"} if status == BUSY.status else {}, b"")


def _status(taken: Taken) -> int:
    match taken:
        case Submitted(fates):
            return OK if fates[0].result is not Result.INVALID else UNACCEPTABLE
        case Rejected():
            return UNACCEPTABLE
        case NoSpace():
            return NO_SPACE.status
        case Unavailable() | Unwritable():
            return BUSY.status
        case Failed():
            return BUG.status
        case _:
            assert_never(taken)


def named(operation: str) -> dict[str, str]:
    """The header that names a request."""
    return {OPERATION: operation} if operation else {}


def _target(path: str, **fields: str) -> str:
    return f"{path}?{urlencode(fields)}"

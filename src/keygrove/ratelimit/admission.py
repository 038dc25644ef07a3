"""May this request go on? Asked before each one, by every listener."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec


class Facts(msgspec.Struct, frozen=True, tag=True):
    """What is known of a request before any work is done for it."""

    client: str | None
    """The address it came from, without its TCP port; None for a local socket."""
    kind: str
    """What is asked for: the method and path of HTTP, `recon` for a partner's session."""


class Allowed(msgspec.Struct, frozen=True, tag=True):
    """Go on."""


class Refused(msgspec.Struct, frozen=True, tag=True):
    """Told no: `text` says why, `retry_after_s` when to come back."""

    text: str
    retry_after_s: int


Verdict: TypeAlias = Allowed | Refused
Admit: TypeAlias = Callable[[Facts], Awaitable[Verdict]]

_ALLOWED = Allowed()


async def admit_all(_: Facts) -> Verdict:
    """The limiter of a server that limits nobody."""
    return _ALLOWED

"""The one table from what went wrong to what a client is told.

Their fault is 4xx; a whole store that is down, or a whole server that is overloaded, is 503
with Retry-After, and so is one that can only be read; a full disk is 507. Never 502, 503 or 504
for one client's condition: dirmngr repeats a request six times after 503 and gives up on the host
after 502.
"""

from math import ceil

import msgspec

from keygrove.errors import DiskFullError
from keygrove.storage.messages import ReadOnly, Starting, TooBroad
from keygrove_actors import ActorError, CallFailure, DeclaredError
from keygrove_protocols.errors import (
    BadQueryError,
    FramingError,
    TooLargeError,
    UnacceptableError,
    UnsupportedQueryError,
)

RETRY_AFTER_S = 2
"""A crashed actor is back within milliseconds, a burst of submissions within seconds."""

_RETRY = (("retry-after", str(RETRY_AFTER_S)),)


class HttpError(Exception):
    """An answer that is no success, from anywhere in a handler."""

    def __init__(self, status: int, text: str, retry_after_s: int | None = None) -> None:
        """Say that, and when to try again; None: after the usual time, if it may be of use."""
        super().__init__(text)
        self.status = status
        self.headers: tuple[tuple[str, str], ...] = _RETRY if status == BUSY.status else ()
        if retry_after_s is not None:
            self.headers = (("retry-after", str(retry_after_s)),)


class BodyTooLargeError(HttpError):
    """More body than is taken."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(413, f"the body is too large: send at most {bytes_max} octets")


class BodyTooSlowError(HttpError):
    """The body did not come in time."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__(408, f"the body did not arrive within {deadline_s:g} s: send it again")


class TooManyBodiesError(HttpError):
    """The bodies on their way take all the memory that they may."""

    def __init__(self) -> None:
        super().__init__(503, "too many submissions at once: try again shortly")


class TooManyAnswersError(HttpError):
    """The answers that clients are still taking have all the memory that they may."""

    def __init__(self) -> None:
        super().__init__(503, "too many large answers at once: try again shortly")


class TooManyRequestsError(HttpError):
    """One address asks for more than it may have now."""

    def __init__(self, after_s: float) -> None:
        whole_s = max(ceil(after_s), 1)
        text = f"too much was asked for from this address: try again in {whole_s} s"
        super().__init__(429, text, whole_s)


class ClientGoneError(Exception):
    """Nobody is there to be answered."""


class Failure(msgspec.Struct, frozen=True):
    """What the client is told. `is_bug`: it is our fault and belongs into the log."""

    status: int
    text: str
    headers: tuple[tuple[str, str], ...] = ()
    is_bug: bool = False


NOT_UP_RETRY_S = 10
"""A store that is being brought up takes seconds to minutes."""
NOT_UP = Failure(
    503,
    "this server is still starting: try again shortly, or look up a fingerprint",
    (("retry-after", str(NOT_UP_RETRY_S)),),
)
BUSY = Failure(503, "the server is busy: try again shortly", _RETRY)
BUG = Failure(503, "something went wrong here and was logged: try again shortly", _RETRY, True)
BROAD = Failure(413, "too many certificates have these words: leave common ones out")
NO_SPACE = Failure(507, "the disk of this server is full: try again tomorrow, or elsewhere")

READ_ONLY_RETRY_S = 60
"""Somebody has to mend it."""
READ_ONLY = Failure(
    503,
    "this server cannot store anything now, because its disk is read-only: try another one",
    (("retry-after", str(READ_ONLY_RETRY_S)),),
)
_DECLARED: dict[type[CallFailure], Failure] = {
    Starting: NOT_UP,
    ReadOnly: READ_ONLY,
    TooBroad: BROAD,
}
_STATUS = (
    (BadQueryError, 400),
    (UnsupportedQueryError, 501),
    (FramingError, 400),
    (UnacceptableError, 422),
    (TooLargeError, 413),
)


def failure_of(error: Exception) -> Failure:
    """What to tell the client."""
    match error:
        case HttpError():
            return Failure(error.status, str(error), error.headers)
        case DiskFullError():
            return NO_SPACE
        case DeclaredError():
            return _DECLARED.get(type(error.failure), BUSY)
        case ActorError():
            return BUSY
        case _:
            for kind, status in _STATUS:
                if isinstance(error, kind):
                    return Failure(status, str(error))
            return BUG

"""Why a whole submission is refused; apart from the actors, which a parser process lacks."""

from enum import Enum

import msgspec

from keygrove_protocols.errors import FramingError, ProtocolError, TooLargeError


class Blame(Enum):
    """Why a whole submission was refused."""

    MALFORMED = "malformed"
    UNACCEPTABLE = "unacceptable"
    TOO_LARGE = "too large"


class Rejected(msgspec.Struct, frozen=True, tag=True):
    """Nothing was taken. `code` is constant, `text` for people."""

    blame: Blame
    code: str
    text: str


def rejected(error: ProtocolError) -> Rejected:
    """What to tell whoever sent it."""
    return Rejected(_blame(error), error.code, str(error))


def _blame(error: ProtocolError) -> Blame:
    if isinstance(error, TooLargeError):
        return Blame.TOO_LARGE
    return Blame.MALFORMED if isinstance(error, FramingError) else Blame.UNACCEPTABLE

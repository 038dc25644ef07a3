"""What a target's answer means for the certificate it was sent, and for the next: pure.

Source: hkp.md §1.5, §4.2, §6.1: 200 is success, of which more is not to be read, since some servers
say 200 of what they refuse; 4xx of a few kinds is about this certificate; anything else is about
the server, or about us.
"""

from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final

import msgspec

from keygrove.asking import HttpReply

BAD: Final = frozenset({400, 413, 422})
"""Malformed or of a kind that it does not take, too large, of no use."""
SERVER_ERROR: Final = 500
"""Of some servers this, too, is about what was sent: SKS answers so to what it cannot read."""
FIRST_S: Final = 5.0
PAUSE_MAX_S: Final = 3_600.0
RETRY_AFTER_MAX_S: Final = 86_400.0
"""Whatever a target says: else one wrong word of it would silence it for years."""
DIGITS_MAX: Final = 20


class Verdict(Enum):
    """What came of it."""

    TAKEN = "taken"
    """Or known already."""
    REFUSED = "refused"
    """It will not have this certificate: on to the next."""
    FAILED = "failed"
    """It is to be tried again, after a pause."""


class Answered(msgspec.Struct, frozen=True):
    """A target's answer, or that there was none."""

    verdict: Verdict
    why: str = ""
    after_s: float | None = None
    """How long it wants to be left alone, if it says so: `RETRY_AFTER_MAX_S` at most."""
    may_be_its_own: bool = False
    """It failed in a way that this certificate alone may be the cause of."""


def judged(reply: HttpReply, now: int) -> Answered:
    """What an answer means.

    Args:
        now: seconds UTC.
    """
    if 200 <= reply.status < 300:
        return Answered(Verdict.TAKEN)
    why = f"status {reply.status}{_said(reply.body)}"
    if reply.status in BAD:
        return Answered(Verdict.REFUSED, why)
    after_s = _after_s(reply.headers.get("retry-after", ""), now)
    return Answered(Verdict.FAILED, why, after_s, may_be_its_own=reply.status == SERVER_ERROR)


def pause_s(failures: int, after_s: float | None) -> float:
    """How long to leave a target alone after so many failures in a row, without jitter."""
    backed_off = min(FIRST_S * 2.0 ** min(failures - 1, 32), PAUSE_MAX_S)
    return max(backed_off, after_s or 0.0)


def _after_s(header: str, now: int) -> float | None:
    """Seconds, or a date; a day at most. Source: RFC 9110 §10.2.3."""
    if header.isdecimal() and header.isascii():
        return min(float(header[:DIGITS_MAX]), RETRY_AFTER_MAX_S)
    try:
        after_s = parsedate_to_datetime(header).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(after_s, 0.0), RETRY_AFTER_MAX_S)


def _said(body: bytes) -> str:
    """The first words of a text that says why."""
    text = " ".join(body[:400].decode(errors="replace").split())
    printable = "".join(char for char in text if char.isprintable())
    return f": {printable[:80]}" if printable and not printable.startswith("<") else ""

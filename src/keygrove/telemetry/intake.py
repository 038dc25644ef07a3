"""What one submission, or one batch of a load, came to: the facts of its log line and metrics."""

from typing import Literal, TypeAlias

import msgspec

Route: TypeAlias = Literal["upload", "load"]
Place: TypeAlias = Literal["inline", "thread", "process"]


class Intake(msgspec.Struct, kw_only=True):
    """It is filled in while the submission goes its way. Codes are constant."""

    route: Route
    outcome: Literal["taken", "rejected", "no space", "read-only", "unavailable", "failed"] = (
        "failed"
    )
    octets: int
    place: Place | None = None
    """Where it was verified; None if that was not begun."""
    verify_s: float = 0.0
    """From when it was read, waiting for a thread or a process included."""
    known: int = 0
    """Certificates passed over because they brought about what is held."""
    results: dict[str, int] = {}
    """Certificates by what became of them."""
    refused: dict[str, int] = {}
    """By code: certificates that were refused, or the submission as a whole."""
    dropped: dict[str, int] = {}
    """By code: packets left out of certificates that were taken."""

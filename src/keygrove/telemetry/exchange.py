"""What one request came to: the facts of its log line and of its metrics."""

import msgspec


class Exchange(msgspec.Struct, frozen=True):
    """What was asked and answered."""

    listener: str
    method: str
    route: str
    """The path of the resource; `other` for paths that we do not have."""
    status: int
    duration_s: float
    body_bytes: int
    """Of the answer."""
    client: str | None

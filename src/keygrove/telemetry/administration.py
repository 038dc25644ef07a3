"""What became of administrators' requests: the facts of log lines and metrics."""

import msgspec


class Administered(msgspec.Struct, frozen=True):
    """What was done to one certificate on request. Names are in hexadecimal."""

    action: str
    result: str
    fingerprint: str
    by: str | None
    """The administrator's key; None for whoever works on this machine."""
    nonce: str


class AdminRefusal(msgspec.Struct, frozen=True):
    """A request that was not carried out."""

    code: str
    text: str
    client: str | None

"""What the statistics show, in the JSON that pool monitors know from Hockeypuck."""

import msgspec

NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time, which monitors read as "never"."""

NO_ERROR = "%!q(<nil>)"
"""Go's rendering of no error, which monitors know."""

STATS_PATH = "/pks/lookup?op=stats"
"""Where any keyserver has its statistics: monitors go from one to the next by it."""


class Period(msgspec.Struct, frozen=True, rename="pascal"):
    """What changed in an hour or a day; the capitals are Hockeypuck's."""

    inserted: int
    updated: int
    time: str
    removed: int = 0
    inserted_jitter: int = 0
    removed_jitter: int = 0


class Peer(msgspec.Struct, frozen=True, rename="camel"):
    """A recon partner. An error that is none is what Go prints of it."""

    name: str
    http_addr: str
    recon_addr: str
    stats_path: str = STATS_PATH
    last_incoming_recon: str = NEVER
    last_incoming_error: str = NO_ERROR
    last_outgoing_recon: str = NEVER
    last_outgoing_error: str = NO_ERROR
    recon_status: str = "Starting"
    last_recovery: str = NEVER
    last_recovery_error: str = NO_ERROR
    recovery_status: str = "Starting"


class QueryConfig(msgspec.Struct, frozen=True, rename="camel"):
    """Which searches are answered."""

    self_signed_only: bool
    keyword_search_disabled: bool
    enable_inexact_matching: bool


class Stats(msgspec.Struct, frozen=True, rename="camel"):
    """The whole."""

    now: str
    version: str
    software: str
    hostname: str
    nodename: str
    contact: str
    http_addr: str
    recon_addr: str
    query_config: QueryConfig
    total: int
    peers: tuple[Peer, ...]
    hourly: tuple[Period, ...]
    daily: tuple[Period, ...]

"""What the statistics show, in the JSON that pool monitors know from Hockeypuck."""

import msgspec

NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time, which monitors read as "never"."""


class Period(msgspec.Struct, frozen=True, rename="pascal"):
    """What changed in an hour or a day; the capitals are Hockeypuck's."""

    inserted: int
    updated: int
    time: str
    removed: int = 0
    inserted_jitter: int = 0
    removed_jitter: int = 0


class Peer(msgspec.Struct, frozen=True, rename="camel"):
    """A recon partner. Nothing has been heard of any before recon is built."""

    name: str
    http_addr: str
    recon_addr: str
    last_incoming_recon: str = NEVER
    last_outgoing_recon: str = NEVER
    recon_status: str = "Starting"
    last_recovery: str = NEVER
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

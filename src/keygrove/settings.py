"""Every setting, with its bounds and a default that is safe to run with.

`keygrove.configuration` reads them from files and the environment; parts receive the
sub-struct that they need.
"""

from typing import Annotated, Literal

import msgspec

_NUMBER = r"(0|[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5])"
_PORT = rf"{_NUMBER}\Z"

Address = Annotated[
    str, msgspec.Meta(pattern=rf"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.\-]+):{_PORT}", max_length=300)
]
"""HOST:PORT; an IPv6 host stands in brackets; TCP port 0 lets the system choose."""
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}\Z")]
HexFingerprint = Annotated[
    str, msgspec.Meta(pattern=r"^([0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})\Z")
]
Network = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Fa-f:.]+(/\d{1,3})?\Z")]
"""An IP address, or a network of them as ADDRESS/BITS."""
MIB = 1 << 20


class HttpSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where HKP is served and which searches it answers."""

    listen: tuple[Address, ...] = ("127.0.0.1:11371",)
    word_search: bool = True
    """Answer text that is no exact identity by words, as SKS does."""
    short_ids: bool = False
    """Answer 32-bit key IDs, which anybody can forge."""


class MetricsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where Prometheus and probes find us."""

    listen: tuple[Address, ...] = ("127.0.0.1:9626",)


class StorageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How certificates are kept."""

    shards: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    """`keygrove reshard` changes it once the store holds something."""
    cache_bytes: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)] = 64 * MIB
    """For all shards together; 0 caches nothing."""
    durability: Literal["full", "relaxed"] = "full"
    """`relaxed`: acknowledged changes of the last moments may be lost with the power."""
    scrub_bytes_per_s: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)] = 4 * MIB
    """How much of what is stored is looked at again, of all shards together; 0: nothing."""
    history_days: Annotated[int, msgspec.Meta(ge=0, le=36_525)] = 0
    """So far back former versions are kept, two days at least; 0: for ever, one of each day."""


class LoadSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How large loads are taken in."""

    processes: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    """That parse them. 0: as many as pay here. 1: none, it is done where they are stored."""


class PolicySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of certificates. Whatever changes here concerns what comes in from then on."""

    preset: Literal["verified", "minimal", "sks-compatible"] = "verified"
    third_party: Literal["preset", "all", "attested", "none"] = "preset"
    """Which signatures of others are kept."""
    user_attributes: bool = False
    """Photographs."""
    sha1_until: Annotated[str, msgspec.Meta(pattern=r"^(\d{4}-\d{2}-\d{2})?\Z")] = ""
    """The day after which others' SHA-1 signatures are no longer kept; empty: all are."""
    blocked: tuple[
        Annotated[
            str, msgspec.Meta(pattern=r"^([0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})\Z")
        ],
        ...,
    ] = ()
    """Fingerprints of certificates that are not taken."""


class AdminSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may block and replace certificates by signed requests. Nobody may without keys."""

    keys: tuple[
        Annotated[str, msgspec.Meta(pattern=r"^([0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})\Z")], ...
    ] = ()
    """Fingerprints of primary keys whose certificates are held here."""
    server: Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9][A-Za-z0-9_.\-]{0,252})?\Z")] = ""
    """What requests have to call this server; needed where there are keys."""
    hockeypuck_form: bool = False
    """Take Hockeypuck's requests, too, which name no server and no time."""


class ProofSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who signs what this server says that it holds."""

    name: Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9][A-Za-z0-9_.:/\-]{0,252})?\Z")] = ""
    """Of the signing key. It is decided when the key is made, at the first start."""


class ReconPartner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A server we reconcile with."""

    name: Name
    recon: Address
    """Where it takes connections of partners."""
    http: Address | None = None
    """Where it answers hashqueries; None: where it says, on the host of `recon`."""
    weight: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 100
    """How often we begin, beside the heaviest of them; 0: never, it has to."""
    filters: Annotated[str, msgspec.Meta(pattern=r"^[\x21-\x7e]+\Z", max_length=4096)] | None = None
    """What it sees as our filters; None: its own."""


class ReconSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to reconcile with, and how often."""

    listen: tuple[Address, ...] = ()
    http_port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    """Where partners are told to send hashqueries; 0: to that of the first `http.listen`."""
    gossip_interval: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 60.0
    """Seconds between two sessions that we begin with the heaviest partner."""
    max_outbound: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    """Sessions of ours that are under way at once."""
    allow: tuple[Network, ...] = ()
    """Who may begin a session besides the partners."""
    partner: tuple[ReconPartner, ...] = ()

    @property
    def is_on(self) -> bool:
        """Whether there is anybody to reconcile with."""
        return bool(self.listen or self.partner)


class PushTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A server that is sent what changes here."""

    to: Annotated[
        str,
        msgspec.Meta(
            pattern=rf"^(hkps?|vks)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.\-]+)(:{_NUMBER})?\Z",
            max_length=300,
        ),
    ]
    """Protocol, host, and the TCP port where it is not the protocol's own."""
    when: Literal["always", "failover"] = "always"
    """`failover`: only while recon with its partner fails."""
    partner: Name | None = None
    """The partner of recon that it is, if it is one."""
    sender: Annotated[str, msgspec.Meta(pattern=r"^[\x21-\x7e]*\Z", max_length=64)] = ""
    """What we call ourselves to it; empty: as `admin.server` says, or nothing."""
    known_as: Annotated[str, msgspec.Meta(pattern=r"^[\x21-\x7e]*\Z", max_length=64)] = ""
    """What it calls itself; empty: its host."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings."""

    data_dir: Annotated[str, msgspec.Meta(pattern=r"^[^\x00]+\Z")] = "var"
    http: HttpSettings = HttpSettings()
    metrics: MetricsSettings = MetricsSettings()
    storage: StorageSettings = StorageSettings()
    load: LoadSettings = LoadSettings()
    policy: PolicySettings = PolicySettings()
    admin: AdminSettings = AdminSettings()
    proofs: ProofSettings = ProofSettings()
    recon: ReconSettings = ReconSettings()
    push: tuple[PushTarget, ...] = ()

"""What a server says of itself in its config, and whether recon with it is possible.

    version       text, three numbers: the protocol's, not the program's
    http port     u32 in 4 octets: where the server answers /pks/hashquery
    bitquantum    u32 in 4 octets
    mbar          u32 in 4 octets
    filters       text: names of the cleaning that its certificates had, with commas between
    x-keygrove    text: ways of recon that a Keygrove knows, the best one first
    x-keygrove-id octets that no other server has

Others pass over keys that they do not know. The reasons of refusals are those that SKS gives, in
its order: whoever runs a keyserver knows them from its log. Source: sks-keyserver, reconComm.ml
and reconserver.ml; Hockeypuck, conflux/recon/peer.go.
"""

import re
from collections.abc import Sequence
from enum import Enum
from typing import Final

import msgspec

from keygrove_protocols.recon.field import MBAR
from keygrove_protocols.recon.messages import Config, printable
from keygrove_protocols.recon.prefix import BITQUANTUM

VERSION: Final = b"1.1.6"
"""Hockeypuck takes no other."""
VERSION_MIN: Final = (0, 1, 5)
"""Of SKS, and ours."""
DEFAULT_FILTERS: Final = b"yminsky.dedup,yminsky.merge"
"""Of an SKS whose database is clean."""
HOCKEYPUCK_FILTER: Final = b"schema:application/pgp-keys"
PLAIN: Final = "sks"
"""The way of recon that all know."""
RATELESS: Final = "rateless-1"
"""The way of `rateless`, with all numbers of `sketch`: others would be another way."""
WAYS_MAX: Final = 16
_VERSION_OF_THREE: Final = re.compile(rb"(\d{1,6})\.(\d{1,6})\.(\d{1,6})")


class Program(Enum):
    """What runs at the other end: it decides what may be shown to it."""

    SKS = "sks"
    HOCKEYPUCK = "hockeypuck"
    KEYGROVE = "keygrove"


class Refusal(Enum):
    """Why there is no recon. Only what is `TRANSIENT` goes away by itself."""

    BUSY = "busy"
    CLOSED = "closed"
    TIMED_OUT = "timed out"
    OURSELVES = "ourselves"
    VERSION = "version"
    FILTERS = "filters"
    BITQUANTUM = "bitquantum"
    MBAR = "mbar"
    MISSING = "missing"
    MALFORMED = "malformed"
    OTHER = "other"


TRANSIENT: Final = frozenset({Refusal.BUSY, Refusal.CLOSED, Refusal.TIMED_OUT})

_REASONS: Final = (
    (b"sync not available", Refusal.BUSY),
    (b"Requires version", Refusal.VERSION),
    (b"mismatched protocol version", Refusal.VERSION),
    (b"filters do not match", Refusal.FILTERS),
    (b"mismatched filters", Refusal.FILTERS),
    (b"bitquantum values do not match", Refusal.BITQUANTUM),
    (b"mismatched bitquantum", Refusal.BITQUANTUM),
    (b"mbar values do not match", Refusal.MBAR),
    (b"mismatched mbar", Refusal.MBAR),
    (b"Missing entry in configdata", Refusal.MISSING),
    (b"Error parsing configdata", Refusal.MALFORMED),
    (b"connected to itself", Refusal.OURSELVES),
)


def refusal_of(reason: bytes) -> Refusal:
    """Which refusal a partner's words are."""
    known = (refusal for start, refusal in _REASONS if reason.startswith(start))
    return next(known, Refusal.OTHER)


class Objection(msgspec.Struct, frozen=True):
    """What we have against a partner's config, and the words for it."""

    refusal: Refusal
    reason: bytes


class Terms(msgspec.Struct, frozen=True):
    """A config that could be read."""

    version: tuple[int, int, int]
    filters: bytes
    bitquantum: int
    mbar: int
    http_port: int | None
    """None: it says none that could be connected to."""
    program: Program
    ways: tuple[str, ...]
    """Those that it knows, the best one first; `PLAIN` is always among them."""
    identity: bytes | None


def config_of(
    *, http_port: int, filters: bytes, identity: bytes, ways: Sequence[str] = ()
) -> Config:
    """Our config, its keys in SKS's order. `ways` are those beside `PLAIN`."""
    return Config(
        (
            (b"bitquantum", BITQUANTUM.to_bytes(4)),
            (b"filters", filters),
            (b"http port", http_port.to_bytes(4)),
            (b"mbar", MBAR.to_bytes(4)),
            (b"version", VERSION),
            (b"x-keygrove", ",".join((*ways, PLAIN)).encode()),
            (b"x-keygrove-id", identity),
        )
    )


def filters_of(config: Config) -> bytes | None:
    """What has to be sent back to this partner, octet by octet."""
    return dict(config.pairs).get(b"filters")


def read_terms(config: Config) -> Terms | Objection:
    """What a config means. Of a key that is there twice, the last counts."""
    values = dict(config.pairs)
    try:
        version, filters = _version(values[b"version"]), values[b"filters"]
        bitquantum, mbar = _number(values[b"bitquantum"]), _number(values[b"mbar"])
    except KeyError:
        return Objection(Refusal.MISSING, b"Missing entry in configdata")
    if version is None or bitquantum is None or mbar is None:
        return Objection(Refusal.MALFORMED, b"Error parsing configdata: a value cannot be read")
    return Terms(
        version=version,
        filters=filters,
        bitquantum=bitquantum,
        mbar=mbar,
        http_port=_port(values.get(b"http port", b"")),
        program=_program(values),
        ways=_ways(values.get(b"x-keygrove", b"")),
        identity=values.get(b"x-keygrove-id"),
    )


def object_to(terms: Terms, *, filters: bytes, identity: bytes) -> Objection | None:
    """What we, who sent these filters and this ID, have against it; None: nothing."""
    if terms.identity == identity:
        return Objection(Refusal.OURSELVES, b"connected to itself: take it out of the partners")
    if terms.version < VERSION_MIN:
        least, provided = (".".join(map(str, one)) for one in (VERSION_MIN, terms.version))
        text = f"Requires version at least {least}.  {provided} provided "
        return Objection(Refusal.VERSION, text.encode())
    if _names(filters) != _names(terms.filters):
        text = f"local filters: {_listed(filters)}\n\tremote filters: {_listed(terms.filters)}"
        return Objection(Refusal.FILTERS, f"filters do not match.\n\t{text}".encode())
    if terms.bitquantum != BITQUANTUM:
        return Objection(Refusal.BITQUANTUM, b"bitquantum values do not match")
    if terms.mbar != MBAR:
        return Objection(Refusal.MBAR, b"mbar values do not match")
    return None


def agreed_way(initiators: Sequence[str], acceptors: Sequence[str]) -> str:
    """The first of the initiator's that the acceptor knows: both ends say the same."""
    return next((way for way in initiators if way in acceptors), PLAIN)


def _version(text: bytes) -> tuple[int, int, int] | None:
    """Of more numbers than three, as SKS, the first three."""
    found = _VERSION_OF_THREE.fullmatch(b".".join(text.split(b".")[:3]))
    if found is None:
        return None
    major, minor, patch = map(int, found.groups())
    return major, minor, patch


def _number(octets: bytes) -> int | None:
    return int.from_bytes(octets) if len(octets) == 4 else None


def _port(octets: bytes) -> int | None:
    port = _number(octets)
    return port if port is not None and 0 < port < 1 << 16 else None


def _program(values: dict[bytes, bytes]) -> Program:
    if b"x-keygrove" in values:
        return Program.KEYGROVE
    if HOCKEYPUCK_FILTER in values[b"filters"].split(b","):
        return Program.HOCKEYPUCK
    return Program.SKS


def _ways(octets: bytes) -> tuple[str, ...]:
    """Those that are names; whatever else there is, `PLAIN` is understood."""
    names = (printable(name).strip() for name in octets.split(b",")[:WAYS_MAX])
    return (*(name for name in names if name and name != PLAIN), PLAIN)


def _names(filters: bytes) -> set[bytes]:
    """As SKS compares them: order does not matter."""
    return {name for name in filters.split(b",") if name}


def _listed(filters: bytes) -> str:
    names = (printable(name) for name in filters.split(b",") if name)
    return " ".join(("[", *names, "]"))

"""What invariants are shown, and what they say of it: data only.

Events come one by one, as they happen; a view of the whole is taken when nothing moves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from keygrove_actors.reports import Report
from keygrove_chaos.history import NANOSECONDS, Event
from keygrove_chaos.operations import Operation

# ---- what happens


class NodeReport(msgspec.Struct, frozen=True):
    """The runtime of a node reported something."""

    time_ns: int
    node: str
    report: Report


class MailboxGauge(msgspec.Struct, frozen=True):
    """How many messages an actor had waiting, at most since the last gauge; its limit."""

    time_ns: int
    node: str
    path: str
    length: int
    limit: int | None


class TreeLook(msgspec.Struct, frozen=True):
    """What a node shows to partners of recon, and what it held in the same moment, by digests."""

    time_ns: int
    node: str
    shown: frozenset[str]
    held: frozenset[str]
    """Of what is not denied, and of a version that partners can read."""


class Fetch(msgspec.Struct, frozen=True):
    """A node asked a partner for certificates, and was answered."""

    time_ns: int
    node: str
    partner: str
    digests: tuple[str, ...]
    """That it asked for."""


Occurrence: TypeAlias = Event | NodeReport | MailboxGauge | TreeLook | Fetch
"""All that is shown as it happens."""

# ---- what is there


class Receipt(msgspec.Struct, frozen=True):
    """A node accepted these packets of a key, from wherever they came."""

    key: str
    packets: frozenset[str]


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """What a node holds while nothing moves. None, where the harness did not look.

    Keys are fingerprints in hex, packets are named by their hashes as in the history.
    """

    node: str
    policy: str
    """Nodes of one policy that talk to each other hold the same; a node alone has its own."""
    keys: dict[str, frozenset[str]] | None = None
    digests: dict[str, str] | None = None
    """For each key: one word for the octets that are stored of it."""
    receipts: tuple[Receipt, ...] | None = None
    """All that the node ever accepted, in order."""
    terms: dict[str, frozenset[str]] | None = None
    """For each search term that occurs in what is stored: the keys it occurs in."""
    index: dict[str, frozenset[str]] | None = None
    """For each search term in the index: the keys that searching finds."""
    log: tuple[str, ...] | None = None
    """All lines of the node's log, in all its lives."""
    tree: frozenset[str] | None = None
    """The digests that partners of recon are shown."""
    past: dict[str, dict[str, frozenset[str]]] | None = None
    """By the name of each snapshot: what it shows of keys."""
    rollbacks: dict[str, str] | None = None
    """The stage of each, by its name."""
    probes: dict[str, int] | None = None
    """What the node answered when it was asked once more: the HTTP status, by what was asked."""
    paths: tuple[str, ...] | None = None
    """The paths of all actors that are up, supervisors included, the root left out."""


class View(msgspec.Struct, frozen=True):
    """All nodes that are up, at one moment at which nothing moves."""

    time_ns: int
    nodes: tuple[NodeView, ...]


# ---- what invariants say


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """An invariant does not hold: since when, in one sentence, and the least that shows it."""

    invariant: str
    at_ns: int
    says: str
    node: str = ""
    keys: tuple[str, ...] = ()
    ops: tuple[Operation, ...] = ()
    states: tuple[str, ...] = ()
    """What held what, in words."""


class Undecided(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the invariant holds is not known, for the reason that `says` tells."""

    invariant: str
    says: str


Finding: TypeAlias = Violation | Undecided

# ---- words

_NAME_LETTERS = 8
_NAMES_MAX = 4


def at(time_ns: int) -> str:
    """A moment, as people say it."""
    return f"{time_ns / NANOSECONDS:.10g} s"


def short(name: str) -> str:
    """A fingerprint or hash, as far as people can tell it from others."""
    return name if len(name) <= _NAME_LETTERS else f"{name[:_NAME_LETTERS]}…"


def listed(names: Iterable[str]) -> str:
    """Some names in a row, in the order of the alphabet, and how many more there are."""
    ordered = sorted(names)
    more = len(ordered) - _NAMES_MAX
    shown = ", ".join(short(name) for name in ordered[:_NAMES_MAX])
    return (shown or "nothing") + (f" and {more} more" if more > 0 else "")

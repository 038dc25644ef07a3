"""What clients asked and were told, and what befell the nodes: one JSON line for each event.

    {"i":17,"t":123456789,"c":"client3","s":"client3.9","n":"n2","ph":"ok","f":"put",
     "k":"<fingerprint>","v":["<packet hash>"],"x":{"status":200}}

    i   the event's number, from 0 without a gap, so that a lost line is noticed
    t   nanoseconds of the harness's clock, which never goes back
    c   who asked; HARNESS for what befalls a node
    s   a session of that client: one operation at a time; the next after `info` is another
    n   the node that was asked
    ph  invoke, then one of: ok; fail, surely not applied; info, which may yet be applied
    f   what was asked for, see `Function`
    k   the fingerprint, in hex, or what was searched for
    v   packet hashes: put with `invoke`, found by a get with `ok`; fingerprints of a search;
        numbers of the operations that a node has taken when it drains
    x   see `Detail`

Order is the order of lines and nothing else: in virtual time, much happens at one moment.

Source: Jepsen's histories (a process that crashed is replaced by a new one).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from keygrove_chaos.errors import HistoryError

HARNESS: Final = "harness"
"""The client of events that nobody asked for."""

NANOSECONDS: Final = 1_000_000_000


class Phase(enum.Enum):
    """Where an operation is."""

    INVOKE = "invoke"
    OK = "ok"
    FAIL = "fail"
    """Surely not applied."""
    INFO = "info"
    """Nobody knows: applied already, later, or never. Also the phase of the harness's events."""


class Function(enum.Enum):
    """What a client asked for, or what the harness did to a node."""

    PUT = "put"
    GET = "get"
    SEARCH = "search"
    DELETE = "delete"
    """Forget the key; it may be put again."""
    DENY = "deny"
    """Forget the key, and never take it again; `v` has the request's nonce."""
    ALLOW = "allow"
    """Take the key again, from now on; `v` is as of `DENY`."""
    CONDEMN = "condemn"
    """A submission by which the key revokes itself for good: nothing else of it is shown then."""
    SNAPSHOT = "snapshot"
    """Take a snapshot; `k` is its name."""
    PAST = "past"
    """The key as a snapshot has it; `v` has its name with `invoke`."""
    ROLLBACK = "rollback"
    """Take back what a partner brought; `k` is its name, `v` has the keys that it offers."""
    UNDO = "undo"
    """Restore that; `k` and `v` are as of `ROLLBACK`."""
    ENQUEUE = "enqueue"
    EFFECT = "effect"
    ROOT = "root"

    START = "start"
    """The node's process begins."""
    DRAIN = "drain"
    """The node was asked to stop in order; `v` are the operations that it has taken."""
    EXIT = "exit"
    """The node's process ended; `Detail.code` says how."""
    FAULT = "fault"
    """A fault begins on the node."""
    HEAL = "heal"
    """The last fault on the node is over."""
    DISK = "disk"
    """The node's disk refused a write; `Detail.errno` says why."""
    DURABLE = "durable"
    """The packets `v` of key `k` would now survive a power cut."""


SUBMISSIONS: Final = frozenset({Function.PUT, Function.CONDEMN})
REMOVALS: Final = frozenset({Function.DELETE, Function.DENY})
RETRACTIONS: Final = frozenset({Function.CONDEMN, Function.ROLLBACK})
"""After these some of a key may be gone; which, `taken_back` says."""


class Detail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What else is known of an event. `status` is HTTP's."""

    status: int | None = None
    has_retry_after: bool = False
    forged: tuple[str, ...] = ()
    """What was put besides and is never to be shown, by hashes as in `v`."""
    origin: str = ""
    """The partner that offered it."""
    shard: str | None = None
    """The child id of the shard that the key belongs to."""
    code: int | None = None
    """The exit code of a process."""
    errno: str | None = None
    """`ENOSPC` or `EIO`."""
    wal_bytes: int | None = None
    """What the node left behind in write-ahead logs when it ended,"""
    leftovers: int | None = None
    """and how many names, tasks, deadlines and waiters in its runtime."""


NOTHING: Final = Detail()


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One line of a history."""

    index: int = msgspec.field(name="i")
    time_ns: int = msgspec.field(name="t")
    client: str = msgspec.field(name="c")
    session: str = msgspec.field(name="s")
    node: str = msgspec.field(name="n")
    phase: Phase = msgspec.field(name="ph")
    function: Function = msgspec.field(name="f")
    key: str = msgspec.field(name="k")
    values: tuple[str, ...] = msgspec.field(name="v")
    detail: Detail = msgspec.field(name="x", default=NOTHING)


class About(msgspec.Struct, frozen=True):
    """What an operation, or something that befalls a node, is about; see `Event`."""

    node: str
    function: Function
    key: str = ""
    values: tuple[str, ...] = ()


class History:
    """A growing history. Times are virtual seconds, as `timeline.Timeline.now` tells them."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._sessions: dict[str, int] = {}
        self._busy: dict[str, Event] = {}

    @property
    def events(self) -> Sequence[Event]:
        """All events so far; not to be changed."""
        return self._events

    def session(self, client: str) -> str:
        """The session in which the client's next operation is."""
        return f"{client}.{self._sessions.get(client, 0)}"

    def invoke(self, client: str, about: About, detail: Detail = NOTHING, *, now: float) -> Event:
        """A client asks. The event is what `close` wants back."""
        session = self.session(client)
        assert client != HARNESS
        assert session not in self._busy, f"{session} has not been answered yet"
        event = self._note(client, session, Phase.INVOKE, about, detail, now)
        self._busy[session] = event
        return event

    def close(
        self,
        invoked: Event,
        phase: Phase,
        found: Iterable[str] = (),
        detail: Detail = NOTHING,
        *,
        now: float,
    ) -> Event:
        """A client was answered, or gave up; after `info` its next operation has a new session."""
        client, session = invoked.client, invoked.session
        assert phase is not Phase.INVOKE
        assert self._busy.pop(session) is invoked
        if phase is Phase.INFO:
            self._sessions[client] = self._sessions.get(client, 0) + 1
        about = About(invoked.node, invoked.function, invoked.key, tuple(found))
        return self._note(client, session, phase, about, detail, now)

    def befall(self, about: About, detail: Detail = NOTHING, *, now: float) -> Event:
        """Something happens to a node that no client asked for."""
        return self._note(HARNESS, HARNESS, Phase.INFO, about, detail, now)

    def _note(  # noqa: PLR0913, PLR0917 - an event's fields, in their order
        self, client: str, session: str, phase: Phase, about: About, detail: Detail, now: float
    ) -> Event:
        event = Event(
            index=len(self._events),
            time_ns=round(now * NANOSECONDS),
            client=client,
            session=session,
            node=about.node,
            phase=phase,
            function=about.function,
            key=about.key,
            values=about.values,
            detail=detail,
        )
        assert not self._events or event.time_ns >= self._events[-1].time_ns, "time went back"
        self._events.append(event)
        return event


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)


def encode(events: Iterable[Event]) -> bytes:
    """The events as lines."""
    return b"".join(_encoder.encode(event) + b"\n" for event in events)


def decode(data: bytes, name: str = "history") -> list[Event]:
    """The events of some lines; `name` is what errors call them.

    Raises:
        HistoryError: a line is damaged, or an event is missing or out of time.
    """
    events: list[Event] = []
    time_ns = 0
    lines = data.split(b"\n")
    if lines.pop():
        raise HistoryError(f"{name}, line {len(lines) + 1}", "it is not ended, so it may be cut")
    for number, line in enumerate(lines, start=1):
        where = f"{name}, line {number}"
        try:
            event = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise HistoryError(where, str(error)) from error
        if event.index != number - 1:
            raise HistoryError(where, f"it is event {event.index}, where {number - 1} belongs")
        if event.time_ns < time_ns:
            raise HistoryError(where, f"time goes back from {time_ns} ns to {event.time_ns} ns")
        time_ns = event.time_ns
        events.append(event)
    return events


def write_history(path: Path, events: Iterable[Event]) -> None:
    """Write the events to a file, in place of what it held."""
    path.write_bytes(encode(events))


def read_history(path: Path) -> list[Event]:
    """The events of a file.

    Raises:
        HistoryError: a line is damaged, or an event is missing or out of time.
    """
    return decode(path.read_bytes(), str(path))

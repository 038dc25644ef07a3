"""The supervision tree as data: which children, in which order, restarted how.

Words, meanings and defaults are OTP's (stdlib, module `supervisor`). A spec checks
itself when it is made, so that a bad one is found before anything starts.
"""

from __future__ import annotations

import enum
import warnings
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from keygrove_actors.messages import BadSpec, SpecWarning

if TYPE_CHECKING:
    from keygrove_actors.actor import Actor

MAILBOX_LIMIT: Final = 10_000
"""Messages that may wait where a spec does not say otherwise."""

WORKER_SHUTDOWN_S: Final = 5.0
"""Seconds a worker may take to stop where its spec does not say; OTP's number."""

ShutdownLimit: TypeAlias = float | Literal["infinity", "brutal_kill"]


class Strategy(enum.Enum):
    """Who is restarted when a child's end leads to a restart."""

    ONE_FOR_ONE = "one_for_one"
    """That child."""
    ONE_FOR_ALL = "one_for_all"
    """All children: the others are stopped first, in reverse order."""
    REST_FOR_ONE = "rest_for_one"
    """That child and those started after it, which are stopped first."""


class Restart(enum.Enum):
    """Which ends of a child lead to a restart."""

    PERMANENT = "permanent"
    """All of them."""
    TRANSIENT = "transient"
    """The abnormal ones."""
    TEMPORARY = "temporary"
    """None; the spec is forgotten with the child."""


class Overflow(enum.Enum):
    """What a full mailbox does. A call's sender always learns of it by `MailboxFull`."""

    REJECT = "reject"
    """Refuse the new message; a cast's sender is told if it asked to be (`strict`)."""
    DROP_OLDEST = "drop_oldest"
    """Make room by dropping the message that waited longest."""
    DROP_NEWEST = "drop_newest"
    """Drop the new message; a cast's sender is never told."""
    BLOCK = "block"
    """Let `Ref.send` and calls wait for room; a cast, which cannot wait, is refused."""


class MailboxSpec(msgspec.Struct, frozen=True):
    """How many messages may wait (`None`: any number), and what happens beyond."""

    limit: int | None = MAILBOX_LIMIT
    overflow: Overflow = Overflow.REJECT

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise BadSpec(f"mailbox limit {self.limit} lets nothing in: use at least 1, or None")


class _ChildOptions(msgspec.Struct, frozen=True, kw_only=True):
    name: str | None = None
    restart: Restart = Restart.PERMANENT
    shutdown: ShutdownLimit | None = None
    init_timeout: float | None = None
    mailbox: MailboxSpec = MailboxSpec()


class ChildSpec(_ChildOptions, frozen=True):
    """One child. `start` makes a fresh actor, cheaply and without I/O, or is a subtree.

    `name` makes the child known to the whole runtime. `shutdown` and `init_timeout` are
    in seconds; `shutdown` is 5 for a worker unless given, and always "infinity" for a
    supervisor, since a kill would deny its children their order.
    """

    id: str
    start: Callable[[], Actor[Any]] | SupSpec

    def __post_init__(self) -> None:
        _check_child(self)

    @property
    def shutdown_limit(self) -> ShutdownLimit:
        """How long a stop may take, the default filled in."""
        if self.shutdown is not None:
            return self.shutdown
        return "infinity" if isinstance(self.start, SupSpec) else WORKER_SHUTDOWN_S


class SupSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A supervisor: its children in start order, and how many restarts it tolerates.

    More than `intensity` restarts within `period` seconds end it.
    """

    children: tuple[ChildSpec, ...]
    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: int = 1
    period: float = 5.0

    def __post_init__(self) -> None:
        _check_supervisor(self)


def _check_child(spec: ChildSpec) -> None:
    limit = spec.shutdown
    if isinstance(spec.start, SupSpec):
        if limit not in {None, "infinity"}:
            raise BadSpec(
                f"{spec.id} is a supervisor with shutdown {limit!r}, which would orphan its "
                "children: leave shutdown out"
            )
        if spec.restart is Restart.TRANSIENT:
            warnings.warn(
                f"{spec.id} is a transient supervisor: it stays down when it gives up, "
                "because that is an orderly end; make it permanent",
                SpecWarning,
                stacklevel=3,
            )
    elif isinstance(limit, str):
        if limit not in {"infinity", "brutal_kill"}:
            raise BadSpec(
                f'{spec.id} has shutdown {limit!r}: use seconds, "infinity" or "brutal_kill"'
            )
    elif limit is not None and limit < 0:
        raise BadSpec(f"{spec.id} has shutdown {limit}: use 0 seconds or more")
    if spec.init_timeout is not None and spec.init_timeout <= 0:
        raise BadSpec(f"{spec.id} has init_timeout {spec.init_timeout}: use more than 0, or None")


def _check_supervisor(spec: SupSpec) -> None:
    if not isinstance(spec.strategy, Strategy):  # pyright: ignore[reportUnnecessaryIsInstance] - the checkers' promise is not kept by untyped callers
        raise BadSpec(f"unknown strategy {spec.strategy!r}: use a member of Strategy")
    if spec.intensity < 0:
        raise BadSpec(f"intensity {spec.intensity} is negative: use 0 to tolerate no restart")
    if spec.period <= 0:
        raise BadSpec(f"period {spec.period} is no time span: use more than 0 seconds")
    twice = [i for i, n in Counter(c.id for c in spec.children).items() if n > 1]
    if twice:
        raise BadSpec(f"child ids {twice} occur more than once: give each child its own")

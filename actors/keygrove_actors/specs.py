"""The supervision tree as data: which children, in which order, restarted how.

Words, meanings and defaults are OTP's (stdlib, module `supervisor`). A spec checks
itself when it is made, so that a bad one is found before anything starts.
"""

from __future__ import annotations

import enum
import warnings
from collections import Counter
from collections.abc import Callable
from inspect import iscoroutinefunction
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


_NUMBER: Final = (int, float)
_WORDS: Final = {int: "a number", float: "a number", str: "text", type(None): "None"}


def _check_kinds(what: str, spec: msgspec.Struct, **kinds: tuple[type[Any], ...]) -> None:
    """See that fields are of these types: untyped callers do not keep the checkers' promise."""
    for field, wanted in kinds.items():
        value: object = getattr(spec, field)
        if not isinstance(value, wanted):
            words = dict.fromkeys(_WORDS.get(kind, f"a {kind.__name__}") for kind in wanted)
            raise BadSpec(f"{what} has {field} {value!r:.80}: give {' or '.join(words)}")


class Strategy(enum.Enum):
    """Who is restarted when a child's end leads to a restart."""

    ONE_FOR_ONE = "one_for_one"
    """That child."""
    ONE_FOR_ALL = "one_for_all"
    """All children: the others are stopped first, in reverse order."""
    REST_FOR_ONE = "rest_for_one"
    """That child and those started after it, which are stopped first."""
    DYNAMIC = "dynamic"
    """That child, one of any number made from the same template while the tree runs."""


class Restart(enum.Enum):
    """Which ends of a child lead to a restart."""

    PERMANENT = "permanent"
    """All of them."""
    TRANSIENT = "transient"
    """The abnormal ones."""
    TEMPORARY = "temporary"
    """None; the spec is forgotten with the child."""


class AutoShutdown(enum.Enum):
    """Whether a supervisor ends when its significant children have."""

    NEVER = "never"
    """It does not."""
    ANY_SIGNIFICANT = "any_significant"
    """As soon as one of them ended by itself and is not restarted."""
    ALL_SIGNIFICANT = "all_significant"
    """As soon as none of them is left."""


class Jitter(enum.Enum):
    """How much of a delay is left to chance, so that many do not come back at once."""

    NONE = "none"
    FULL = "full"
    """Anything up to the delay."""
    EQUAL = "equal"
    """Half of the delay, and anything up to the other half."""


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait before a restart, in seconds.

    The first waits for `first`, the next for `base`, each later one `factor` times as long,
    up to `cap`. A child that stayed up for `reset_after` begins anew. The default `cap` lets
    a crash loop still reach the default intensity.
    """

    base: float
    first: float = 0.0
    factor: float = 2.0
    cap: float = 3.0
    jitter: Jitter = Jitter.FULL
    reset_after: float = 60.0

    def __post_init__(self) -> None:
        _check_backoff(self)


class OnBudget(enum.Enum):
    """What follows when a child has spent its own budget of restarts."""

    ESCALATE = "escalate"
    """Its supervisor gives up, as when the intensity is exceeded."""
    GIVE_UP = "give_up"
    """The child stays down, as failed; the others go on."""


class Budget(msgspec.Struct, frozen=True):
    """At most so many `restarts` within `period` seconds."""

    restarts: int
    period: float

    def __post_init__(self) -> None:
        _check_kinds("a budget", self, restarts=_NUMBER, period=_NUMBER)
        if self.restarts < 0:
            raise BadSpec(f"a budget of {self.restarts} restarts is negative: use 0 for none")
        if not self.period > 0:
            raise BadSpec(f"budget period {self.period} is no time span: use more than 0 seconds")


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
        _check_kinds("a mailbox", self, limit=(int, type(None)), overflow=(Overflow,))
        if self.limit is not None and self.limit < 1:
            raise BadSpec(f"mailbox limit {self.limit} lets nothing in: use at least 1, or None")


class _ChildOptions(msgspec.Struct, frozen=True, kw_only=True):
    name: str | None = None
    restart: Restart = Restart.PERMANENT
    shutdown: ShutdownLimit | None = None
    init_timeout: float | None = None
    mailbox: MailboxSpec = MailboxSpec()
    significant: bool = False
    backoff: Backoff | None = None
    budget: Budget | None = None
    on_budget: OnBudget = OnBudget.ESCALATE


class ChildSpec(_ChildOptions, frozen=True):
    """One child. `start` makes a fresh actor, cheaply and without I/O, or is a subtree.

    `name` makes the child known to the whole runtime. `shutdown` and `init_timeout` are
    in seconds; `shutdown` is 5 for a worker unless given, and always "infinity" for a
    supervisor, since a kill would deny its children their order. `significant` counts for
    the supervisor's `auto_shutdown`. With a `budget` of its own the child's restarts do not
    count towards the supervisor's intensity.

    As a template, `start` gets the arguments given to `SupRef.spawn`; what is common to all
    children comes first, by `functools.partial`.
    """

    id: str
    start: Callable[..., Actor[Any]] | SupSpec

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

    More than `intensity` restarts within `period` seconds end it. A dynamic one has a
    `template` in place of `children`, and starts with none.
    """

    children: tuple[ChildSpec, ...] = ()
    template: ChildSpec | None = None
    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: int = 1
    period: float = 5.0
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    max_children: int | None = None
    is_partitioned: bool = False
    """Its children are equal shares of a key space: their number is fixed."""

    def __post_init__(self) -> None:
        _check_supervisor(self)


def partitioned(n: int, spec: ChildSpec, *, intensity: int = 1, period: float = 5.0) -> SupSpec:
    """A supervisor of `n` equal children; `SupRef.ref_for` leads a key to one of them.

    Their ids are `spec`'s with a number behind it, as are their names if it has one.
    """
    given: Any = n  # by untyped callers, too
    if not isinstance(given, int) or given < 1:
        raise BadSpec(f"{n!r:.80} partitions are no number of them: use 1, 2 or more")
    replace = msgspec.structs.replace
    children = tuple(
        replace(spec, id=f"{spec.id}-{i}", name=None if spec.name is None else f"{spec.name}-{i}")
        for i in range(n)
    )
    return SupSpec(children=children, intensity=intensity, period=period, is_partitioned=True)


def _check_backoff(backoff: Backoff) -> None:
    _check_kinds(
        "a backoff",
        backoff,
        **dict.fromkeys(("base", "first", "factor", "cap", "reset_after"), _NUMBER),
        jitter=(Jitter,),
    )
    if not backoff.base > 0:
        raise BadSpec(f"backoff base {backoff.base} waits for nothing: use more than 0 seconds")
    for field in ("first", "cap", "reset_after"):
        seconds: float = getattr(backoff, field)
        if not seconds >= 0:
            raise BadSpec(f"backoff {field} {seconds} is negative: use 0 seconds or more")
    if not backoff.factor >= 1:
        raise BadSpec(f"backoff factor {backoff.factor} makes waits shorter: use 1 or more")


def _check_child(spec: ChildSpec) -> None:
    _check_kinds("a child", spec, id=(str,))
    _check_start(spec)
    if not isinstance(spec.restart, Restart):  # pyright: ignore[reportUnnecessaryIsInstance] - see `_check_kinds`
        raise BadSpec(f"unknown restart {spec.restart!r}: use a member of Restart")
    _check_kinds(
        spec.id,
        spec,
        name=(str, type(None)),
        shutdown=(*_NUMBER, str, type(None)),
        init_timeout=(*_NUMBER, type(None)),
        mailbox=(MailboxSpec,),
        backoff=(Backoff, type(None)),
        budget=(Budget, type(None)),
        on_budget=(OnBudget,),
    )
    if not spec.id or "/" in spec.id or not spec.id.isprintable():
        raise BadSpec(
            f"child id {spec.id!r} cannot stand in a path: use printable characters, no slash"
        )
    if spec.name is not None and not (spec.name and spec.name.isprintable()):
        raise BadSpec(f"{spec.id} has name {spec.name!r}: use printable characters")
    _check_shutdown(spec)
    if spec.init_timeout is not None and not spec.init_timeout > 0:
        raise BadSpec(f"{spec.id} has init_timeout {spec.init_timeout}: use more than 0, or None")
    if spec.significant and spec.restart is Restart.PERMANENT:
        raise BadSpec(
            f"{spec.id} is significant and permanent, so it never ends by itself for good: "
            "make it transient or temporary"
        )
    if spec.restart is Restart.TEMPORARY and (spec.backoff or spec.budget):
        raise BadSpec(f"{spec.id} is temporary and never restarted: leave backoff and budget out")
    if spec.on_budget is not OnBudget.ESCALATE and spec.budget is None:
        raise BadSpec(f"{spec.id} has on_budget without a budget: give it one")


def _check_start(spec: ChildSpec) -> None:
    start: object = spec.start
    if isinstance(start, SupSpec):
        return
    if not callable(start):
        what = f"{type(start).__name__} to start"
    elif iscoroutinefunction(start):
        what = "a coroutine function to start"
    elif isinstance(start, type) and not hasattr(start, "__traits__"):
        what = f"{start.__name__} to start, which is no class derived from Actor"
    else:
        return
    raise BadSpec(
        f"{spec.id} is given {what}: give a class of actors, or a plain function that makes one"
    )


def _check_shutdown(spec: ChildSpec) -> None:
    limit = spec.shutdown
    if isinstance(spec.start, SupSpec):
        if limit not in {None, "infinity"}:
            raise BadSpec(
                f"{spec.id} is a supervisor with shutdown {limit!r}, which would orphan its "
                "children: leave shutdown out"
            )
        never = spec.start.auto_shutdown is AutoShutdown.NEVER
        if spec.restart is Restart.TRANSIENT and never:
            _warn(
                f"{spec.id} is a transient supervisor: it stays down when it gives up, "
                "because that is an orderly end; make it permanent"
            )
    elif isinstance(limit, str):
        if limit not in {"infinity", "brutal_kill"}:
            raise BadSpec(
                f'{spec.id} has shutdown {limit!r}: use seconds, "infinity" or "brutal_kill"'
            )
    elif limit is not None and not limit >= 0:
        raise BadSpec(f"{spec.id} has shutdown {limit}: use 0 seconds or more")


def _check_supervisor(spec: SupSpec) -> None:
    if not isinstance(spec.strategy, Strategy):  # pyright: ignore[reportUnnecessaryIsInstance] - see `_check_kinds`
        raise BadSpec(f"unknown strategy {spec.strategy!r}: use a member of Strategy")
    if not isinstance(spec.children, tuple):  # pyright: ignore[reportUnnecessaryIsInstance] - as above
        raise BadSpec("children are a tuple: write (child,) where there is one")
    for child in spec.children:
        if not isinstance(child, ChildSpec):  # pyright: ignore[reportUnnecessaryIsInstance] - as above
            raise BadSpec(f"{child!r:.80} is among the children: write ChildSpec(id, start)")
    _check_kinds(
        "a supervisor",
        spec,
        template=(ChildSpec, type(None)),
        intensity=_NUMBER,
        period=_NUMBER,
        auto_shutdown=(AutoShutdown,),
        max_children=(int, type(None)),
    )
    if spec.intensity < 0:
        raise BadSpec(f"intensity {spec.intensity} is negative: use 0 to tolerate no restart")
    if not spec.period > 0:
        raise BadSpec(f"period {spec.period} is no time span: use more than 0 seconds")
    _check_children(spec)
    for child in spec.children if spec.template is None else (spec.template,):
        check_pair(spec, child)


def _check_children(spec: SupSpec) -> None:
    twice = [i for i, n in Counter(c.id for c in spec.children).items() if n > 1]
    if twice:
        raise BadSpec(f"child ids {twice} occur more than once: give each child its own")
    if spec.strategy is Strategy.DYNAMIC:
        if spec.template is None or spec.children:
            raise BadSpec("a dynamic supervisor starts empty: give it a template, no children")
        if spec.template.name is not None:
            raise BadSpec(
                f"template {spec.template.id} has the name {spec.template.name}, which only one "
                "child could have: leave it out"
            )
    elif spec.template is not None or spec.max_children is not None:
        raise BadSpec(
            f"template and max_children mean nothing to {spec.strategy.value}: use "
            "Strategy.DYNAMIC, or leave them out"
        )
    if spec.max_children is not None and spec.max_children < 0:
        raise BadSpec(f"max_children {spec.max_children} is negative: use 0 or more, or None")


def check_pair(spec: SupSpec, child: ChildSpec) -> None:
    """Check what only child and supervisor together can get wrong.

    Raises:
        BadSpec: the child is significant, and nothing follows from that.
    """
    if child.significant and spec.auto_shutdown is AutoShutdown.NEVER:
        raise BadSpec(
            f"{child.id} is significant to a supervisor that never ends for it: set auto_shutdown"
        )
    backoff = child.backoff
    if backoff and not child.budget and backoff.cap * spec.intensity > spec.period:
        _warn(
            f"{child.id} may crash for ever: with waits of {backoff.cap:g} s it never reaches "
            f"{spec.intensity} restarts in {spec.period:g} s; lower the cap, or give it a budget"
        )


def _warn(text: str) -> None:
    warnings.warn(text, SpecWarning, stacklevel=5)

"""The catalogue of invariants, and the monitor that holds a run against them.

What is not watched is printed with the reason, never left out in silence; and what is not
known is printed as such, never counted as held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from keygrove_actors.specs import SupSpec
from keygrove_chaos.answers import Available, GracefulShutdown, HonestErrors, Private
from keygrove_chaos.errors import ChaosError
from keygrove_chaos.history import Event, Function
from keygrove_chaos.intake import CarriedOutOnce, DeniedStaysAway, NothingForged
from keygrove_chaos.invariant import Invariant, Passive
from keygrove_chaos.observation import Finding, Occurrence, Undecided, View, Violation
from keygrove_chaos.operations import operations
from keygrove_chaos.partner import TreeIsTheStore
from keygrove_chaos.past import PastStays
from keygrove_chaos.promises import (
    IndexAgrees,
    Linearizable,
    MergeIsAJoin,
    MonotonicReads,
    NothingLost,
)
from keygrove_chaos.supervision import SLACK_S
from keygrove_chaos.taken_back import TakenBack
from keygrove_chaos.upkeep import (
    BoundedMailboxes,
    NothingIsLeft,
    RestartsByTheRules,
    Serves,
    TreeIsWhole,
)


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What the harness can tell of the system under test."""

    tree: SupSpec | None = None
    """The supervision tree of each node, as specified."""
    recovery_s: float = 10.0
    """How long a fallen actor may take to be up again, its backoff left out."""
    slack_s: float = SLACK_S
    """How much later than what they report reports may be: more where time is real."""
    sees_disk: bool = False
    """Whether the history notes what became durable, and when the disk was full."""


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """An invariant, for people: what must hold, how it is seen, when it is checked."""

    id: str
    title: str
    statement: str
    seen_by: str
    checked: str


class _Entry(msgspec.Struct, frozen=True):
    """A description, and how to begin; a reason in place of the invariant if that cannot be."""

    description: Description
    begin: Callable[[Setup], Invariant | str]


NO_TREE: Final = "no supervision tree was given"


def _with_tree(begin: Callable[[Setup, SupSpec], Invariant]) -> Callable[[Setup], Invariant | str]:
    return lambda setup: NO_TREE if setup.tree is None else begin(setup, setup.tree)


_CATALOGUE: Final = (
    _Entry(
        Description(
            id="I-01",
            title="nothing acknowledged is lost",
            statement="Every packet of an acknowledged submission is in the node's storage after "
            "any number of crashes, unless its key was deleted or denied later.",
            seen_by="the history's puts, what nodes hold, and the last reads of all keys",
            checked="whenever nothing moves, and at the end",
        ),
        lambda _: NothingLost(),
    ),
    _Entry(
        Description(
            id="I-02",
            title="nothing forged is shown",
            statement="No answer has a user ID or a signature that bears the name of the "
            "certificate's key and was made by another.",
            seen_by="what clients forged, what reads show and what nodes hold",
            checked="at each read, whenever nothing moves, and at the end",
        ),
        lambda _: NothingForged(),
    ),
    _Entry(
        Description(
            id="I-03",
            title="merging is a join",
            statement="A node holds the union of what it received; nodes of one policy hold the "
            "same packets: all that was acknowledged, nothing never put; the same packets are "
            "the same octets on all nodes.",
            seen_by="what nodes received and hold, against a model of sets",
            checked="whenever nothing moves, and at the end",
        ),
        lambda _: MergeIsAJoin(),
    ),
    _Entry(
        Description(
            id="I-05",
            title="recon's tree is the store",
            statement="Partners of recon are shown the digests of what is held and not denied, "
            "but for versions that they cannot read, as of a moment after they asked.",
            seen_by="sessions that tell all there is, in SKS's way and by symbols, and what "
            "shards list",
            checked="every few seconds, where nothing is committed meanwhile, and at the end",
        ),
        lambda _: TreeIsTheStore(),
    ),
    _Entry(
        Description(
            id="I-06",
            title="what is denied stays away",
            statement="After a denial was acknowledged its key is not taken, shown, held or "
            "found, whoever brings it and after any number of crashes, until it is allowed.",
            seen_by="the history, what nodes hold, and their index",
            checked="at each answer, whenever nothing moves, and at the end",
        ),
        lambda _: DeniedStaysAway(),
    ),
    _Entry(
        Description(
            id="I-08",
            title="restarts keep the rules",
            statement="A supervisor restarts the right children in the right order, not sooner "
            "than their backoff and not more often than its intensity allows; then it gives up, "
            "once.",
            seen_by="the runtime's reports, against a model of the rules",
            checked="at each report",
        ),
        _with_tree(lambda setup, tree: RestartsByTheRules(tree, setup.slack_s)),
    ),
    _Entry(
        Description(
            id="I-09",
            title="nothing is left behind",
            statement="A node that was stopped has no name, task, deadline or waiter left in its "
            "runtime.",
            seen_by="the runtime, when its process has ended by itself",
            checked="at each exit",
        ),
        lambda _: NothingIsLeft(),
    ),
    _Entry(
        Description(
            id="I-10",
            title="the tree is whole again",
            statement="Actors are those of the specification, within the recovery bound of any "
            "fall.",
            seen_by="the runtime's reports and the paths of its actors",
            checked="whenever nothing moves, and at the end",
        ),
        _with_tree(lambda setup, tree: TreeIsWhole(tree, setup.recovery_s, setup.slack_s)),
    ),
    _Entry(
        Description(
            id="I-11",
            title="mailboxes are bounded",
            statement="No mailbox ever holds more messages than its specification allows.",
            seen_by="gauges of mailboxes: most messages waiting, and the limit in force",
            checked="at each gauge",
        ),
        _with_tree(lambda _, tree: BoundedMailboxes(tree)),
    ),
    _Entry(
        Description(
            id="I-13",
            title="an order explains all reads",
            statement="Puts, reads, deletes and denials of a key on one node are as if each "
            "happened at one moment between its beginning and its end.",
            seen_by="the history; keys with removals by search, which may end in not knowing",
            checked="at the end",
        ),
        lambda _: Linearizable(),
    ),
    _Entry(
        Description(
            id="I-14",
            title="a session never unlearns",
            statement="On one node, a session's reads show what its reads before showed, and "
            "what it put.",
            seen_by="the history",
            checked="at each read",
        ),
        lambda _: MonotonicReads(),
    ),
    _Entry(
        Description(
            id="I-15",
            title="an order is carried out once",
            statement="An administrator's request that was carried out has no effect when it is "
            "sent again.",
            seen_by="the history, by the nonces of the requests",
            checked="at each answer",
        ),
        lambda _: CarriedOutOnce(),
    ),
    _Entry(
        Description(
            id="I-17",
            title="a drain loses nothing",
            statement="Requests accepted before a drain are answered, or refused with 503 and "
            "Retry-After; the process ends within 10 s with code 0 and an empty write-ahead log.",
            seen_by="the history around drain and exit",
            checked="at each answer and exit, and at the end",
        ),
        lambda _: GracefulShutdown(),
    ),
    _Entry(
        Description(
            id="I-20",
            title="errors are honest",
            statement="A yes comes after durability; a full disk is 507; 503 carries "
            "Retry-After; there is no other status from 500 on.",
            seen_by="the history; durability only where the harness sees the disk",
            checked="at each answer",
        ),
        lambda setup: HonestErrors(sees_disk=setup.sees_disk),
    ),
    _Entry(
        Description(
            id="I-23",
            title="what fails elsewhere fails nobody here",
            statement="While faults are on other nodes only, 99.9 % of reads succeed; while a "
            "shard restarts, all reads of other shards do.",
            seen_by="the history and the runtime's reports",
            checked="at each read, and at the end",
        ),
        lambda _: Available(),
    ),
    _Entry(
        Description(
            id="I-24",
            title="the index agrees with storage",
            statement="Each search term finds exactly the keys in which it is stored.",
            seen_by="all terms of storage and index of each node",
            checked="whenever nothing moves, and at the end",
        ),
        lambda _: IndexAgrees(),
    ),
    _Entry(
        Description(
            id="I-28",
            title="logs are private",
            statement="No line of a log has a mail address that somebody sent or looked for.",
            seen_by="all lines of all logs",
            checked="whenever nothing moves, and at the end",
        ),
        lambda _: Private(),
    ),
    _Entry(
        Description(
            id="I-30",
            title="what is healed serves",
            statement="A node answers a submission, a lookup and a listing of rollbacks when all "
            "its faults are over.",
            seen_by="a certificate that is put and got once more, and the listing",
            checked="whenever nothing moves, and at the end",
        ),
        lambda _: Serves(),
    ),
    _Entry(
        Description(
            id="I-31",
            title="the past stays",
            statement="A snapshot shows what was held at one moment of its making, and the same "
            "each time, until it is dropped.",
            seen_by="the history's puts and reads of the past, and what snapshots show at last",
            checked="at each read, whenever nothing moves, and at the end",
        ),
        lambda _: PastStays(),
    ),
    _Entry(
        Description(
            id="I-32",
            title="what is taken back stays away",
            statement="After an acknowledged rollback nothing that only its partner brought is "
            "shown, whoever brings it, until its undo is asked for; what others brought is shown; "
            "after an acknowledged undo all is shown again; what a key says against itself is "
            "taken and shown at any time; what was begun is done.",
            seen_by="the history, by who brought what; what nodes hold, and stages of rollbacks",
            checked="whenever nothing moves, and at the end",
        ),
        lambda _: TakenBack(),
    ),
)

DESCRIPTIONS: Final = tuple(entry.description for entry in _CATALOGUE)
"""All invariants there are, by id."""


class Monitor:
    """One run, held against its invariants. Of each, the first violation is kept."""

    def __init__(self, invariants: Iterable[Invariant], disabled: Mapping[str, str]) -> None:
        self._watching = {one.id: one for one in invariants}
        self._hear()
        self._kept = list(self._watching)
        self._disabled = dict(disabled)
        self.findings: list[Finding] = []

    def on_event(self, event: Occurrence) -> None:
        """Something happened."""
        hearing = self._hearing[event.function] if isinstance(event, Event) else self._listening
        for invariant in hearing:
            finding = invariant.on_event(event)
            if finding is not None:
                self._take(invariant, finding)

    def at_quiescence(self, view: View) -> None:
        """Nothing moves now."""
        for invariant in list(self._watching.values()):
            self._take(invariant, invariant.at_quiescence(view))

    def final(self, view: View, history: Iterable[Event]) -> None:
        """The run is over, all faults are healed, and everything has settled."""
        ops = operations(history)
        for invariant in list(self._watching.values()):
            self._take(invariant, invariant.final(view, ops))

    def _take(self, invariant: Invariant, finding: Finding | None) -> None:
        if finding is not None:
            self.findings.append(finding)
            if isinstance(finding, Violation):
                del self._watching[invariant.id]
                self._hear()

    def _hear(self) -> None:
        """Who looks at what: there are many events, and most invariants pass most of them over."""
        passing_over: object = Passive.on_event
        watching = self._watching.values()
        self._listening = [one for one in watching if type(one).on_event is not passing_over]
        self._hearing = {
            function: [one for one in self._listening if function in one.hears]
            for function in Function
        }

    @property
    def violations(self) -> list[Violation]:
        """What is wrong, in the order in which it was found."""
        return [one for one in self.findings if isinstance(one, Violation)]

    def verdict_line(self) -> str:
        """What became of each invariant, in one line: also of those that were not watched."""
        broken = sorted({one.invariant for one in self.violations})
        unknown = sorted(
            {one.invariant for one in self.findings if isinstance(one, Undecided)} - set(broken)
        )
        held = len(self._kept) - len(broken) - len(unknown)
        parts = [f"{held} of {len(self._kept)} invariants held"]
        parts += [f"violated: {', '.join(broken)}"] if broken else []
        parts += [f"unknown: {', '.join(unknown)}"] if unknown else []
        off = [f"{name} ({why})" for name, why in sorted(self._disabled.items())]
        parts += [f"disabled: {', '.join(off)}"] if off else []
        return "; ".join(parts)


def monitor(setup: Setup, disabled: Mapping[str, str] | None = None) -> Monitor:
    """All invariants of the catalogue, but for the `disabled`, each with the reason.

    Those that the setup gives too little for are disabled with that as the reason.

    Raises:
        ChaosError: one is disabled that is not in the catalogue.
    """
    off = dict(disabled or {})
    unknown = sorted(off.keys() - {one.id for one in DESCRIPTIONS})
    if unknown:
        raise ChaosError(f"no invariant {', '.join(unknown)} to disable: see DESCRIPTIONS")
    watched: list[Invariant] = []
    for entry in _CATALOGUE:
        if entry.description.id in off:
            continue
        begun = entry.begin(setup)
        if isinstance(begun, str):
            off[entry.description.id] = begun
        else:
            watched.append(begun)
    return Monitor(watched, off)

"""The catalogue of invariants: what must hold of a run, in words and as what watches it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from keygrove_actors.specs import SupSpec
from keygrove_chaos.agreement import Converged, FetchedOnce
from keygrove_chaos.answers import Available, GracefulShutdown, HonestErrors, Private
from keygrove_chaos.intake import CarriedOutOnce, DeniedStaysAway, NothingForged
from keygrove_chaos.invariant import Invariant
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


class Entry(msgspec.Struct, frozen=True):
    """A description, and how to begin; a reason in place of the invariant if that cannot be."""

    description: Description
    begin: Callable[[Setup], Invariant | str]


NO_TREE: Final = "no supervision tree was given"


def _with_tree(begin: Callable[[Setup, SupSpec], Invariant]) -> Callable[[Setup], Invariant | str]:
    return lambda setup: NO_TREE if setup.tree is None else begin(setup, setup.tree)


CATALOGUE: Final = (
    Entry(
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
    Entry(
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
    Entry(
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
    Entry(
        Description(
            id="I-04",
            title="all come to hold the same",
            statement="Nodes of one policy that are partners, by however many others, hold the "
            "same once all is healed and nobody asks for anything: after as many rounds as there "
            "are steps from one to another.",
            seen_by="what partners of recon are shown; a federation counts rounds, and the time",
            checked="whenever nothing moves, and at the end",
        ),
        lambda _: Converged(),
    ),
    Entry(
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
    Entry(
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
    Entry(
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
    Entry(
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
    Entry(
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
    Entry(
        Description(
            id="I-11",
            title="mailboxes are bounded",
            statement="No mailbox ever holds more messages than its specification allows.",
            seen_by="gauges of mailboxes: most messages waiting, and the limit in force",
            checked="at each gauge",
        ),
        _with_tree(lambda _, tree: BoundedMailboxes(tree)),
    ),
    Entry(
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
    Entry(
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
    Entry(
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
    Entry(
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
    Entry(
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
    Entry(
        Description(
            id="I-22",
            title="nobody fetches for ever",
            statement="A partner is asked for a digest six times at most, and answers, as long "
            "as no actor of the node that asks falls.",
            seen_by="requests to partners for certificates, and their answers",
            checked="at each answer",
        ),
        lambda _: FetchedOnce(),
    ),
    Entry(
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
    Entry(
        Description(
            id="I-24",
            title="the index agrees with storage",
            statement="Each search term finds exactly the keys in which it is stored.",
            seen_by="all terms of storage and index of each node",
            checked="whenever nothing moves, and at the end",
        ),
        lambda _: IndexAgrees(),
    ),
    Entry(
        Description(
            id="I-28",
            title="logs are private",
            statement="No line of a log has a mail address that somebody sent or looked for.",
            seen_by="all lines of all logs",
            checked="whenever nothing moves, and at the end",
        ),
        lambda _: Private(),
    ),
    Entry(
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
    Entry(
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
    Entry(
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

DESCRIPTIONS: Final = tuple(entry.description for entry in CATALOGUE)
"""All invariants there are, by id."""

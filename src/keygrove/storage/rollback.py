"""Taking back what some brought: which changes, of which certificates, and what is left: pure.

A change is taken back by appending another: what was held before stays in the log, and can be
had again by the undo. Of each certificate, the packets that only the selected changes brought
go, and whatever came with others stays, before and since.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import TypeAlias

import msgspec

from keygrove.storage.logged import Logged
from keygrove.storage.write import Cause
from keygrove_protocols.openpgp.findings import Findings
from keygrove_protocols.openpgp.keys import Digest, Fingerprint
from keygrove_protocols.openpgp.policy import Policy
from keygrove_protocols.openpgp.redaction import PartHash, part_hash, parts, without_parts
from keygrove_protocols.openpgp.rules import Kept, keep

PAST_MAX = 10_000
"""Changes of one certificate that are looked at: with more it is left as it is."""
_UNDO = "/undo"
"""No rollback has a name that ends so."""
DIGESTS_MAX = 64
"""States of one certificate that its denial remembers, the newest."""


class Selector(msgspec.Struct, frozen=True):
    """Which changes of a shard are meant: those of which all of this holds."""

    until: int
    """A change number: that one, and those before."""
    after: int = 0
    """A change number: those behind it."""
    causes: frozenset[Cause] = frozenset()
    """None: whatever the cause."""
    origins: frozenset[str] = frozenset()
    """None: whoever brought it."""
    names: frozenset[Fingerprint] | None = None
    """None: whichever certificate it is of."""

    def takes(self, one: Logged) -> bool:
        """Is that change meant?

        What an undo restored is so by itself only where it is named: else those count who brought
        it first, unless compaction has dropped their changes.
        """
        is_named = self.names is not None or Cause.ROLLBACK in self.causes
        return (
            self.after < one.change <= self.until
            and one.is_put
            and (is_named or one.cause is not Cause.ROLLBACK)
            and (not self.causes or one.cause in self.causes)
            and (not self.origins or one.origin in self.origins)
            and (self.names is None or one.fingerprint in self.names)
        )


class Stage(Enum):
    """How far a rollback is."""

    PREPARED = 0
    """It is known what is to be done, and not yet begun: other shards may not know it."""
    RUNNING = 1
    DONE = 2
    UNDOING = 3
    UNDONE = 4


class Toll(msgspec.Struct, frozen=True):
    """How many certificates met which end in a rollback, or in its undo."""

    removed: int = 0
    """Nothing is left of them; they are denied."""
    changed: int = 0
    """Some of their packets are gone, and are redacted."""
    restored: int = 0
    entangled: int = 0
    """Left as they are: what others brought hangs on what would have to go."""
    overgrown: int = 0
    """Not restored: they would be larger than certificates may be."""
    lost: int = 0
    """Not restored: what they were is not kept any more."""
    damaged: int = 0
    """Left as they are: what is stored of them is not what was written."""
    octets: int = 0
    """Of what is held now: so many less, or by an undo so many more."""

    def __add__(self, other: "Toll") -> "Toll":
        mine, theirs = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        return Toll(*(a + b for a, b in zip(mine, theirs, strict=True)))


class Before(msgspec.Struct, frozen=True):
    """How a rollback of a shard stood before its undo."""

    toll: Toll
    at: int
    """Seconds, UTC."""


class Rollback(msgspec.Struct, frozen=True, tag=True):
    """A rollback of a shard: begun, it is finished whatever happens, and so is its undo.

    One with that name that was there before is what this takes the place of.
    """

    name: str
    selector: Selector
    is_forced: bool
    reason: str
    stage: Stage
    toll: Toll
    """So far; of an undo its own."""
    at: int
    """Seconds, UTC: when it came to that stage."""
    before: Before | None = None
    """How it stood when its undo began."""

    @property
    def is_due(self) -> bool:
        """Is there something left to do?"""
        return self.stage in {Stage.RUNNING, Stage.UNDOING}

    @property
    def undo(self) -> str:
        """The origin of what its undo brings."""
        return f"{self.name}{_UNDO}"


class Rehearsal(msgspec.Struct, frozen=True, tag=True):
    """What a rollback, or an undo, would come to if it were carried out now."""

    toll: Toll
    entangled: tuple[Fingerprint, ...]
    """Some of them, if there are very many."""
    brought: dict[str, int]
    """How many of these certificates came by which cause and origin, in one text."""


class Spared(msgspec.Struct, frozen=True):
    """Leave it: nothing of what is held came by the selected changes, or nothing is held."""


class Removed(msgspec.Struct, frozen=True):
    """Nothing is left; these states of it are known."""

    digests: tuple[Digest, ...]


class Mixed(msgspec.Struct, frozen=True):
    """Others brought some of it, too: the packets have to be looked at, of these changes."""

    past: tuple[Logged, ...]
    """Newest first; what was held before the last of them is nobody's concern."""


class Entangled(msgspec.Struct, frozen=True):
    """What others brought hangs on what would have to go: left as it is."""


class Lessened(msgspec.Struct, frozen=True):
    """These parts go, and this is left."""

    gone: frozenset[PartHash]
    left: Findings
    kept: Kept


Judgement: TypeAlias = Spared | Removed | Mixed | Entangled
Remainder: TypeAlias = Spared | Removed | Entangled | Lessened


def judge(past: Sequence[Logged], selector: Selector) -> Judgement:
    """What a rollback means for a certificate with these changes, newest first."""
    if not past or not past[0].is_put:
        return Spared()
    if len(past) >= PAST_MAX:
        return Entangled()
    held = tuple(_since_last_nothing(past))
    # Rollbacks bring nothing that others did not bring before, if that is known still.
    brought = [one for one in held if one.cause is not Cause.ROLLBACK] or held
    if not any(selector.takes(one) for one in brought):
        return Spared()
    if all(selector.takes(one) for one in brought):
        return Removed(digests_of(held))
    return Mixed(held)


def is_to_go(one: Logged, selector: Selector) -> bool | None:
    """Whether what a change added is to go; None: it tells nothing of that, others do."""
    if one.cause is Cause.ROLLBACK and not selector.takes(one):
        return None
    return selector.takes(one)


def remainder(
    states: Sequence[tuple[bool | None, Findings]], policy: Policy, *, is_forced: bool
) -> Remainder:
    """What is left of a certificate without what the selected changes alone brought.

    Args:
        states: what was held after each of its changes, newest first, and whether what it
            added is to go, as in `is_to_go`.
        is_forced: what others brought goes, too, where it hangs on what has to go.
    """
    bad: set[PartHash] = set()
    good: set[PartHash] = set()
    before: frozenset[PartHash] = frozenset()
    for is_bad, findings in reversed(states):
        after = parts(findings)
        if is_bad is not None:
            (bad if is_bad else good).update(after - before)
        before = after
    _, current = states[0]
    gone = frozenset(bad - good) & before
    if not gone:
        return Spared()
    left = without_parts(current, gone)
    is_headless = part_hash(current.primary) in gone
    kept = keep(left, policy)
    is_nothing = is_headless or kept.error == "NoValidSelfSig"
    remains = frozenset[PartHash]() if is_nothing else parts(left)
    is_entangled = not good.isdisjoint(before - gone - remains)
    if is_entangled and not is_forced:
        return Entangled()
    return Removed(()) if is_nothing else Lessened(gone, left, kept)


def digests_of(past: Iterable[Logged]) -> tuple[Digest, ...]:
    """The states that these changes made, as far as they are remembered."""
    return tuple(dict.fromkeys(digest for one in past for digest in one.digests))[:DIGESTS_MAX]


def _since_last_nothing(past: Sequence[Logged]) -> Iterable[Logged]:
    """Those by which something is held since; a rollback that was undone since is no end."""
    undone: set[str] = set()
    for one in past:
        if one.is_put:
            if one.cause is Cause.ROLLBACK and one.origin.endswith(_UNDO):
                undone.add(one.origin.removesuffix(_UNDO))
            yield one
        elif one.cause is not Cause.ROLLBACK or one.origin not in undone:
            return

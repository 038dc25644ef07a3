"""What becomes of a certificate that meets what is already held: pure, one at a time."""

from collections.abc import Sequence, Set
from enum import Enum

import msgspec

from keygrove.storage.candidate import Candidate, without
from keygrove.storage.state import findings_of, pack, put_of, stored
from keygrove.storage.write import Denial, Put
from keygrove_protocols.openpgp.findings import Fact, Findings, unite
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.policy import Policy
from keygrove_protocols.openpgp.redaction import PartHash
from keygrove_protocols.openpgp.rules import keep, own_revocations


class Outcome(Enum):
    """What a submission changed."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    """Nothing can be kept of it: not alone, nor with what is held, if anything is."""
    MISMATCHED = "mismatched"
    """Another primary key with this fingerprint is held; it stays."""
    OVERGROWN = "overgrown"
    """Together they would be larger than a certificate may be; what is held stays."""
    REVOKED = "revoked"
    """The same, or denied, but what the key says against itself is taken: nothing may keep that
    out."""
    DENIED = "denied"
    """Its fingerprint is denied: nothing more of it is taken."""


CHANGING = frozenset({Outcome.ADDED, Outcome.CHANGED, Outcome.REVOKED})
"""After these something has to be written."""


class Held(msgspec.Struct, frozen=True):
    """A certificate as it is stored."""

    digest: Digest
    packets: bytes
    aside: bytes = b""

    @property
    def size(self) -> int:
        """Octets of all that is stored."""
        return len(self.aside) or len(self.packets)


class Absorbed(msgspec.Struct, frozen=True):
    """What became of each certificate that came in, and what has to be written, if anything."""

    outcomes: tuple[Outcome, ...]
    digest: Digest
    """Of what is held now; empty if that is nothing."""
    put: Put | None = None
    denial: Denial | None = None
    """What takes the place of a denial, with what is held beside it from now on."""

    @property
    def write(self) -> Put | Denial | None:
        """What has to be written, whichever it is."""
        return self.put or self.denial


def absorb(
    held: Held | None,
    incoming: Sequence[Candidate],
    policy: Policy,
    now: int,
    redacted: Set[PartHash] = frozenset(),
) -> Absorbed:
    """Merge certificates of one fingerprint and one cause into what is held, all in one go.

    What each brings that is new is compared with what was held before all of them, so two
    that bring the same are both `CHANGED`; where nothing was held, the first one is `ADDED`.
    Parts that are `redacted` are not there; what is held has none of them.
    """
    if redacted:
        incoming = [without(one, redacted, policy) for one in incoming]
    if held is None:
        return _begin(incoming, policy, now)
    if all(one.put is not None and one.put.digest == held.digest for one in incoming):
        return Absorbed((Outcome.UNCHANGED,) * len(incoming), held.digest)
    return _grow(held, incoming, policy, now)


def _begin(incoming: Sequence[Candidate], policy: Policy, now: int) -> Absorbed:
    """The first that can stand alone is added, and what came with it merged into that."""
    at = next((at for at, one in enumerate(incoming) if one.put is not None), None)
    if at is None:
        return Absorbed((Outcome.REFUSED,) * len(incoming), Digest(b""))
    first = incoming[at].put
    assert first is not None
    first = msgspec.structs.replace(first, at=now)
    rest = (*incoming[:at], *incoming[at + 1 :])
    if not rest:
        return Absorbed((Outcome.ADDED,), first.digest, first)
    added = Held(first.digest, first.packets, first.aside)
    grown = absorb(added, rest, policy, now)
    outcomes = (*grown.outcomes[:at], Outcome.ADDED, *grown.outcomes[at:])
    return Absorbed(outcomes, grown.digest, grown.put or first)


def _grow(held: Held, incoming: Sequence[Candidate], policy: Policy, now: int) -> Absorbed:
    before = findings_of(held.packets, held.aside)
    found = [one.findings() for one in incoming]
    matching = [one for one in found if one.primary == before.primary]
    united = unite([before, *matching])
    kept = keep(united, policy)
    if kept.error is not None:
        if len(incoming) > 1:
            return _one_by_one(held, incoming, policy, now)
        if kept.error == "TooLarge":
            overgrown = Absorbed(_each(found, before, Outcome.OVERGROWN), held.digest)
            return _revoke(held, incoming[0], found[0], policy, now) or overgrown
        return Absorbed(_each(found, before, Outcome.REFUSED), held.digest)
    is_alone = len(incoming) == 1
    whole = stored(kept, united, policy)
    put = put_of(
        kept,
        united,
        whole,
        cause=incoming[0].cause,
        at=now,
        source=incoming[0].put.source if is_alone and incoming[0].put else b"",
    )
    if put.digest == held.digest:
        return Absorbed(_each(found, before, Outcome.UNCHANGED), held.digest)
    new = whole.facts() - before.facts()
    outcomes = tuple(_outcome(one, before, new) for one in found)
    if Outcome.CHANGED not in outcomes:  # something went: the policy is another than it was
        outcomes = _each(found, before, Outcome.CHANGED)
    return Absorbed(outcomes, put.digest, put)


def _revoke(
    held: Held, one: Candidate, found: Findings, policy: Policy, now: int
) -> Absorbed | None:
    """Of what is too much take the key's revocations alone; None if they change nothing."""
    own = own_revocations(found)
    if not own.direct or own.number() == found.number():
        return None
    alone = msgspec.structs.replace(one, put=None, packed=pack(own))
    result = _grow(held, [alone], policy, now)
    if result.put is None:
        return None
    return msgspec.structs.replace(result, outcomes=(Outcome.REVOKED,))


def _outcome(found: Findings, before: Findings, new: set[Fact]) -> Outcome:
    if found.primary != before.primary:
        return Outcome.MISMATCHED
    return Outcome.UNCHANGED if new.isdisjoint(found.facts()) else Outcome.CHANGED


def _each(found: Sequence[Findings], before: Findings, outcome: Outcome) -> tuple[Outcome, ...]:
    return tuple(outcome if one.primary == before.primary else Outcome.MISMATCHED for one in found)


def _one_by_one(held: Held, incoming: Sequence[Candidate], policy: Policy, now: int) -> Absorbed:
    """Together they are too much: take those that there is room for."""
    outcomes: list[Outcome] = []
    put: Put | None = None
    for one in incoming:
        result = absorb(held, [one], policy, now)
        outcomes += result.outcomes
        if result.put is not None:
            put = result.put
            held = Held(put.digest, put.packets, put.aside)
    return Absorbed(tuple(outcomes), held.digest, put)

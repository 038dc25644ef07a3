"""What a rollback, or its undo, writes for some certificates: looked up, and not yet written.

Who commits asks for it between two commits, so that nothing changes meanwhile; a dry run asks
whenever it likes, and gets what the real run would have written.
"""

from collections import Counter
from collections.abc import Sequence, Set
from functools import partial
from typing import assert_never

import msgspec

from keygrove.ports import Compute
from keygrove.storage.denying import revocation_in
from keygrove.storage.logged import Logged
from keygrove.storage.rollback import (
    PAST_MAX,
    Entangled,
    Lessened,
    Mixed,
    Removed,
    Rollback,
    Selector,
    Spared,
    Toll,
    digests_of,
    is_to_go,
    judge,
    remainder,
)
from keygrove.storage.state import findings_of, put_of, stored
from keygrove.storage.store import CertificateStore
from keygrove.storage.version import Whole
from keygrove.storage.write import Cause, Denial, Lift, Put, Redaction, Write
from keygrove_protocols.openpgp.findings import Findings, unite
from keygrove_protocols.openpgp.keys import Digest, Fingerprint
from keygrove_protocols.openpgp.policy import Policy
from keygrove_protocols.openpgp.redaction import PartHash, without_parts
from keygrove_protocols.openpgp.rules import keep


class Rules(msgspec.Struct, frozen=True):
    """By what it is worked out what is left."""

    compute: Compute
    policy: Policy
    now: int
    """Seconds, UTC."""


class Plan(msgspec.Struct):
    """What has to be written, and what that comes to."""

    writes: list[Write] = msgspec.field(default_factory=list[Write])
    redactions: list[Redaction] = msgspec.field(default_factory=list[Redaction])
    toll: Toll = msgspec.field(default_factory=Toll)
    entangled: list[Fingerprint] = msgspec.field(default_factory=list[Fingerprint])
    brought: Counter[str] = msgspec.field(default_factory=Counter[str])
    """How many of the certificates came by which cause and origin."""

    def add(self, other: "Plan") -> None:
        """Do what that one does, too."""
        self.writes += other.writes
        self.redactions += other.redactions
        self.toll += other.toll
        self.entangled += other.entangled
        self.brought += other.brought

    def leave(self, name: Fingerprint) -> None:
        """It stays as it is, and the operator should know."""
        self.toll += Toll(entangled=1)
        self.entangled.append(name)


async def are_concerned(
    store: CertificateStore, names: Sequence[Fingerprint], selector: Selector
) -> bool:
    """Whether anything that is held of these came by the selected changes.

    Raises:
        DamagedError: what is kept of their changes is not what was written.
    """
    pasts = await store.history.past(names, PAST_MAX)
    return any(not isinstance(judge(past, selector), Spared) for past in pasts)


async def plan(
    store: CertificateStore, names: Sequence[Fingerprint], rollback: Rollback, rules: Rules
) -> Plan:
    """Take back what the selected changes brought of these certificates."""
    made, removed = Plan(), dict[Fingerprint, tuple[Digest, ...]]()
    for name, past in zip(names, await store.history.past(names, PAST_MAX), strict=True):
        judgement = judge(past, rollback.selector)
        if not isinstance(judgement, Spared):
            newest = next((one for one in past if rollback.selector.takes(one)), past[0])
            made.brought[f"{newest.cause.name.lower()} {newest.origin}".rstrip()] += 1
        if isinstance(judgement, Mixed):
            judgement = await _lessen(store, made, judgement.past, rollback, rules)
        match judgement:
            case Spared():
                pass
            case Entangled():
                made.leave(name)
            case Removed(digests):
                removed[name] = digests
            case _:
                assert_never(judgement)
    wholes = await store.get_whole(list(removed))
    held = [whole for whole in wholes if whole is not None]
    work = partial(_denials, held, removed, rollback, rules)
    for whole, denial in zip(held, await rules.compute.run(work), strict=True):
        made.writes.append(denial)
        left = denial.held.size if denial.held else 0
        made.toll += Toll(removed=1, octets=_octets(whole) - left)
    return made


async def plan_undo(
    store: CertificateStore, names: Sequence[Fingerprint], rollback: Rollback, rules: Rules
) -> Plan:
    """Restore of these certificates what the rollback took."""
    made = Plan()
    pasts = await store.history.past(names, PAST_MAX)
    denials = await store.denials_of(names)
    wholes = await store.get_whole(names)
    for name, past, denial, held in zip(names, pasts, denials, wholes, strict=True):
        (redacted,) = await store.redactions_of([name])
        others = dict(redacted.by_origin)
        if others.pop(rollback.name, None):
            made.redactions.append(Redaction(name, frozenset(), rules.now, rollback.name))
        is_restored = any(one.origin == rollback.undo for one in past)
        is_denied_since = denial is not None and denial.origin != rollback.name
        if is_restored or is_denied_since:
            continue
        before = await _before(store, past, rollback)
        if before is None:
            made.toll += Toll(lost=1)
            continue
        gone = frozenset[PartHash]().union(*others.values())
        work = partial(_united, [before] if held is None else [held, before], gone, rules)
        put = await rules.compute.run(work)
        if put is None:
            made.toll += Toll(overgrown=1)
        elif denial is not None or held is None or put.digest != held.digest:
            put = msgspec.structs.replace(put, origin=rollback.undo)
            made.writes.append(put if denial is None else _lift(put, rollback, rules.now))
            made.toll += Toll(restored=1, octets=put.size - (_octets(held) if held else 0))
    return made


async def _lessen(
    store: CertificateStore, made: Plan, past: Sequence[Logged], rollback: Rollback, rules: Rules
) -> Spared | Removed | Entangled:
    """Of what several brought: plan what is left, if anything is."""
    wholes = [await store.history.read(entry) for entry in past]
    held = [whole for whole in wholes if whole is not None]
    assert len(held) == len(past), "since the first of them something was held"
    to_go = [is_to_go(entry, rollback.selector) for entry in past]
    left = await rules.compute.run(partial(_remainder, held, to_go, rollback, rules.policy))
    match left:
        case Lessened(gone, findings, kept):
            whole = stored(kept, findings, rules.policy)
            put = put_of(kept, findings, whole, cause=Cause.ROLLBACK, at=rules.now)
            made.writes.append(msgspec.structs.replace(put, origin=rollback.name))
            made.redactions.append(Redaction(put.fingerprint, gone, rules.now, rollback.name))
            made.toll += Toll(changed=1, octets=_octets(held[0]) - put.size)
            return Spared()
        case Removed():
            return Removed(digests_of(past))
        case _:
            return left


def _remainder(
    held: Sequence[Whole], to_go: Sequence[bool | None], rollback: Rollback, policy: Policy
) -> Spared | Removed | Entangled | Lessened:
    states = [
        (is_bad, findings_of(whole.packets, whole.aside))
        for is_bad, whole in zip(to_go, held, strict=True)
    ]
    return remainder(states, policy, is_forced=rollback.is_forced)


def _denials(
    held: Sequence[Whole],
    removed: dict[Fingerprint, tuple[Digest, ...]],
    rollback: Rollback,
    rules: Rules,
) -> list[Denial]:
    return [
        Denial(
            whole.fingerprint,
            rollback.reason,
            rules.now,
            removed[whole.fingerprint],
            revocation_in(whole.packets, whole.aside, rules.policy, rules.now),
            cause=Cause.ROLLBACK,
            origin=rollback.name,
        )
        for whole in held
    ]


async def _before(
    store: CertificateStore, past: Sequence[Logged], rollback: Rollback
) -> Whole | None:
    """What was held before the rollback took some of it; None if that is not kept.

    That was before the first of its changes: a denial is written anew when its key revokes itself.
    """
    at = max(n for n, one in enumerate(past) if one.origin == rollback.name)
    return await store.history.read(past[at + 1]) if at + 1 < len(past) else None


def _united(some: Sequence[Whole], gone: Set[PartHash], rules: Rules) -> Put | None:
    findings = unite([findings_of(one.packets, one.aside) for one in some])
    findings = without_parts(findings, gone)
    kept = keep(findings, rules.policy)
    if kept.error is not None:
        return None
    whole: Findings = stored(kept, findings, rules.policy)
    return put_of(kept, findings, whole, cause=Cause.ROLLBACK, at=rules.now)


def _lift(put: Put, rollback: Rollback, now: int) -> Lift:
    return Lift(put.fingerprint, now, put, cause=Cause.ROLLBACK, origin=rollback.undo)


def _octets(whole: Whole) -> int:
    return len(whole.packets) + len(whole.aside)

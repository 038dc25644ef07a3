"""What becomes of a certificate that is denied: pure, one at a time.

All of it is kept out but what its key says against itself for good. That is held beside the
denial, without anything personal: nobody may keep a revocation out, and administrators no more
than others.
"""

from collections.abc import Sequence

import msgspec

from keygrove.storage.absorb import Absorbed, Held, Outcome
from keygrove.storage.candidate import Candidate
from keygrove.storage.state import findings_of, put_of, stored, stored_packets
from keygrove.storage.write import Cause, Denial, Put
from keygrove_protocols.limits import OWN
from keygrove_protocols.openpgp.findings import Fact, Findings, unite
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.packets import Tag, split
from keygrove_protocols.openpgp.policy import Policy
from keygrove_protocols.openpgp.rules import hard_revocation, keep
from keygrove_protocols.openpgp.signatures import KEY_REVOCATION


def revocation_in(packets: bytes, aside: bytes, policy: Policy, now: int) -> Put | None:
    """What is held of a certificate that is denied from now on, if its key revoked itself."""
    if not _may_be_revoked(packets, aside):
        return None
    hard = hard_revocation(findings_of(packets, aside))
    return None if hard is None else _put_of(hard, policy, now)


def deny(
    denial: Denial, held: Held | None, incoming: Sequence[Candidate], policy: Policy, now: int
) -> Absorbed:
    """Take what is denied only where its key revokes itself by it, and that is news."""
    before = None if held is None else findings_of(held.packets, held.aside)
    known = Digest(b"") if held is None else held.digest
    found = [_of_same_key(hard_revocation(one.findings()), before) for one in incoming]
    some = [one for one in (before, *found) if one is not None]
    put = _put_of(unite(some), policy, now) if some else None
    is_news = put is not None and put.digest != known
    facts = set[Fact]() if before is None else before.facts()
    outcomes = tuple(
        _outcome(hard if is_news else None, one, facts)
        for hard, one in zip(found, incoming, strict=True)
    )
    if put is None or not is_news:
        return Absorbed(outcomes, known)
    return Absorbed(outcomes, put.digest, denial=_holding(denial, put, now))


def _outcome(hard: Findings | None, one: Candidate, facts: set[Fact]) -> Outcome:
    if hard is not None and not hard.facts() <= facts:
        return Outcome.REVOKED
    # A revocation that came alone, and is held.
    return Outcome.UNCHANGED if facts and one.findings().facts() <= facts else Outcome.DENIED


def _holding(denial: Denial, put: Put, now: int) -> Denial:
    return msgspec.structs.replace(
        denial, held=put, at=now, since=denial.at if denial.since is None else denial.since
    )


def _may_be_revoked(packets: bytes, aside: bytes) -> bool:
    """Whether any signature is of that kind: most certificates are not worth a closer look."""
    return any(
        one.tag == Tag.SIGNATURE and KEY_REVOCATION in one.body[1:3]
        for one in split(stored_packets(packets, aside), OWN)
    )


def _of_same_key(found: Findings | None, before: Findings | None) -> Findings | None:
    if found is None or before is None:
        return found
    return found if found.primary == before.primary else None


def _put_of(hard: Findings, policy: Policy, now: int) -> Put | None:
    """None if the policy takes nothing of this key."""
    kept = keep(hard, policy)
    if kept.error is not None:
        return None
    return put_of(kept, hard, stored(kept, hard, policy), cause=Cause.ADMIN, at=now)

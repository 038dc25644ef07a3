"""A certificate on its way to its shard; apart from the shard, which a worker does not need."""

from collections import Counter
from collections.abc import Set

import msgspec

from keygrove.storage.state import findings_of, pack, put_of, stored, unpack
from keygrove.storage.write import Cause, Put
from keygrove_protocols.openpgp.certificate import Certificate, key
from keygrove_protocols.openpgp.findings import Findings
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.policy import Policy
from keygrove_protocols.openpgp.redaction import PartHash, without_parts
from keygrove_protocols.openpgp.rules import keep, own_revocations
from keygrove_protocols.openpgp.verification import verify


class Candidate(msgspec.Struct, frozen=True, tag=True):
    """A certificate that was looked into, on its way to its shard.

    `put` is what to write where nothing is held yet, None where nothing can be kept of it
    alone: `error` is the code that says why. `packed` has the findings where `put` does not
    have them all.
    """

    fingerprint: Fingerprint
    version: int
    cause: Cause
    put: Put | None
    packed: bytes = b""
    error: str = ""
    dropped: dict[str, int] = {}
    """How many packets went for each reason."""
    pruned: dict[str, int] = {}
    """How many each rule of the policy took."""
    origin: str = ""
    """Which of those that bring certificates for this cause: a partner, a load."""
    at: int = 0
    """Which certificate of its submission it is, from 0."""

    @property
    def size(self) -> int:
        """Octets of what it brings."""
        return len(self.packed) or (self.put.size if self.put else 0)

    def findings(self) -> Findings:
        """What was found out about it."""
        if self.packed:
            return unpack(self.packed)
        assert self.put is not None
        return findings_of(self.put.packets, self.put.aside)


def revocations(
    certificate: Certificate, cause: Cause, *, error: str, at: int = 0
) -> Candidate | None:
    """What its key says against itself in a certificate that is refused for `error`, if anything.

    It is taken where the certificate is held: nobody may keep a revocation out by what he
    puts beside it.
    """
    name = key(certificate)
    own = own_revocations(verify(certificate))
    if not own.direct:
        return None
    return Candidate(
        fingerprint=name.fingerprint,
        version=name.version,
        cause=cause,
        put=None,
        packed=pack(own),
        error=error,
        at=at,
    )


def candidate(
    certificate: Certificate, policy: Policy, cause: Cause, *, at: int = 0, source: bytes = b""
) -> Candidate:
    """Look into a certificate, and say what is to be kept of it."""
    name = key(certificate)
    return _kept_of(
        Candidate(name.fingerprint, name.version, cause, None, at=at),
        verify(certificate),
        policy,
        source,
    )


def without(one: Candidate, redacted: Set[PartHash], policy: Policy) -> Candidate:
    """The same without these user IDs.

    It has no source: the same input brings about something else when they are wanted again.
    """
    findings = one.findings()
    left = without_parts(findings, redacted)
    return one if left is findings else _kept_of(one, left, policy, b"")


def _kept_of(one: Candidate, findings: Findings, policy: Policy, source: bytes) -> Candidate:
    """The candidate with what is to be kept of these findings."""
    kept = keep(findings, policy)
    whole = stored(kept, findings, policy)
    put: Put | None = None
    if kept.error is None:
        put = put_of(kept, findings, whole, cause=one.cause, at=0, source=source)
    is_whole = put is not None and whole is findings
    return msgspec.structs.replace(
        one,
        put=put,
        packed=b"" if is_whole else pack(findings),
        error=kept.error or "",
        dropped=dict(Counter(kept.dropped)),
        pruned=kept.pruned,
    )

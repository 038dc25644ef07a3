"""What is kept of a certificate that was looked into: the bytes to store, or why there are none.

Served are the packets that the policy keeps. A policy that keeps what is unverified, as SKS
does, has all packets set aside beside them, with what was found out about each, so that the
certificate is found by the digest that it has at SKS servers, and a merge needs no arithmetic.
Of a certificate that was flooded beyond all measure these are not all (`openpgp.aside`).
"""

import msgspec

from keygrove.storage.derive import derive_from, read
from keygrove.storage.write import Cause, Put
from keygrove_protocols.openpgp.aside import within_aside
from keygrove_protocols.openpgp.certificate import fingerprint, packets, to_bytes
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.findings import Findings, Mark, marked
from keygrove_protocols.openpgp.policy import Policy
from keygrove_protocols.openpgp.rules import Kept

_MARKS = tuple(Mark)
_OCTETS = {mark: at for at, mark in enumerate(_MARKS)}


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    packets: bytes
    marks: bytes
    """One octet for each signature, in the order of the packets."""


def pack(findings: Findings) -> bytes:
    """Findings as octets."""
    certificate = findings.certificate()
    marks = bytes(_OCTETS[mark] for mark in findings.marks_in(certificate))
    return msgspec.msgpack.encode(_Packed(to_bytes(certificate), marks))


def unpack(packed: bytes) -> Findings:
    """The findings that `pack` wrote."""
    found = msgspec.msgpack.decode(packed, type=_Packed)
    return marked(read(found.packets), [_MARKS[at] for at in found.marks])


def findings_of(served: bytes, aside: bytes) -> Findings:
    """What is stored of a certificate, looked into when it was stored."""
    return unpack(aside) if aside else marked(read(served))


def stored_packets(served: bytes, aside: bytes) -> bytes:
    """All packets that are stored of a certificate."""
    return msgspec.msgpack.decode(aside, type=_Packed).packets if aside else served


def stored(kept: Kept, findings: Findings, policy: Policy) -> Findings:
    """What of the findings is stored."""
    if not policy.keeps_unverified or not kept.pruned:
        return kept.findings
    whole = within_aside(findings, kept.findings, policy.bounds)
    return whole if whole.number() > kept.findings.number() else kept.findings


def put_of(  # noqa: PLR0913 - each is a fact of its own
    kept: Kept,
    findings: Findings,
    whole: Findings,
    *,
    cause: Cause,
    at: int,
    source: bytes = b"",
) -> Put:
    """What to write for a certificate of which something is kept. `whole` is what is `stored`."""
    served = kept.findings.certificate()
    digest = sks_digest(packets(served))
    everything = sks_digest(packets(findings.certificate())) if kept.pruned else digest
    is_aside = whole is not kept.findings
    if is_aside:
        digest = everything if whole is findings else sks_digest(packets(whole.certificate()))
    derived = derive_from(served)
    return Put(
        fingerprint=fingerprint(served),
        digest=digest,
        packets=to_bytes(served),
        terms=derived.terms,
        words=derived.words,
        cause=cause,
        at=at,
        sks_digest=everything,
        aside=pack(whole) if is_aside else b"",
        source=source,
    )

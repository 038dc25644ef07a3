"""What holds for every input: all that ingest and recon do with one, and what may come of it.

The only exception that leaves the readers is ProtocolError; what is kept of a certificate is a
fixpoint, whether it is verified once more or trusted, and depends on no order; the time is linear
in the octets, beside the arithmetic that ingest expects of the signatures.
"""

from collections.abc import Callable, Sequence
from time import process_time

from keygrove.ingest.steps import look_into, look_into_dump, read
from keygrove.storage.cache import Form
from keygrove.storage.candidate import Candidate
from keygrove.storage.derive import derive
from keygrove.storage.forms import serve_form
from keygrove.storage.state import findings_of, pack, unpack
from keygrove_bench.fuzz import wire
from keygrove_bench.fuzz.law import LawError, same
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.limits import BULK, SUBMISSION
from keygrove_protocols.openpgp.armor import armor, dearmor
from keygrove_protocols.openpgp.certificate import Certificate, Component, group, packets, to_bytes
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.findings import GOOD, Findings, marked, marks_of
from keygrove_protocols.openpgp.inspection import inspect
from keygrove_protocols.openpgp.packets import CertificateSplitter, Cut, split
from keygrove_protocols.openpgp.policy import PRESETS, SKS_COMPATIBLE, VERIFIED, Policy
from keygrove_protocols.openpgp.rules import keep
from keygrove_protocols.openpgp.verification import cost_us, verify

SLACK_S = 0.2
"""Beside what each octet may take: the slowest key there can be has to be loaded, and used, a
few times; and another program may have had the caches of the processor."""
EACH_S = 50e-6
"""Of processor time for each octet of the input: what one signature of 300 octets may take is
then fifteen milliseconds."""
PASSES = 8
"""How often an input is verified here at most: what ingest expects of that is allowed beside."""
ATTEMPTS = 3
"""What was too slow so often is too slow, and not an accident."""


def check(data: bytes, spend: Callable[[bytes], float] | None = None) -> None:
    """Do with an input all that ingest does, and see that the laws hold.

    `spend` does it, and says how many seconds of the processor that took.

    Raises:
        LawError: one does not hold.
        Exception: whatever escaped where nothing may.
    """
    spend = spend or spent_s
    allowed_s = SLACK_S + EACH_S * len(data)
    took = [spend(data)]
    if took[0] > allowed_s:
        allowed_s += PASSES * _arithmetic_us(data) / 1e6
    while took[-1] > allowed_s:
        if len(took) == ATTEMPTS:
            raise LawError("linear time", f"{min(took):.2f} s for {len(data)} octets")
        took.append(spend(data))


def spent_s(data: bytes) -> float:
    """See that the laws but that of time hold: how many seconds of the processor that took."""
    before = process_time()
    _check(data)
    return process_time() - before


def _check(data: bytes) -> None:
    wire.check(data)
    inspect(data, BULK, VERIFIED)
    try:
        octets = dearmor(data, SUBMISSION).data
    except ProtocolError:
        return
    _load(octets)
    _submit(data)
    for certificate in _certificates(octets):
        findings = verify(certificate)
        same("packing", marks_of(unpack(pack(findings))), marks_of(findings))
        backwards = verify(_reversed(certificate))
        for policy in PRESETS.values():
            _keep(findings, backwards, policy)


def _arithmetic_us(data: bytes) -> int:
    """What ingest expects that it takes to verify an input."""
    try:
        cuts = _cut(dearmor(data, SUBMISSION).data)
    except ProtocolError:
        return 0
    return sum(cost_us(one) for octets in cuts for one in _certificates(octets))


def _load(octets: bytes) -> None:
    """As a dump: each certificate stands for itself, and what cannot be verified is set aside."""
    for one in look_into_dump(_cut(octets), SKS_COMPATIBLE).ones:
        if isinstance(one, Candidate):
            _store(one)


def _cut(octets: bytes) -> Sequence[bytes]:
    """Into certificates, up to where it is damaged."""
    splitter = CertificateSplitter(BULK)
    found: list[Cut] = []
    try:
        found += splitter.feed(octets)
        found += splitter.close()
    except ProtocolError:
        found += splitter.rest()
    return [one.octets for one in found]


def _submit(data: bytes) -> None:
    """As a client does."""
    try:
        reading = read(data)
    except ProtocolError:
        return
    for one in look_into(reading, VERIFIED).ones:
        if isinstance(one, Candidate):
            _store(one)


def _store(one: Candidate) -> None:
    """What is stored is found and served as it was derived."""
    put = one.put
    if put is None:
        return
    derived = derive(put.packets)
    same("terms", derived.terms, put.terms)
    same("words", derived.words, put.words)
    everything = sks_digest(packets(one.findings().certificate()))
    same("SKS digest", everything, put.sks_digest)
    held = sks_digest(packets(findings_of(put.packets, put.aside).certificate()))
    same("digest", held, put.digest)
    for form in Form:
        serve_form(put.packets, form)


def _certificates(octets: bytes) -> Sequence[Certificate]:
    try:
        found = group(split(octets, SUBMISSION), SUBMISSION)
    except ProtocolError:
        return ()
    return [one for one in found if isinstance(one, Certificate)]


def _reversed(certificate: Certificate) -> Certificate:
    """The same facts, all of them twice, and in another order."""
    components = (
        Component(one.packet, one.signatures[::-1]) for one in certificate.components[::-1] * 2
    )
    return Certificate(certificate.primary, certificate.direct[::-1] * 2, tuple(components))


def _keep(findings: Findings, backwards: Findings, policy: Policy) -> None:
    """What is kept depends on no order, is good, and is kept whole from then on."""
    kept, other = keep(findings, policy), keep(backwards, policy)
    same("the reason of a refusal depends on no order", other.error, kept.error)
    if kept.error is not None:
        return
    served = kept.findings.certificate()
    octets = to_bytes(served)
    same("what is kept depends on no order", to_bytes(other.findings.certificate()), octets)
    (again,) = _certificates(octets)
    same("canonical form", again, served)
    same("armor", dearmor(armor(octets), SUBMISSION).data, octets)
    for name, found in (("verified", verify(_reversed(again))), ("trusted", marked(again))):
        if not found.marks <= GOOD:
            raise LawError(f"what is kept is good, {name} again", str(found.marks - GOOD))
        once_more = keep(found, policy)
        state = once_more.error, to_bytes(once_more.findings.certificate()), once_more.dropped
        same(f"what is kept is a fixpoint, {name} again", state, (None, octets, ()))

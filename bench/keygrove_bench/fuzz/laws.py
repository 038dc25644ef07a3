"""What holds for every input: all that ingest does with one, and what may come of it.

The only exception that leaves the readers is ProtocolError; what is kept of a certificate is a
fixpoint, whether it is verified once more or trusted; the time is linear in the octets.
"""

from collections.abc import Callable, Sequence
from time import process_time

from keygrove.ingest.steps import look_into, look_into_dump, read
from keygrove.storage.cache import Form
from keygrove.storage.candidate import Candidate
from keygrove.storage.derive import derive
from keygrove.storage.forms import serve_form
from keygrove.storage.state import findings_of, pack, unpack
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.limits import BULK, SUBMISSION
from keygrove_protocols.openpgp.armor import armor, dearmor
from keygrove_protocols.openpgp.certificate import Certificate, group, packets, to_bytes
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.inspection import inspect
from keygrove_protocols.openpgp.packets import CertificateSplitter, split
from keygrove_protocols.openpgp.policy import PRESETS, SKS_COMPATIBLE, VERIFIED, Policy
from keygrove_protocols.openpgp.rules import keep
from keygrove_protocols.openpgp.verification import GOOD, Findings, marked, marks_of, verify

SLACK_S = 0.2
"""Beside what each octet may take: the slowest key there can be has to be loaded, and used, a
few times; and another program may have had the caches of the processor."""
EACH_S = 50e-6
"""Of processor time for each octet of the input: what one signature of 300 octets may take is
then fifteen milliseconds."""
ATTEMPTS = 3
"""What was too slow so often is too slow, and not an accident."""


class LawError(AssertionError):
    """A law that an input breaks. `law` is its name."""

    def __init__(self, law: str, facts: str = "") -> None:
        super().__init__(f"{law}: {facts}" if facts else law)
        self.law = law


def check(data: bytes, spend: Callable[[bytes], float] | None = None) -> None:
    """Do with an input all that ingest does, and see that the laws hold.

    `spend` does it, and says how many seconds of the processor that took.

    Raises:
        LawError: one does not hold.
        Exception: whatever escaped where nothing may.
    """
    spend = spend or spent_s
    took: list[float] = []
    while not took or took[-1] > SLACK_S + EACH_S * len(data):
        if len(took) == ATTEMPTS:
            raise LawError("linear time", f"{min(took):.2f} s for {len(data)} octets")
        took.append(spend(data))


def spent_s(data: bytes) -> float:
    """See that the laws but that of time hold: how many seconds of the processor that took."""
    before = process_time()
    _check(data)
    return process_time() - before


def _check(data: bytes) -> None:
    inspect(data, BULK, VERIFIED)
    try:
        octets = dearmor(data, SUBMISSION).data
    except ProtocolError:
        return
    _load(octets)
    _submit(data)
    for certificate in _certificates(octets):
        findings = verify(certificate)
        _same("packing", marks_of(unpack(pack(findings))), marks_of(findings))
        for policy in PRESETS.values():
            _keep(findings, policy)


def _load(octets: bytes) -> None:
    """As a dump: each certificate stands for itself, and what cannot be verified is set aside."""
    splitter = CertificateSplitter(BULK)
    try:
        cuts = [*splitter.feed(octets), *splitter.close()]
    except ProtocolError:
        cuts = splitter.rest()
    for one in look_into_dump([cut.octets for cut in cuts], SKS_COMPATIBLE).ones:
        if isinstance(one, Candidate):
            _store(one)


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
    _same("terms", derived.terms, put.terms)
    _same("words", derived.words, put.words)
    everything = sks_digest(packets(one.findings().certificate()))
    _same("SKS digest", everything, put.sks_digest)
    held = sks_digest(packets(findings_of(put.packets, put.aside).certificate()))
    _same("digest", held, put.digest)
    for form in Form:
        serve_form(put.packets, form)


def _certificates(octets: bytes) -> Sequence[Certificate]:
    try:
        found = group(split(octets, SUBMISSION), SUBMISSION)
    except ProtocolError:
        return ()
    return [one for one in found if isinstance(one, Certificate)]


def _keep(findings: Findings, policy: Policy) -> None:
    """What is kept is good, canonical, and kept whole from then on."""
    kept = keep(findings, policy)
    if kept.error is not None:
        return
    served = kept.findings.certificate()
    octets = to_bytes(served)
    (again,) = _certificates(octets)
    _same("canonical form", again, served)
    _same("armor", dearmor(armor(octets), SUBMISSION).data, octets)
    twice = Certificate(again.primary, again.direct * 2, again.components * 2)
    for name, found in (("verified", verify(twice)), ("trusted", marked(again))):
        if not found.marks <= GOOD:
            raise LawError(f"what is kept is good, {name} again", str(found.marks - GOOD))
        once_more = keep(found, policy)
        state = once_more.error, to_bytes(once_more.findings.certificate()), once_more.dropped
        _same(f"what is kept is a fixpoint, {name} again", state, (None, octets, ()))


def _same(law: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise LawError(law)

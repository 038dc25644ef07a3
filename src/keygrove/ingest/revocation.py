"""A revocation that came alone: whose it is, and whether that key made it.

GnuPG writes one for each key that it makes, to be sent when the key itself is lost.
"""

from keygrove.cluster.router import Router
from keygrove.ingest.verdicts import Blame, Rejected
from keygrove.storage.cache import Answer, Form
from keygrove.storage.candidate import Candidate, candidate
from keygrove.storage.derive import read
from keygrove.storage.store import Cause, Term, TermKind
from keygrove_protocols.openpgp.certificate import Certificate
from keygrove_protocols.openpgp.packets import Packet
from keygrove_protocols.openpgp.policy import Policy
from keygrove_protocols.openpgp.signatures import read_signature

NAMESAKES_MAX = 20
"""Certificates that share a key ID: more than a few are made on purpose."""
NO_TARGET = "UnknownTarget"
NOT_ITS_OWN = "BadSelfSig"


async def revoke(router: Router, revocation: Packet, policy: Policy) -> Candidate | Rejected:
    """What is held of the certificate that this revokes, with the revocation."""
    signature = read_signature(revocation.body)
    assert signature is not None, "`bare_revocation` read it"
    if signature.issuer_fingerprint is not None:
        term = Term(TermKind.FINGERPRINT, signature.issuer_fingerprint)
    else:
        term = Term(TermKind.KEY_ID, signature.issuer or b"")
    names = await router.find(term, NAMESAKES_MAX)
    is_known = False
    for answer in await router.fetch_all(names, Form.BINARY):
        if not isinstance(answer, Answer) or answer.body is None:
            continue
        is_known = True
        held = read(answer.body)
        found = candidate(Certificate(held.primary, (revocation,)), policy, Cause.UPLOAD)
        if found.put is not None:
            return found
    if is_known:
        text = "the key that it names did not make it: nothing is revoked"
        return Rejected(Blame.UNACCEPTABLE, NOT_ITS_OWN, text)
    text = "the certificate that it revokes is not held here: send that with it"
    return Rejected(Blame.UNACCEPTABLE, NO_TARGET, text)

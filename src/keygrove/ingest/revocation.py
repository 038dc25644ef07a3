"""A revocation that came alone: whose it is, and whether that key made it.

GnuPG writes one for each key that it makes, to be sent when the key itself is lost.
"""

from collections.abc import Sequence
from functools import partial

from keygrove.cluster.router import Router
from keygrove.ingest.verdicts import Blame, Rejected
from keygrove.ports import Compute
from keygrove.storage.cache import Answer, Form
from keygrove.storage.candidate import Candidate, candidate
from keygrove.storage.derive import primary_term
from keygrove.storage.write import Cause
from keygrove_protocols.openpgp.certificate import Certificate
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.packets import Packet, Tag, read_header
from keygrove_protocols.openpgp.policy import Policy
from keygrove_protocols.openpgp.signatures import Signature, read_signature

NAMESAKES_MAX = 20
"""Primary keys of one version that share an ID: more than a few are made on purpose."""
_VERSIONS = (4, 3)
"""Of keys that a signature may name by their ID alone; first those whose IDs nobody can choose."""
NO_TARGET = "UnknownTarget"
NOT_ITS_OWN = "BadSelfSig"


async def revoke(
    router: Router, revocation: Packet, policy: Policy, compute: Compute, cause: Cause
) -> Candidate | Rejected:
    """The primary key of the certificate that this revokes, with the revocation.

    It is verified in a thread: whoever made the key decides how long that takes.
    """
    signature = read_signature(revocation.body)
    assert signature is not None, "`bare_revocation` read it"
    is_known = False
    for answer in await router.fetch_all(await _named(router, signature), Form.BINARY):
        if not isinstance(answer, Answer) or answer.body is None:
            continue
        is_known = True
        revoked = Certificate(_primary(answer.body), (revocation,))
        found = await compute.run(partial(candidate, revoked, policy, cause))
        if found.put is not None:
            return found
    if is_known:
        text = "the key that it names did not make it: nothing is revoked"
        return Rejected(Blame.UNACCEPTABLE, NOT_ITS_OWN, text)
    text = "the certificate that it revokes is not held here: send that with it"
    return Rejected(Blame.UNACCEPTABLE, NO_TARGET, text)


async def _named(router: Router, revocation: Signature) -> Sequence[Fingerprint]:
    """The certificates whose primary key it may name, held or not."""
    if revocation.issuer_fingerprint is not None:
        return [Fingerprint(revocation.issuer_fingerprint)]
    if revocation.issuer is None:
        return []
    found: list[Fingerprint] = []
    for version in _VERSIONS:
        found += await router.find(primary_term(version, revocation.issuer), NAMESAKES_MAX)
    return found


def _primary(body: bytes) -> Packet:
    """The first packet of a certificate that we hold."""
    header = read_header(body, 0)
    return Packet(Tag.PUBLIC_KEY, body[header.start : header.end])

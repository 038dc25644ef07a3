"""What is denied, and what its key says against itself all the same."""

from keygrove.storage.absorb import Outcome
from keygrove.storage.denying import deny
from keygrove.storage.write import Denial
from keygrove_chaos.certificates import CREATED, candidate_of, made
from keygrove_chaos.signing import Signer, subpacket
from keygrove_protocols.openpgp.certificate import Certificate, canonical, fingerprint
from keygrove_protocols.openpgp.policy import VERIFIED
from keygrove_protocols.openpgp.signatures import KEY_REVOCATION

MALLORY = made(7, "Mallory")
STOLEN = subpacket(29, b"\x02")
DENIED = Denial(fingerprint(MALLORY), "spam", CREATED)


def revoked(created: int) -> Certificate:
    packet = Signer(7).sign(KEY_REVOCATION, MALLORY.primary, created=created, hashed=STOLEN)
    return canonical(Certificate(MALLORY.primary, (packet,), ()))


def test_a_key_is_denied_since_its_denial_whatever_it_says_later() -> None:
    denial = DENIED
    for later in (10, 20):
        incoming = [candidate_of(revoked(CREATED + later))]
        denied = deny(denial, None, incoming, VERIFIED, CREATED + later)
        assert denied.outcomes == (Outcome.REVOKED,)
        assert denied.denial is not None
        denial = denied.denial
        assert (denial.at, denial.since) == (CREATED + later, CREATED)

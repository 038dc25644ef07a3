"""What is sent to a shard; apart from the way there, which a parser process does not need."""

import msgspec

from keygrove_protocols.openpgp.certificate import Certificate
from keygrove_protocols.openpgp.keys import Digest, Fingerprint


class Candidate(msgspec.Struct, frozen=True):
    """A certificate that may be stored: canonical, named, and its state named too."""

    fingerprint: Fingerprint
    version: int
    certificate: Certificate
    digest: Digest
    at: int = 0
    """Which certificate of its submission it is, from 0."""

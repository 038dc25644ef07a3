"""A revocation of a key is the key's, wherever it stands among the packets."""

import pytest

from keygrove_chaos.certificates import made
from keygrove_chaos.signing import Signer
from keygrove_protocols.limits import SUBMISSION
from keygrove_protocols.openpgp.certificate import Certificate, group, packets
from keygrove_protocols.openpgp.packets import Packet
from keygrove_protocols.openpgp.policy import VERIFIED
from keygrove_protocols.openpgp.rules import is_hard_revoked, keep
from keygrove_protocols.openpgp.verification import verify

ALICE = made(1, "Alice", subkeys=[2])
SEQUENCE = list(packets(ALICE))
REVOCATION = Signer(1).sign(0x20, ALICE.primary)
FORGED = Signer(3).sign(0x20, ALICE.primary, unhashed=Signer(1).issuer)


def revoked(sequence: list[Packet]) -> bool:
    (found,) = group(sequence, SUBMISSION)
    assert isinstance(found, Certificate)
    return is_hard_revoked(keep(verify(found), VERIFIED).findings)


@pytest.mark.parametrize("at", range(1, len(SEQUENCE) + 1))
def test_p088_it_counts_behind_any_packet(at: int) -> None:
    assert revoked([*SEQUENCE[:at], REVOCATION, *SEQUENCE[at:]])


def test_p091_one_by_somebody_else_does_not_count_there_either() -> None:
    assert not revoked([*SEQUENCE, FORGED])

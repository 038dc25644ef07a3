"""The self-test: nothing is missing here, and what cannot be done has a name."""

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, mldsa

from keygrove_protocols.openpgp.crypto.capabilities import missing


def test_this_build_verifies_all_that_the_reference_lists() -> None:
    assert missing() == ()


def refuse(*_: object) -> None:
    raise UnsupportedAlgorithm("not in this build")


def test_what_a_build_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library without curves cannot be installed for a test: the library is made to refuse."""
    monkeypatch.setattr(ec.EllipticCurvePublicKey, "from_encoded_point", refuse)
    monkeypatch.setattr(ed448.Ed448PublicKey, "from_public_bytes", refuse)
    monkeypatch.setattr(mldsa.MLDSA65PublicKey, "from_public_bytes", refuse)
    assert missing() == (
        "ECDSA on nistp256",
        "ECDSA on nistp384",
        "ECDSA on nistp521",
        "ECDSA on secp256k1",
        "ECDSA on brainpoolP256r1",
        "ECDSA on brainpoolP384r1",
        "ECDSA on brainpoolP512r1",
        "Ed448",
        "ML-DSA-65",
        "ML-DSA-87",
    )

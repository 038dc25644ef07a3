"""Debian's keyring: 905 real certificates, and their digests as SKS has them."""

import json
from pathlib import Path

import pytest

from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.certificate import (
    Certificate,
    canonical,
    fingerprint,
    group,
    packets,
    to_bytes,
)
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.packets import CertificateSplitter, split
from keygrove_protocols.openpgp.summary import summary
from keygrove_protocols.openpgp.terms import terms

KEYRING = Path("/usr/share/keyrings/debian-keyring.gpg")
PIECE_BYTES = 1 << 20

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not KEYRING.exists(), reason="the Debian package debian-keyring is not installed"
    ),
]


@pytest.fixture(scope="module")
def certificates() -> list[Certificate]:
    data, splitter = KEYRING.read_bytes(), CertificateSplitter(BULK)
    cut: list[bytes] = []
    for at in range(0, len(data), PIECE_BYTES):
        cut += [one.octets for one in splitter.feed(data[at : at + PIECE_BYTES])]
    cut += [one.octets for one in splitter.close()]
    assert b"".join(cut) == data
    found = [one for raw in cut for one in group(split(raw, BULK), BULK)]
    read = [canonical(one) for one in found if isinstance(one, Certificate)]
    assert len(read) == len(found)
    return read


def digest(certificate: Certificate) -> Digest:
    return sks_digest(packets(certificate))


def test_p095_all_905_digests_are_those_of_sks(certificates: list[Certificate]) -> None:
    expected = json.loads((Path(__file__).parents[1] / "vectors" / "digests.json").read_bytes())
    found = {fingerprint(one).hex().upper(): digest(one).hex() for one in certificates}
    if found.keys() != expected.keys():
        pytest.skip("another release of the keyring than the digests are of")
    assert found == expected
    assert len(found) == 905


def test_p004_every_certificate_survives_being_written(certificates: list[Certificate]) -> None:
    for certificate in certificates:
        (again,) = group(split(to_bytes(certificate), BULK), BULK)
        assert again == certificate


def test_every_certificate_can_be_found_and_shown(certificates: list[Certificate]) -> None:
    for certificate in certificates:
        assert fingerprint(certificate) in terms(certificate).fingerprints
        shown = summary(certificate)
        assert shown.bits > 0
        assert terms(certificate).addresses or not shown.user_ids

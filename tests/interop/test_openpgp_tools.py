"""What GnuPG, Sequoia and PGPy make is read here, and what is written here they read."""

import shutil
import subprocess
from pathlib import Path

import pgpy
import pysequoia
import pytest
from pgpy.constants import EllipticCurveOID, PubKeyAlgorithm

from keygrove_protocols.errors import SecretKeyMaterialError
from keygrove_protocols.limits import SUBMISSION
from keygrove_protocols.openpgp.armor import armor, dearmor
from keygrove_protocols.openpgp.certificate import (
    Certificate,
    canonical,
    fingerprint,
    group,
    to_bytes,
    user_ids,
)
from keygrove_protocols.openpgp.packets import split
from keygrove_protocols.openpgp.summary import summary

pytestmark = pytest.mark.slow

VECTORS = Path(__file__).parents[1] / "vectors" / "openpgp"
SHARED = [
    "v4-rsa2048.pgp",
    "v4-dsa1024-elg.pgp",
    "v4-eddsa-cv25519.pgp",
    "rev-uid.pgp",
    "merge-c.pgp",
]


def read(data: bytes) -> Certificate:
    (found,) = group(split(dearmor(data, SUBMISSION).data, SUBMISSION), SUBMISSION)
    assert isinstance(found, Certificate)
    return canonical(found)


def armored(certificate: Certificate) -> str:
    return armor(to_bytes(certificate)).decode()


def test_a_certificate_by_pgpy_is_read() -> None:
    made = pgpy.PGPKey.new(PubKeyAlgorithm.EdDSA, EllipticCurveOID.Ed25519)
    made.add_uid(pgpy.PGPUID.new("Alice", email="alice@example.org"))
    found = read(str(made.pubkey).encode())
    assert fingerprint(found).hex().upper() == str(made.fingerprint)


def test_a_certificate_by_sequoia_is_read() -> None:
    made = pysequoia.Tsk.generate("Alice <alice@example.org>").extract_certificate()
    found = read(bytes(made))
    assert fingerprint(found).hex() == made.fingerprint
    assert [one.packet.body.decode() for one in user_ids(found)] == ["Alice <alice@example.org>"]


def test_p021_a_private_key_by_sequoia_is_refused() -> None:
    made = pysequoia.Tsk.generate("Alice <alice@example.org>")
    for data in (str(made).encode(), bytes(made)):
        with pytest.raises(SecretKeyMaterialError):
            read(data)


@pytest.mark.parametrize("file", [*SHARED, "v6-ed448.pgp"])
def test_sequoia_reads_what_is_written_here(file: str) -> None:
    certificate = read((VECTORS / file).read_bytes())
    theirs = pysequoia.Cert.from_bytes(armored(certificate).encode())
    assert theirs.fingerprint == fingerprint(certificate).hex()


@pytest.mark.parametrize("file", SHARED)
def test_pgpy_reads_what_is_written_here(file: str) -> None:
    certificate = read((VECTORS / file).read_bytes())
    theirs = pgpy.PGPKey()
    theirs.parse(armored(certificate))
    assert str(theirs.fingerprint) == fingerprint(certificate).hex().upper()


class Gpg:
    """A GnuPG with an empty home."""

    def __init__(self, home: Path) -> None:
        self._command = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--no-autostart"]

    def __call__(self, *arguments: str, data: bytes = b"") -> bytes:
        done = subprocess.run(
            [*self._command, *arguments], input=data, check=True, capture_output=True, timeout=30
        )
        return done.stdout


@pytest.fixture
def gpg(tmp_path: Path) -> Gpg:
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not installed")
    tmp_path.chmod(0o700)
    return Gpg(tmp_path)


@pytest.mark.parametrize("file", SHARED)
def test_p025_gpg_imports_what_is_written_here(file: str, gpg: Gpg) -> None:
    certificate = read((VECTORS / file).read_bytes())
    gpg("--import", data=armored(certificate).encode())
    assert read(gpg("--export")) == certificate


@pytest.mark.parametrize(
    "file", [*SHARED, "expired.pgp", "gpg-rsa2048-expiry.pgp", "gpg-revoked-hard.pgp"]
)
def test_h046_a_summary_tells_what_gpg_tells(file: str, gpg: Gpg) -> None:
    """Fields of `pub` in GnuPG's colon listing: validity, bits, algorithm, created, expires."""
    certificate = read((VECTORS / file).read_bytes())
    gpg("--import", data=armored(certificate).encode())
    listing = gpg("--with-colons", "--fixed-list-mode", "--list-keys").decode()
    pub = next(line.split(":") for line in listing.splitlines() if line.startswith("pub:"))
    shown = summary(certificate)
    assert (int(pub[3]), pub[5], pub[6]) == (
        shown.algorithm,
        str(shown.created),
        "" if shown.expires is None else str(shown.expires),
    )
    assert (pub[1] == "r") is shown.is_revoked
    if shown.curve is None:
        assert int(pub[2]) == shown.bits

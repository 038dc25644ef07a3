"""Detached signatures that GnuPG and Sequoia make hold here."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from keygrove_protocols.errors import BadSignatureError, UnfitSignerError
from keygrove_protocols.limits import SUBMISSION
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint, group
from keygrove_protocols.openpgp.detached import read_detached, verify_detached
from keygrove_protocols.openpgp.packets import split
from tests.e2e.conftest import Gpg, needs

pytestmark = [pytest.mark.slow, needs("gpg")]

DOCUMENT = b"one \t \ntwo\r\nthree"
LATE = 1 << 31


@pytest.fixture(scope="module")
def gpg() -> Iterator[Gpg]:
    with TemporaryDirectory(prefix="kg") as folder:
        home = Gpg(Path(folder, "home"))
        yield home
        home.close()


def make(gpg: Gpg, name: str, algorithm: str = "ed25519") -> str:
    known = set(gpg.fingerprints())
    gpg.do("--quick-generate-key", name, algorithm, "sign,cert", "never")
    (made,) = set(gpg.fingerprints()) - known
    return made


def certificate(gpg: Gpg, name: str) -> Certificate:
    data = dearmor(gpg.export(name), SUBMISSION).data
    (found,) = group(split(data, SUBMISSION), SUBMISSION)
    assert isinstance(found, Certificate)
    return found


def sign(gpg: Gpg, signer: str, *options: str, document: bytes = DOCUMENT) -> bytes:
    folder = gpg.home / "signed"
    folder.write_bytes(document)
    out = gpg.home / "signature"
    gpg.do("--yes", *options, "--local-user", signer, "--output", out, "--detach-sign", folder)
    return out.read_bytes()


@pytest.mark.parametrize("algorithm", ["ed25519", "rsa3072", "nistp256", "dsa2048"])
@pytest.mark.parametrize("options", [("--armor",), (), ("--armor", "--textmode")], ids=str)
def test_a_signature_by_gpg_holds(gpg: Gpg, algorithm: str, options: tuple[str, ...]) -> None:
    name = make(gpg, f"{algorithm} {options}", algorithm)
    signer = certificate(gpg, name)
    made = read_detached(sign(gpg, name, *options))

    signed = verify_detached(made, DOCUMENT, [signer], LATE)

    assert signed.signer == fingerprint(signer)
    assert made.says.kind == ("--textmode" in options)
    with pytest.raises(BadSignatureError):
        verify_detached(made, DOCUMENT.replace(b"two", b"too"), [signer], LATE)


def test_line_ends_count_in_a_binary_signature_only(gpg: Gpg) -> None:
    name = make(gpg, "line ends")
    signer = certificate(gpg, name)
    binary, text = (read_detached(sign(gpg, name, *options)) for options in ([], ["--textmode"]))
    other = DOCUMENT.replace(b"\t \n", b"\t \r\n")

    assert verify_detached(text, other, [signer], LATE).signer
    assert verify_detached(text, DOCUMENT.replace(b"\r", b""), [signer], LATE).signer
    with pytest.raises(BadSignatureError):
        verify_detached(binary, other, [signer], LATE)
    with pytest.raises(BadSignatureError):
        verify_detached(text, DOCUMENT.replace(b"\t ", b""), [signer], LATE)


def test_a_signature_by_a_subkey_of_gpg_holds_until_the_subkey_is_revoked(gpg: Gpg) -> None:
    primary = make(gpg, "with a subkey")
    gpg.do("--quick-add-key", primary, "ed25519", "sign", "never")
    subkey = gpg.fingerprints(of="sub")[-1]
    made = read_detached(sign(gpg, f"{subkey}!", "--armor"))
    before = certificate(gpg, primary)
    assert verify_detached(made, DOCUMENT, [before], LATE).signer == bytes.fromhex(primary)

    edit = "key 1\nrevkey\ny\n0\n\ny\nsave\n"
    gpg.do("--command-fd", "0", "--edit-key", primary, stdin=edit.encode())

    with pytest.raises(UnfitSignerError, match="revoked"):
        verify_detached(made, DOCUMENT, [certificate(gpg, primary)], LATE)


def test_a_weak_hash_of_gpg_is_refused(gpg: Gpg) -> None:
    name = make(gpg, "weak", "rsa3072")
    made = read_detached(sign(gpg, name, "--digest-algo", "SHA1"))
    with pytest.raises(BadSignatureError, match="too weak"):
        verify_detached(made, DOCUMENT, [certificate(gpg, name)], LATE)


@needs("sq")
def test_a_signature_by_sequoia_holds(tmp_path: Path) -> None:
    key, document = tmp_path / "key", tmp_path / "document"
    document.write_bytes(DOCUMENT)
    run = ["sq", "key", "generate", "--userid", "Sequoia <s@x.example>", "--export", str(key)]
    subprocess.run(run, check=True, capture_output=True)
    public = ["sq", "key", "extract-cert", str(key)]
    data = subprocess.run(public, check=True, capture_output=True).stdout
    (signer,) = group(split(dearmor(data, SUBMISSION).data, SUBMISSION), SUBMISSION)
    assert isinstance(signer, Certificate)
    run = ["sq", "sign", "--detached", "--signer-key", str(key), str(document)]
    made = read_detached(subprocess.run(run, check=True, capture_output=True).stdout)
    assert verify_detached(made, DOCUMENT, [signer], made.says.created).signer == fingerprint(
        signer
    )

"""Heads as another program sees them: OpenSSL checks what is signed under them."""

import shutil
import subprocess
from base64 import b64decode
from pathlib import Path

import pytest

from keygrove_protocols.proofs.note import SignerKey
from keygrove_protocols.proofs.proof import Head

SPKI = bytes.fromhex("302a300506032b6570032100")
"""What stands before an Ed25519 public key in DER (RFC 8410)."""
SIGNER = SignerKey("keys.example.org", bytes(range(32)))
NOTE = SIGNER.sign(Head("keys.example.org", "blake3", 7, bytes(32), 1_800_000_000).lines())

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@pytest.mark.parametrize("is_sound", [True, False])
def test_openssl_agrees_on_who_signed_a_head(tmp_path: Path, *, is_sound: bool) -> None:
    lines, _, signature = NOTE.rpartition("\n\n")
    (tmp_path / "key").write_bytes(SPKI + SIGNER.verifier.public)
    (tmp_path / "lines").write_text(f"{lines}\n" if is_sound else lines)
    (tmp_path / "signature").write_bytes(b64decode(signature.split(" ")[2])[4:])
    ended = subprocess.run(
        [
            *("openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-rawin"),
            *("-inkey", "key", "-in", "lines", "-sigfile", "signature"),
        ],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert (ended.returncode == 0) is is_sound, ended.stderr

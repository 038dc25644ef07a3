"""The self-test: nothing is missing here, and what cannot be done has a name."""

import os
import subprocess
import sys
from pathlib import Path

from keygrove_protocols.openpgp.crypto.capabilities import missing
from tests.unit.protocols.openpgp.crypto.signers import digest, rsa_signer

CRIPPLED = """\
openssl_conf = first
[first]
alg_section = algorithms
[algorithms]
default_properties = fips=yes
"""
"""OpenSSL is told to use validated code only, and has none: it starts, and can do nothing."""

ASK = """\
import sys
from keygrove_protocols.openpgp.crypto.capabilities import missing
from keygrove_protocols.openpgp.crypto.loading import load_key

body, digest, material = (bytes.fromhex(one) for one in sys.argv[1:])
print(load_key(body).verify(1, 10, digest, material).name)
print(*missing(), sep="\\n")
"""


def test_this_build_can_do_everything() -> None:
    assert missing() == ()


def test_what_a_build_cannot_do_is_named_and_unverifiable(tmp_path: Path) -> None:
    settings = tmp_path / "openssl.cnf"
    settings.write_text(CRIPPLED)
    of, over = rsa_signer(1024), digest(64)
    told = subprocess.run(
        [sys.executable, "-c", ASK, of.body.hex(), over.hex(), of.sign(10, over).hex()],
        env={**os.environ, "OPENSSL_CONF": str(settings)},
        capture_output=True,
        text=True,
        check=True,
    )
    verdict, *names = told.stdout.splitlines()
    assert verdict == "UNVERIFIABLE"
    assert {"RSA with SHA-1", "DSA", "ECDSA on brainpoolP256r1", "Ed448", "ML-DSA-65"} < {*names}

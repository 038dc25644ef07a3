"""`keygrove inspect`, as its users see it."""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from keygrove.ingest.reasons import REASONS
from keygrove_protocols.openpgp.certificate import Certificate, to_bytes
from keygrove_protocols.openpgp.findings import GOOD, Mark
from tests.e2e.conftest import Gpg, keygrove, needs
from tests.openpgp import ALICE, BOB, DIRECT, REVOKES, alice, revoker, signed

VECTORS = Path(__file__).parents[1] / "vectors" / "openpgp"


def inspect(*arguments: str, exit_code: int = 0, stdin: bytes = b"") -> str:
    ended = keygrove("inspect", *arguments, stdin=stdin)
    assert ended.status == exit_code, ended.err
    return ended.out


def vector(name: str) -> str:
    return str(VECTORS / name)


def test_what_is_kept_and_what_is_not_is_told_in_words() -> None:
    shown = inspect(vector("subkey-nobacksig.pgp"))
    assert "user ID Alice Adams <alice@example.org>" in shown
    assert "dropped, 1 NoBacksig: binds a subkey that may sign" in shown
    assert "kept by policy verified: 2 signatures of its own" in shown


def test_each_file_is_a_line_of_json() -> None:
    lines = inspect("--json", vector("rev-hard.pgp"), vector("v4-rsa2048.pgp")).splitlines()
    hard, plain = map(json.loads, lines)
    assert hard["file"].endswith("rev-hard.pgp")
    assert hard["certificates"][0]["revoked"] == "hard"
    assert plain["certificates"][0]["valid_uids"] == ["Rsa User <rsa@example.org>"]


def test_a_revocation_is_held_against_the_certificates_beside_it() -> None:
    bare, target = vector("bare-revocation.asc"), vector("v4-eddsa-cv25519.pgp")
    assert "the certificate that it revokes is not at hand" in inspect(bare)
    assert "hard revocation" in inspect(bare, target)
    assert "refused" in inspect(vector("bare-revocation-wrong.asc"), target, exit_code=1)


def test_p093_a_designated_revoker_is_told_where_both_certificates_are_there(
    tmp_path: Path,
) -> None:
    names = signed(ALICE, DIRECT, hashed=revoker(BOB.key.fingerprint))
    revoked, bob = tmp_path / "alice.pgp", tmp_path / "bob.pgp"
    revoked.write_bytes(to_bytes(alice(direct=(names, signed(BOB, REVOKES)))))
    bob.write_bytes(to_bytes(Certificate(BOB.primary)))
    told = f"revoked by its designated revoker {BOB.key.fingerprint.hex().upper()}: at all times"
    assert told in inspect(str(revoked), str(bob), exit_code=1)  # of Bob's nothing would be kept
    assert "designated revoker" not in inspect(str(revoked))


def test_p052_an_image_is_told() -> None:
    assert "user attribute: JPEG image of 160 octets" in inspect(vector("uat-image.pgp"))


@pytest.mark.parametrize("name", ["secret-key.asc", "bare-primary.pgp", "bad-truncated.pgp"])
def test_what_would_be_refused_is_a_finding(name: str) -> None:
    assert "nothing of it would be" in inspect(vector(name), exit_code=1)


def test_standard_input_is_read_and_no_control_character_comes_out() -> None:
    shown = inspect("-", stdin=(VECTORS / "uid-edge.pgp").read_bytes())
    assert "ctrl\N{REPLACEMENT CHARACTER}" in shown
    assert "\x07" not in shown


def test_the_policy_is_that_of_the_settings(tmp_path: Path) -> None:
    config = tmp_path / "keygrove.toml"
    config.write_text('[policy]\npreset = "minimal"\n')
    shown = inspect("--config", str(config), vector("flood-2000.pgp"))
    assert "left out, 2,000 packets: others' signatures" in shown


def test_every_reason_is_told_in_words() -> None:
    assert {mark.value for mark in set(Mark) - GOOD} <= REASONS.keys()


def test_a_user_attribute_that_cannot_be_read_is_told_in_words() -> None:
    octets = (VECTORS / "v4-rsa2048.pgp").read_bytes()
    shown = inspect("-", stdin=octets + b"\xd1\x01\x05")
    assert "dropped, 1 MalformedPacket: a user attribute that cannot be read" in shown


@needs("gpg")
def test_what_expires_is_told_and_when(gpg: Gpg) -> None:
    at = "--faked-system-time=20200101T120000!"
    gpg.do(at, "--quick-generate-key", "Old <old@inspect.example>", "ed25519", "cert", "1y")
    (name,) = gpg.fingerprints()
    gpg.do(at, "--quick-add-key", name, "cv25519", "encr", "2099-12-31")
    (subkey,) = gpg.fingerprints(of="sub")
    octets = gpg.export(name)

    shown = inspect("-", stdin=octets)
    assert "    expired 2020-12-31\n" in shown
    assert f"    subkey {subkey} (expires 2099-12-31)\n" in shown
    (told,) = json.loads(inspect("--json", "-", stdin=octets))["certificates"]
    assert told["expires"] == 1_577_880_000 + 366 * 86_400 - 86_400
    assert list(told["subkey_expires"]) == [subkey.lower()]
    assert told["uid_expires"] == {}


@pytest.mark.parametrize(
    "packed",
    [gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress],
    ids=["gzip", "bzip2", "xz", "zstandard"],
)
def test_compressed_files_are_read(tmp_path: Path, packed: Callable[[bytes], bytes]) -> None:
    octets = packed((VECTORS / "v4-rsa2048.pgp").read_bytes())
    file = tmp_path / "file"
    file.write_bytes(octets)
    for shown in (inspect(str(file)), inspect("-", stdin=octets)):
        assert "user ID Rsa User <rsa@example.org>" in shown
    cut = inspect("-", stdin=octets[:-20], exit_code=1)
    assert "nothing of it would be taken: its " in cut


def test_what_unpacks_to_too_much_is_refused_before_it_is_there() -> None:
    bomb = gzip.compress(bytes(1 << 20)) * 80
    assert "(TooLarge)" in inspect("-", stdin=bomb, exit_code=1)

"""`keygrove inspect`, as its users see it."""

import json
from pathlib import Path

import pytest

from keygrove.ingest.reasons import REASONS
from keygrove_protocols.openpgp.findings import GOOD, Mark
from tests.e2e.conftest import keygrove

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

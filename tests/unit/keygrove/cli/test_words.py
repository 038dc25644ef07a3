"""What commands take for a word or a name: nothing that was meant otherwise."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from keygrove.cli.main import main

FINGERPRINT = "0f" * 20
OF_WORDS = (
    ("rollback", "--load"),
    ("rollback", "--partner"),
    ("rollback", "--since"),
    ("rollback", "--cause", "upload", "--until"),
    ("rollback", "--cause", "upload", "--reason"),
    ("rollback", "--undo"),
    ("rollback", "--resume"),
    ("snapshot", "create"),
    ("snapshot", "drop"),
    ("snapshot", "diff"),
    ("snapshot", "diff", "now"),
    ("snapshot", "show"),
    ("admin", "block", FINGERPRINT, "--reason"),
    ("admin", "redact", FINGERPRINT, "--user-id", "x", "--reason"),
    ("recon", "now"),
    ("proof", "--key", "x"),
)
OF_PLACES = (("backup",), ("restore",), ("dump",), ("load",), ("status", "--data"))


def _refused(*arguments: str) -> str:
    ended = CliRunner().invoke(main, arguments)
    assert ended.exit_code == 2, ended.output
    return ended.output


@pytest.mark.parametrize("arguments", OF_WORDS, ids=" ".join)
@pytest.mark.parametrize("value", ["", " ", "\udcff", "two\nlines"])
def test_a_word_is_a_line_that_says_something(arguments: tuple[str, ...], value: str) -> None:
    more = (FINGERPRINT,) if arguments == ("snapshot", "show") else ()
    told = _refused(*arguments, value, *more)
    assert ("it is empty" if not value.strip() else "is no line of UTF-8") in told


@pytest.mark.parametrize("option", ["--reason", "--load", "--partner", "--since"])
def test_an_option_is_not_taken_for_the_value_of_another(option: str) -> None:
    told = _refused("rollback", "--cause", "upload", option, "--dry-run")
    assert "'--dry-run' looks like an option" in told


@pytest.mark.parametrize("arguments", OF_PLACES, ids=" ".join)
def test_a_name_of_a_file_is_not_empty(arguments: tuple[str, ...]) -> None:
    assert "it is empty: name a file or a directory" in _refused(*arguments, "")


def test_a_list_of_fingerprints_that_is_no_text_is_refused(tmp_path: Path) -> None:
    listed = tmp_path / "list"
    listed.write_bytes(b"\xff\xfe\n")
    told = _refused("rollback", "--data", str(tmp_path), "--list", str(listed))
    assert "is no fingerprint" in told


def test_a_reason_that_is_too_long_is_wrong_use(tmp_path: Path) -> None:
    told = _refused("rollback", "--data", str(tmp_path), "--cause", "upload", "--reason", "x" * 501)
    assert "the reason is longer than 500 characters" in told


@pytest.mark.parametrize("arguments", OF_PLACES, ids=" ".join)
def test_a_name_of_a_file_is_no_longer_than_names_may_be(arguments: tuple[str, ...]) -> None:
    assert "is too long for a name" in _refused(*arguments, "x" * 300)


def test_a_data_directory_of_the_settings_that_can_be_none_is_told_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KEYGROVE_DATA_DIR", "x" * 300)
    for verb in ("digests", "fsck", "backup"):
        ended = CliRunner().invoke(main, (verb, *(("elsewhere",) if verb == "backup" else ())))
        assert (ended.exit_code, "File name too long" in ended.output) == (3, True), ended.output

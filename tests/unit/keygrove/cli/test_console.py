"""What commands print."""

import pytest

from keygrove.cli.console import print_columns

HEADING = ("partner", "circuit", "taken")
ROW = ("keyserver-of-a-very-long-name.department.example.org", "half-open", "1,234,567")


def test_in_a_pipe_columns_are_whole_lines_whatever_the_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    print_columns(HEADING, [ROW], words=2)
    assert capsys.readouterr().out.splitlines() == ["\t".join(HEADING), "\t".join(ROW)]


def test_on_a_terminal_they_are_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    print_columns(HEADING, [ROW], words=2)
    lines = capsys.readouterr().out.splitlines()
    assert any(all(cell in line for cell in ROW) for line in lines)
    assert "\t" not in "".join(lines)

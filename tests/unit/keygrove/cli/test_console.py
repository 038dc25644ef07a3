"""What commands print."""

import pytest

from keygrove.cli.console import print_columns, utc

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


def test_on_a_narrow_terminal_no_figure_and_no_word_is_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    print_columns(HEADING, [ROW], words=2)
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert ROW[2] in shown
    first = [line.split()[0] for line in shown.splitlines() if "─" not in line and line.strip()]
    assert ROW[0] in "".join(first)


def test_in_a_pipe_there_is_a_heading_if_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    print_columns(HEADING, [ROW], words=2, is_headed=False)
    assert capsys.readouterr().out.splitlines() == ["\t".join(ROW)]


def test_a_time_is_one_of_utc_with_its_year() -> None:
    assert (utc(0), utc(None)) == ("1970-01-01T00:00:00Z", "never")

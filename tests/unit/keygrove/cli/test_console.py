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


@pytest.mark.parametrize("width", [20, 40, 80])
def test_on_a_narrow_terminal_each_row_is_a_few_lines_with_its_name_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    heading = (*HEADING, "lacking here", "next", "last session")
    rows = [(ROW[0], "closed", "7", "1,234,567", "", "2026-11-22T00:00:00Z"), ("b", *"123", "", "")]
    print_columns(heading, rows, words=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith("  ")] == [ROW[0], "b"]
    facts = " ".join(line.strip() for line in lines[1 : lines.index("b")])
    assert facts == (
        "circuit closed, taken 7, lacking here 1,234,567, last session 2026-11-22T00:00:00Z"
    )
    longest = len("  last session 2026-11-22T00:00:00Z")
    assert all(len(line) <= max(width, longest) for line in lines if line != ROW[0])


def test_as_soon_as_it_fits_it_is_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    print_columns(HEADING, [ROW], words=2)
    (rule,) = (line for line in capsys.readouterr().out.splitlines() if "─" in line)
    widest = len(rule)
    for width, is_table in ((widest, True), (widest - 1, False)):
        monkeypatch.setenv("COLUMNS", str(width))
        print_columns(HEADING, [ROW], words=2)
        assert ("─" in capsys.readouterr().out) == is_table


def test_in_a_pipe_there_is_a_heading_if_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    print_columns(HEADING, [ROW], words=2, is_headed=False)
    assert capsys.readouterr().out.splitlines() == ["\t".join(ROW)]


def test_a_time_is_one_of_utc_with_its_year() -> None:
    assert (utc(0), utc(None)) == ("1970-01-01T00:00:00Z", "never")

"""Tables of pages."""

from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def page(name: str) -> str:
    """A page of the reference."""
    return (DOCS / "reference" / f"{name}.md").read_text()


def rows(name: str, heading: str) -> dict[str, list[str]]:
    """The rows of the table whose first column is called `heading`, by that column."""
    lines = iter(page(name).splitlines())
    for line in lines:
        if line.startswith(f"| {heading} |"):
            break
    else:
        pytest.fail(f"{name}.md has no table of {heading}")
    next(lines)
    found: dict[str, list[str]] = {}
    for line in lines:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        found[cells[0].strip("`")] = cells[1:]
    return found

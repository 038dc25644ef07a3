"""Every link within README and docs leads somewhere, and the README's commands exist."""

import os
import re
from pathlib import Path

import click
import pytest

from keygrove.cli.main import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```(?:sh|bash|console)?\n(.*?)```|`([^`\n]+)`", re.DOTALL)
OURS = ("keygrove ", "./deploy/", "./tests/", "./.ci/")
README_LINES_MAX = 120


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as Git hosts make them."""
    found: set[str] = set()
    for line in text.splitlines():
        if line.startswith("#"):
            words = re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower())
            found.add(words.replace(" ", "-"))
    return found


def commands(text: str) -> list[str]:
    """Every line of code that begins like a command of ours."""
    code = [one for pair in CODE.findall(text) for one in pair if one]
    lines = [line.strip().removeprefix("$ ") for block in code for line in block.splitlines()]
    return [line for line in lines if line.startswith(OURS)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text()
    for link in LINK.findall(text):
        if link.startswith(("http:", "https:", "mailto:", "hkp:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text()), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_exists(page: Path) -> None:
    context = click.Context(main)
    for line in commands(page.read_text()):
        program, *words = line.split()
        if program == "keygrove":
            verb = re.sub(r"\W+$", "", words[0])
            assert not verb.islower() or verb in main.list_commands(context), line
        else:
            assert os.access(ROOT / program, os.X_OK), line


def test_every_page_is_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        links = [link.partition("#")[0] for link in LINK.findall(page.read_text())]
        waiting += [(page.parent / link).resolve() for link in links if link and ":" not in link]
    assert sorted(set(PAGES) - reached) == []


def test_the_readme_is_short_and_names_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= README_LINES_MAX
    assert {"./deploy/run", "./tests/run"} <= {line.split()[0] for line in commands(text)}

"""The reference pages have every setting, metric, verb and option, and no other."""

import re
from pathlib import Path

import click
import msgspec
import pytest

from keygrove.cli.main import main
from keygrove.configuration import flatten
from keygrove.settings import Settings
from keygrove.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text()


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


def test_every_setting_is_described_with_its_default() -> None:
    defaults = {
        key: f"`{msgspec.json.encode(value).decode()}`"
        for key, value in flatten(Settings()).items()
    }
    assert {key: cells[0] for key, cells in rows("settings", "key").items()} == defaults


def test_every_setting_has_a_meaning() -> None:
    assert all(
        len(cells) == 2 and cells[1].strip(" |") for cells in rows("settings", "key").values()
    )


def families() -> set[str]:
    """Every metric by the name under which it is scraped."""
    lines = Metrics().render([], []).decode().splitlines()
    return {line.split()[2] for line in lines if line.startswith("# TYPE ")}


def test_every_metric_is_described_and_no_other() -> None:
    assert set(rows("metrics", "name")) == families()


def verbs() -> dict[str, click.Command]:
    context = click.Context(main)
    found: dict[str, click.Command] = {}
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= {f"{name} {inner}": one for inner, one in command.commands.items()}
        else:
            found[name] = command
    return found


def options(command: click.Command) -> set[str]:
    return {name for one in command.params if isinstance(one, click.Option) for name in one.opts}


COMMON = {"--config", "--data", "--debug"}


def test_every_verb_is_described() -> None:
    text = page("cli")
    assert [name for name in verbs() if f"`keygrove {name}" not in text] == []


@pytest.mark.parametrize("name", verbs())
def test_every_option_of_a_verb_is_described(name: str) -> None:
    text = page("cli")
    assert [one for one in options(verbs()[name]) - COMMON if one not in text] == []


def test_the_common_options_are_described_and_every_verb_has_them() -> None:
    text = page("cli")
    assert all(f"`{one}" in text for one in COMMON)
    assert {name for name, one in verbs().items() if not options(one) >= COMMON} == {"version"}


def test_no_option_is_described_that_is_not_there() -> None:
    described = set(re.findall(r"`(--[a-z-]+)", page("cli")))
    assert described - {one for verb in verbs().values() for one in options(verb)} == set()


def test_every_verb_and_option_says_what_it_is_for() -> None:
    for name, command in verbs().items():
        assert command.help, name
        for one in command.params:
            if isinstance(one, click.Option):
                assert one.help, (name, one.name)

"""The reference pages have every setting, metric, verb and option, and no other."""

import re

import click
import msgspec
import pytest

from keygrove.cli.main import main
from keygrove.configuration import flatten
from keygrove.settings import Settings
from keygrove.telemetry.metrics import Metrics
from tests.docs.tables import page, rows


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


def commands() -> dict[str, click.Command]:
    """Verbs, and groups of verbs."""
    context = click.Context(main)
    found = {name: main.get_command(context, name) for name in main.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def groups() -> dict[str, click.Command]:
    return {name: one for name, one in commands().items() if isinstance(one, click.Group)}


def verbs() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in commands().items():
        if isinstance(command, click.Group):
            found |= {f"{name} {inner}": one for inner, one in command.commands.items()}
        else:
            found[name] = command
    return found


def options(command: click.Command) -> set[str]:
    return {name for one in command.params if isinstance(one, click.Option) for name in one.opts}


COMMON = {"--config", "--data", "--debug"}
WITHOUT = {
    n for n in verbs() if n in ("config import", "proof", "version") or n.startswith("chaos ")
}
"""Verbs that use neither settings nor a data directory."""


def test_every_verb_is_described() -> None:
    text = page("cli")
    assert [name for name in verbs() if f"`keygrove {name}" not in text] == []


@pytest.mark.parametrize("name", verbs() | groups())
def test_every_option_of_a_verb_is_described(name: str) -> None:
    text = page("cli")
    wanted = options((verbs() | groups())[name]) - COMMON
    assert [one for one in wanted if f"`{one}" not in text] == []


def test_the_common_options_are_described_and_every_verb_has_them() -> None:
    text = page("cli")
    assert all(f"`{one}" in text for one in COMMON)
    assert {name for name, one in verbs().items() if not options(one) >= COMMON} == WITHOUT


def test_no_option_is_described_that_is_not_there() -> None:
    described = set(re.findall(r"`(--[a-z-]+)", page("cli")))
    there = {one for verb in (verbs() | groups()).values() for one in options(verb)}
    assert described - there == set()


def test_every_verb_and_option_says_what_it_is_for() -> None:
    for name, command in verbs().items():
        assert command.help, name
        for one in command.params:
            if isinstance(one, click.Option):
                assert one.help, (name, one.name)

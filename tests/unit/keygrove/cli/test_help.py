"""What `--help` says."""

import re

import click
import pytest
from click.testing import CliRunner

from keygrove.cli.config import config
from keygrove.cli.main import main
from keygrove.cli.push import push
from keygrove.cli.recon import COLUMNS, recon

GROUPS = {name: one for name, one in main.commands.items() if isinstance(one, click.Group)}
VERBS = [(group, name) for group in (recon, push, config) for name in group.commands]


def help_of(command: click.Command, *verbs: str) -> str:
    result = CliRunner().invoke(command, [*verbs, "--help"])
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("group", [main, *GROUPS.values()], ids=lambda one: one.name)
def test_what_a_verb_does_is_not_cut_off(group: click.Group) -> None:
    assert "..." not in help_of(group).partition("Commands:")[2]


@pytest.mark.parametrize(("group", "verb"), VERBS)
def test_how_a_verb_ends_is_said(group: click.Group, verb: str) -> None:
    words = " ".join(help_of(group, verb).split())
    assert re.search(r"Ends with 0.* with [23] if", words)


def test_each_column_of_the_partners_is_explained() -> None:
    lines = help_of(recon, "status").splitlines()
    explained = {
        name for line in lines for name in re.split(r",? {2,}|, ", line.strip())[:2] if name
    }
    assert set(COLUMNS[1:]) <= explained

"""`keygrove config check` and `config show`."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import click
import msgspec

from keygrove.cli.console import out
from keygrove.cli.options import FoundProblems, common, configure, errors_worded
from keygrove.configuration import flatten
from keygrove.errors import SettingsError


@click.group("config")
def config() -> None:
    """Look at the settings."""


@config.command("check")
@common
def check(*, config: Path | None, data: Path | None, debug: bool) -> None:
    """Say whether the settings can be used, and if not, what to write instead."""
    with errors_worded(debug=debug):
        try:
            configure(config, data)
        except SettingsError as error:
            raise FoundProblems(str(error)) from error
    out().print("the settings are fine")


@config.command("show")
@common
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def show(*, config: Path | None, data: Path | None, debug: bool, as_json: bool) -> None:
    """Print all settings, and where each comes from."""
    with errors_worded(debug=debug):
        loaded = configure(config, data)
        rows = [
            (key, value, loaded.origins.get(key, "default"))
            for key, value in flatten(loaded.settings).items()
        ]
        if as_json:
            values = {key: {"value": value, "origin": origin} for key, value, origin in rows}
            click.echo(msgspec.json.encode(values))
            return
        for key, value, origin in rows:
            out().print(f"{key} = {_toml(value)}  # {origin}")


def _toml(value: object) -> str:
    """A setting's value as TOML: text, numbers, lists and tables of these."""
    match value:
        case list() | tuple():
            items = cast("Sequence[object]", value)
            return f"[{', '.join(map(_toml, items))}]"
        case dict():
            table = cast("dict[str, object]", value)
            return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in table.items()) + "}"
        case _:
            return msgspec.json.encode(value).decode()  # the same as TOML's for these

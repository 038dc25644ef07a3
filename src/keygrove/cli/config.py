"""`keygrove config check`, `config show` and `config import`."""

import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

import anyio
import click
import msgspec

from keygrove.cli.console import err, out
from keygrove.cli.inputs import STDIN
from keygrove.cli.membership import as_toml, read_partners
from keygrove.cli.options import (
    DEBUG,
    CouldNotRun,
    FoundProblems,
    common,
    configure,
    errors_worded,
)
from keygrove.cli.stores import stores
from keygrove.cli.words import Place
from keygrove.coherence import hints
from keygrove.configuration import flatten
from keygrove.errors import KeygroveError, SettingsError, UnreadableSettingsError
from keygrove.http.administrators import SUBMIT_IT, admin_keys
from keygrove.settings import Settings
from keygrove.system.datadir import count_shards
from keygrove_protocols.openpgp.keys import Fingerprint


@click.group("config")
def config() -> None:
    """Look at the settings."""


@config.command("check", short_help="Say whether the settings can be used.")
@common
def check(*, config: Path | None, data: Path | None, debug: bool) -> None:
    """Say whether the settings can be used, and if not, what to write instead.

    Ends with 0 if they can be, with 1 if not, and with 2 if their file cannot be read. A warning is
    about what is seldom meant so.
    """
    with errors_worded(debug=debug):
        try:
            settings = configure(config, data).settings
        except UnreadableSettingsError:
            raise
        except SettingsError as error:
            raise FoundProblems(str(error)) from error
        out().print("the settings are fine")
        for line in (*hints(settings), *anyio.run(_unfit_keys, settings)):
            err().print(f"warning: {line}")


async def _unfit_keys(settings: Settings) -> list[str]:
    """What is to be said of administrators' keys, which is no matter of the settings alone."""
    keys, root = admin_keys(settings.admin), Path(settings.data_dir)
    if not keys:
        return []
    held: set[Fingerprint] = set()
    try:
        async with AsyncExitStack() as stack:
            opened = await stack.enter_async_context(stores(root)) if count_shards(root) else []
            for store in opened:
                sources = await store.sources(keys)
                held |= {key for key, one in zip(keys, sources, strict=True) if one is not None}
    except KeygroveError as error:
        return [f"whether admin.keys are held cannot be seen: {error}"]
    return [
        f"admin.keys: {key.hex().upper()} is not held in {root}: {SUBMIT_IT}"
        for key in keys
        if key not in held
    ]


@config.command("show")
@common
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def show(*, config: Path | None, data: Path | None, debug: bool, as_json: bool) -> None:
    """Print all settings, and where each comes from.

    Ends with 0, or with 2 if they cannot be used.
    """
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


@config.command("import", short_help="Print partners of other keyservers' settings as ours.")
@DEBUG
@click.argument("file", type=Place(dir_okay=False, allow_dash=True))
def import_partners(*, debug: bool, file: Path) -> None:
    """Print the partners of SKS's membership, or of Hockeypuck's settings, as ours.

    FILE is either of these; `-` is standard input.

    Ends with 0 if all could be taken over; with 1 if not, which is said; with 3 if FILE cannot be
    read.
    """
    with errors_worded(debug=debug):
        try:
            octets = sys.stdin.buffer.read() if file == STDIN else file.read_bytes()
        except OSError as error:
            raise CouldNotRun(f"cannot read {file}: {error.strerror}") from error
        found = read_partners(octets)
        click.echo(as_toml(found), nl=False)
        for problem in found.problems:
            err().print(problem)
        if found.problems:
            raise FoundProblems(f"not all of {file} could be taken over")


def _toml(value: object) -> str:
    """A setting's value as TOML: text, numbers, lists and tables of these."""
    match value:
        case list() | tuple():
            items = cast("Sequence[object]", value)
            return f"[{', '.join(map(_toml, items))}]"
        case dict():
            table = cast("dict[str, object]", value)
            given = {key: one for key, one in table.items() if one is not None}
            return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in given.items()) + "}"
        case _:
            return msgspec.json.encode(value).decode()  # the same as TOML's for these

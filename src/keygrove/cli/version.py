"""`keygrove version`."""

import platform
import sqlite3
from importlib.metadata import version as version_of

import click

from keygrove.cli.console import out


def own_version() -> str:
    """The version of this program."""
    return version_of("keygrove")


@click.command("version", short_help="Say which version this is.")
def version() -> None:
    """Say which version this is, and of what it is made."""
    parts = ("anyio", "msgspec", "uvicorn", "aiosqlite")
    out().print(f"keygrove {own_version()}")
    out().print(f"python {platform.python_version()}, sqlite {sqlite3.sqlite_version}")
    out().print(", ".join(f"{part} {version_of(part)}" for part in parts))

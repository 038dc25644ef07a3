"""What commands have in common: their options, settings, errors and exit codes."""

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

import click

from keygrove.cli.hints import completed
from keygrove.cli.words import Place
from keygrove.configuration import Configuration, load
from keygrove.errors import (
    HistoryError,
    KeygroveError,
    RollbackError,
    SettingsError,
    SnapshotError,
)
from keygrove_actors import ActorError

F = TypeVar("F", bound=Callable[..., object])

INTERRUPTED = 130


class _Ended(click.ClickException):
    """A command could not do what it was asked for."""

    def __init__(self, message: str) -> None:
        super().__init__(completed(message))


class FoundProblems(_Ended):
    """What the command found is not in order, or what it was asked for is not there."""

    exit_code = 1


class WrongUse(_Ended):
    """The command or the settings are to be written otherwise."""

    exit_code = 2


class CouldNotRun(_Ended):
    """Something outside of the command is in its way."""

    exit_code = 3


DEBUG = click.option("--debug", is_flag=True, help="Show tracebacks and log every step.")


def common(command: F) -> F:
    """The options `--config`, `--data` and `--debug`."""
    for option in reversed(
        (
            click.option(
                "--config",
                type=Place(dir_okay=False),
                metavar="FILE",
                help="Settings file (TOML).",
            ),
            click.option(
                "--data",
                type=Place(file_okay=False),
                metavar="DIR",
                help="Data directory, instead of the one in the settings.",
            ),
            DEBUG,
        )
    ):
        command = option(command)
    return command


def configure(
    config: Path | None, data: Path | None, overrides: dict[str, object] | None = None
) -> Configuration:
    """Read the settings, for a command with the common options.

    Raises:
        SettingsError: see `configuration.load`.
    """
    given = dict(overrides or {})
    if data is not None:
        given["data_dir"] = str(data)
    return load(config, os.environ, given)


@contextmanager
def errors_worded(*, debug: bool) -> Generator[None, None, None]:
    """Turn what went wrong into one line and an exit code: the one table for both."""
    try:
        yield
    except (KeygroveError, ActorError, BaseExceptionGroup, KeyboardInterrupt) as error:
        first = _first(error)
        if debug:
            raise
        if isinstance(first, SettingsError):
            raise WrongUse(str(first)) from error
        if isinstance(first, SnapshotError | HistoryError | RollbackError):
            raise FoundProblems(str(first)) from error
        if isinstance(first, KeygroveError | ActorError):
            raise CouldNotRun(str(first)) from error
        if isinstance(first, KeyboardInterrupt):
            sys.exit(INTERRUPTED)
        raise


def _first(error: BaseException) -> BaseException:
    """The first exception that is no group of others."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    return _first(cast("BaseExceptionGroup[BaseException]", error).exceptions[0])

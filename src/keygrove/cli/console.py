"""The consoles: data goes to stdout, all that is for people's eyes to stderr."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import click
import rich.box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table


def out() -> Console:
    """Where data goes; plain in a pipe. `NO_COLOR` is obeyed, brackets are only brackets."""
    return Console(highlight=False, soft_wrap=True, markup=False)


def err() -> Console:
    """Where everything else goes."""
    return Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def counted(number: int, what: str) -> str:
    """So many of something: `1 certificate`, `1,200 certificates`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def print_columns(heading: Sequence[str], rows: Sequence[Sequence[str]], *, words: int) -> None:
    """A table with its heading; in a pipe whole lines, with tabs between.

    Args:
        words: so many columns, from the left, are words; those behind are figures.
    """
    screen = out()
    if not screen.is_terminal:
        for row in (heading, *rows):
            click.echo("\t".join(row))
        return
    table = Table(box=rich.box.SIMPLE, pad_edge=False)
    for number, name in enumerate(heading):
        is_word = number < words
        table.add_column(name, justify="left" if is_word else "right", no_wrap=not is_word)
    for row in rows:
        table.add_row(*row)
    screen.print(table)


def byte_progress() -> Progress:
    """A bar for work that is counted in bytes: rate, what is `done`, time left; silent in a pipe.

    At its end it shows the time it took. Where no size is known, there is no time left to tell.
    """
    console = err()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TransferSpeedColumn(),
        TextColumn("{task.fields[done]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        disable=not console.is_terminal,
    )


@contextmanager
def bytes_told(total: int) -> Generator[Callable[[str, int], None], None, None]:
    """A bar, and whom to tell what is done now and how many octets of it more."""
    with byte_progress() as progress:
        task = progress.add_task("", total=total, done="")

        def tell(what: str, more: int) -> None:
            progress.update(task, advance=more)
            if what:
                progress.update(task, description=what)

        yield tell


def step_progress() -> Progress:
    """A bar for steps that are counted in things of their own; silent in a pipe."""
    console = err()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        disable=not console.is_terminal,
    )

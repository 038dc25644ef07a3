"""The consoles: data goes to stdout, all that is for people's eyes to stderr."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import click
import rich.box
from rich.console import Console
from rich.measure import Measurement
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

COLUMNS_MAX = 100_000
"""More than any table has."""
INDENT = "  "


def out() -> Console:
    """Where data goes; plain in a pipe. `NO_COLOR` is obeyed, brackets are only brackets."""
    return Console(highlight=False, soft_wrap=True, markup=False)


def err() -> Console:
    """Where everything else goes."""
    return Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def counted(number: int, what: str) -> str:
    """So many of something: `1 certificate`, `1,200 certificates`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def utc(at: int | None) -> str:
    """A time in seconds as RFC 3339 has it; None: never."""
    return "never" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def print_columns(
    heading: Sequence[str], rows: Sequence[Sequence[str]], *, words: int, is_headed: bool = True
) -> None:
    """A table; in a pipe whole lines, with tabs between. Nothing is cut off, however narrow it is.

    A terminal that has no room for the table gets a few lines for each row instead: its first cell
    as it is, and below it the others, each with its heading.

    Args:
        rows: each has as many cells as the heading.
        words: so many columns, from the left, are words, others are figures.
        is_headed: whether the heading is there in a pipe, too.
    """
    screen = out()
    if not screen.is_terminal:
        for row in (heading, *rows) if is_headed else rows:
            click.echo("\t".join(row))
        return
    table = Table(box=rich.box.SIMPLE, pad_edge=False)
    for number, name in enumerate(heading):
        table.add_column(name, justify="left" if number < words else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    if _width(screen, table) <= screen.width:
        screen.print(table)
        return
    for row in rows:
        screen.print("\n".join(_block(heading, row, screen.width)))


def _width(screen: Console, table: Table) -> int:
    """How wide it is where nothing is in its way."""
    return Measurement.get(screen, screen.options.update(max_width=COLUMNS_MAX), table).maximum


def _block(heading: Sequence[str], row: Sequence[str], width: int) -> Iterator[str]:
    """A row on several lines: a fact is broken only where it alone is wider than all there is."""
    facts = [f"{what} {cell}" for what, cell in zip(heading[1:], row[1:], strict=True) if cell]
    yield row[0]
    line = ""
    for fact in facts:
        longer = f"{line}, {fact}" if line else f"{INDENT}{fact}"
        if line and len(longer) >= width:
            yield f"{line},"
            longer = f"{INDENT}{fact}"
        line = longer
    if line:
        yield line


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

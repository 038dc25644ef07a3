"""The consoles: data goes to stdout, all that is for people's eyes to stderr."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

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


def out() -> Console:
    """Where data goes; plain in a pipe. `NO_COLOR` is obeyed, brackets are only brackets."""
    return Console(highlight=False, soft_wrap=True, markup=False)


def err() -> Console:
    """Where everything else goes."""
    return Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def counted(number: int, what: str) -> str:
    """So many of something: `1 certificate`, `1,200 certificates`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


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

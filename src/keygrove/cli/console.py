"""The consoles: data goes to stdout, all that is for people's eyes to stderr."""

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn


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
    """A bar for work whose size in bytes is known, and what is `done`; silent in a pipe."""
    console = err()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TransferSpeedColumn(),
        TextColumn("{task.fields[done]}"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )

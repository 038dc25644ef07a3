"""`python -m keygrove_bench NAME [--json]`."""

from collections.abc import Callable, Collection

import click
import msgspec
from rich.console import Console

from keygrove_bench import lookup
from keygrove_bench.actors import measure as actors
from keygrove_bench.report import Report, table

BENCHES: dict[str, Callable[[Collection[str], bool], Report]] = {
    "actors": lambda only, quick: actors.measure(only, quick=quick),
    "lookup": lambda _only, _quick: lookup.measure(),
}

WIDTH = 150
"""Of a table that goes into a file."""


@click.command()
@click.argument("name", type=click.Choice(sorted(BENCHES)))
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@click.option("--only", default="", metavar="W1,W2", help="These rows of `actors` only.")
@click.option("--quick", is_flag=True, help="Fewer rounds of `actors`.")
def main(name: str, *, as_json: bool, only: str, quick: bool) -> None:
    """Run the benchmark NAME and print what it measured."""
    try:
        report = BENCHES[name]([word for word in only.split(",") if word], quick)
    except actors.UnknownRowError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        console = Console()
        if not console.is_terminal:
            console.width = WIDTH
        console.print(table(report))


main()

"""`python -m keygrove_bench NAME [--json]`."""

from collections.abc import Callable

import click
import msgspec
from rich.console import Console

from keygrove_bench import lookup
from keygrove_bench.report import Report, table

BENCHES: dict[str, Callable[[], Report]] = {"lookup": lookup.measure}


@click.command()
@click.argument("name", type=click.Choice(sorted(BENCHES)))
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def main(name: str, *, as_json: bool) -> None:
    """Run the benchmark NAME and print what it measured."""
    report = BENCHES[name]()
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        Console().print(table(report))


main()

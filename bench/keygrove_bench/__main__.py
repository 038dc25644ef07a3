"""`python -m keygrove_bench NAME [--json]`."""

from collections.abc import Callable
from pathlib import Path

import click
import msgspec
from rich.console import Console

from keygrove_bench import arithmetic, campaign, ingest, lookup, simulation
from keygrove_bench.actors import measure as actors
from keygrove_bench.fuzz.measure import fuzz
from keygrove_bench.recon import measure as recon
from keygrove_bench.report import Report, table
from keygrove_bench.simulation import FoundError
from keygrove_bench.storage import campaign as large_store
from keygrove_bench.storage import measure as storage
from keygrove_bench.storage import stuck

WIDTH = 150
"""Of a table that goes into a file."""

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
first_seed = click.option(
    "--first-seed", type=click.IntRange(0), default=0, help="The first of the seeds."
)

on_disk = click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="On whose disk, if not that of temporary files.",
)


@click.group(context_settings={"max_content_width": 100})
def main() -> None:
    """Measure, and print what was measured."""


@main.command("actors")
@as_json
@click.option("--only", default="", metavar="W1,W2", help="These rows only.")
@click.option("--quick", is_flag=True, help="Fewer rounds.")
def measure_actors(*, as_json: bool, only: str, quick: bool) -> None:
    """The actor runtime beside Erlang and others."""
    try:
        found = actors.measure([word for word in only.split(",") if word], quick=quick)
    except actors.UnknownRowError as error:
        raise click.UsageError(str(error)) from error
    _print(found, as_json=as_json)


@main.command("arithmetic")
@as_json
@click.option("--quick", is_flag=True, help="One round: to see that it runs.")
def measure_arithmetic(*, as_json: bool, quick: bool) -> None:
    """Verifications of signatures, by algorithm."""
    _print(arithmetic.measure(quick=quick), as_json=as_json)


@main.command("ingest")
@as_json
@click.option("--quick", is_flag=True, help="One round: to see that it runs.")
def measure_ingest(*, as_json: bool, quick: bool) -> None:
    """Taking in Debian's keyring, beside gpg, Sequoia and PGPy."""
    _print(ingest.measure(quick=quick), as_json=as_json)


@main.command("lookup")
@as_json
def measure_lookup(*, as_json: bool) -> None:
    """Lookups over HTTP beside the bare server."""
    _print(lookup.measure(), as_json=as_json)


@main.command("recon")
@as_json
@click.option("--only", default="", metavar="tree,ways", help="These measurements only.")
@click.option("--quick", is_flag=True, help="Small sizes: to see that it runs.")
def measure_recon(*, as_json: bool, only: str, quick: bool) -> None:
    """Set reconciliation: the prefix tree, what a session computes, and ways of recon."""
    try:
        found = recon.measure([word for word in only.split(",") if word], quick=quick)
    except recon.UnknownMeasurementError as error:
        raise click.UsageError(str(error)) from error
    _print(found, as_json=as_json)


@main.command("simulation")
@as_json
@click.option("--quick", is_flag=True, help="Few seeds: to see that it runs.")
def measure_simulation(*, as_json: bool, quick: bool) -> None:
    """Simulated worlds, on both engines."""
    try:
        found = simulation.measure(quick=quick)
    except FoundError as error:
        raise click.ClickException(str(error)) from error
    _print(found, as_json=as_json)


@main.command("storage")
@as_json
@click.option("--only", default="", metavar="put,tree", help="These measurements only.")
@on_disk
@click.option("--quick", is_flag=True, help="Small sizes: to see that it runs.")
@click.option("--record", is_flag=True, help="Hold later runs against the ratios of this one.")
def measure_storage(
    *, as_json: bool, only: str, folder: Path | None, quick: bool, record: bool
) -> None:
    """The storage engine beside SQLite, LMDB, git, dulwich and prollytree."""
    if quick and record:
        raise click.UsageError("a quick run says nothing about ratios: leave out --quick")
    try:
        found = storage.measure([word for word in only.split(",") if word], folder, quick=quick)
    except storage.UnknownMeasurementError as error:
        raise click.UsageError(str(error)) from error
    _print(found, as_json=as_json)
    if record:
        storage.record(found)
    elif storage.has_regressed(found):
        raise click.exceptions.Exit(1)


@main.group("campaign")
def campaigns() -> None:
    """Longer runs of simulations, of fuzzing and of storage, for developers."""


def _campaign(name: str, run: Callable[[range], Report], seeds: int, says: str) -> None:
    @campaigns.command(name, help=says)
    @as_json
    @click.option("--seeds", type=click.IntRange(1), default=seeds, help="How many.")
    @first_seed
    def command(*, as_json: bool, seeds: int, first_seed: int) -> None:
        _conclude(run(range(first_seed, first_seed + seeds)), as_json=as_json)


def _conclude(found: Report, *, as_json: bool) -> None:
    _print(found, as_json=as_json)
    if any(one.holds is False for one in found.results):
        raise click.exceptions.Exit(1)


_campaign("determinism", campaign.determinism, 50, "Is each seed the same run in six variants?")
_campaign("seeds", campaign.seeds, 2_000, "Many seeds of real nodes, on both engines.")
_campaign("recon", campaign.recon, 500, "Federations of 5, 20 and 50 nodes, on both engines.")
_campaign("endings", campaign.endings, 2_000, "A shard ended at each point, and opened again.")


@campaigns.command("fuzz")
@as_json
@click.option("--seconds", type=click.IntRange(2), default=3_600, help="How long.")
def fuzz_certificates(*, as_json: bool, seconds: int) -> None:
    """What takes certificates apart, with inputs made to break it."""
    _conclude(fuzz(seconds), as_json=as_json)


@campaigns.command("storage")
@as_json
@click.option("--keys", type=click.IntRange(1), default=large_store.PUBLIC, help="How many.")
@on_disk
def measure_large_store(*, as_json: bool, keys: int, folder: Path | None) -> None:
    """A store of as many certificates as there are in public."""
    _print(large_store.measure(keys, folder), as_json=as_json)


@campaigns.command("stuck")
@as_json
@click.option("--seconds", type=click.IntRange(1), default=stuck.SECONDS, help="How long.")
@on_disk
def measure_stuck_readers(*, as_json: bool, seconds: int, folder: Path | None) -> None:
    """A store under load whose readers do not come to an end: how long its logs become."""
    _conclude(stuck.measure(seconds, folder), as_json=as_json)


@campaigns.command("mutants")
@as_json
@click.option("--only", default="", metavar="M-01,M-02", help="These bugs only.")
@click.option("--seeds", type=click.IntRange(1), default=200, help="How many for each.")
@first_seed
def hunt_mutants(*, as_json: bool, only: str, seeds: int, first_seed: int) -> None:
    """How many seeds does each planted bug take?"""
    names = [word for word in only.split(",") if word]
    try:
        found = campaign.mutants(range(first_seed, first_seed + seeds), names)
    except campaign.UnknownMutantError as error:
        raise click.UsageError(str(error)) from error
    _conclude(found, as_json=as_json)


def _print(found: Report, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    console.print(table(found))


main()

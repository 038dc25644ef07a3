"""`keygrove reshard`."""

import secrets
from pathlib import Path

import click
import msgspec

from keygrove.cli.console import bytes_told, counted, err, out
from keygrove.cli.options import common, configure, errors_worded
from keygrove.system.datadir import owned_anew
from keygrove.system.heaps import size
from keygrove.system.resharding import Resharded, reshard_store


@click.command("reshard", short_help="Change the number of shards of a stopped server.")
@common
@click.option(
    "--shards",
    type=click.IntRange(1, 64),
    metavar="N",
    help="So many, instead of as many as the settings say.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def reshard(
    *, config: Path | None, data: Path | None, debug: bool, shards: int | None, as_json: bool
) -> None:
    """Divide the store among another number of shards, while no server runs on it.

    All that is known of certificates is kept, and the root is the same. Broken off at any moment,
    it leaves the old shards, or the new ones.
    """
    with errors_worded(debug=debug):
        settings = configure(config, data).settings
        root = Path(settings.data_dir)
        with owned_anew(root, "keygrove reshard"), bytes_told(size(root)) as tell:
            done = reshard_store(
                root, shards or settings.storage.shards, token=secrets.token_bytes, tell=tell
            )
        if as_json:
            click.echo(msgspec.json.encode(done))
        else:
            _sum_up(done)
        if done.shards != settings.storage.shards:
            err().print(f"set [storage] shards = {done.shards} before the server is started")


def _sum_up(done: Resharded) -> None:
    held = counted(done.certificates, "certificate")
    out().print(f"{held} in {done.shards} shards, which were in {done.shards_before}")
    out().print(f"root {done.root}")
    for name in done.snapshots_lost:
        err().print(f"left out: snapshot {name}, which not all shards had")

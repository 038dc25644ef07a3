"""`keygrove digests`."""

from pathlib import Path
from typing import Literal

import anyio
import click

from keygrove.cli.options import common, configure, errors_worded
from keygrove.cli.stores import all_digests, stores

View = Literal["stored", "sks"]


@click.command("digests", short_help="Print all SKS digests.")
@common
@click.option(
    "--view",
    type=click.Choice(["stored", "sks"]),
    default="stored",
    help="Of what is stored here, or of what an SKS server holds that was sent the same.",
)
def digests(*, config: Path | None, data: Path | None, debug: bool, view: View) -> None:
    """Print the SKS digest of every certificate, one a line, sorted."""
    with errors_worded(debug=debug):
        root = Path(configure(config, data).settings.data_dir)
        for digest in anyio.run(_digests, root, view):
            click.echo(digest.hex())


async def _digests(root: Path, view: View) -> list[bytes]:
    async with stores(root) as opened:
        both = [digests for store in opened for digests in await all_digests(store)]
    return sorted(one.stored if view == "stored" else one.sks for one in both)

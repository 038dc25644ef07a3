"""`keygrove digests`."""

from pathlib import Path

import anyio
import click

from keygrove.cli.options import common, configure, errors_worded
from keygrove.cli.stores import all_digests, stores


@click.command("digests", short_help="Print all SKS digests.")
@common
def digests(*, config: Path | None, data: Path | None, debug: bool) -> None:
    """Print the SKS digest of every certificate, one a line, sorted."""
    with errors_worded(debug=debug):
        root = Path(configure(config, data).settings.data_dir)
        for digest in anyio.run(_digests, root):
            click.echo(digest.hex())


async def _digests(root: Path) -> list[bytes]:
    async with stores(root) as opened:
        return sorted([digest for store in opened for digest in await all_digests(store)])

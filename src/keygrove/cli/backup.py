"""`keygrove backup` and `keygrove restore`.

Both work in this process, on its main thread: whoever may read the data directory needs no server
for that, a server that runs is not slowed by it, and need not be allowed to write elsewhere.
"""

import os
import secrets
import time
from pathlib import Path

import click
import msgspec

from keygrove.cli.console import bytes_told, counted, err, out
from keygrove.cli.hints import completed
from keygrove.cli.options import common, configure, errors_worded
from keygrove.cli.version import own_version
from keygrove.cli.words import Place
from keygrove.system.backup import back_up
from keygrove.system.backup import restore as restore_from
from keygrove.system.datadir import owned_anew
from keygrove.system.heaps import size
from keygrove.system.manifest import Manifest

NICE = 10
"""A server on the same cores goes first: what its clients wait for is more urgent."""


@click.command("backup", short_help="Copy the store, also of a running server.")
@common
@click.argument("target", metavar="TARGET", type=Place(file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print the manifest, for programs.")
def backup(
    *, config: Path | None, data: Path | None, debug: bool, target: Path, as_json: bool
) -> None:
    """Copy the store into TARGET, an empty or a new directory; a server may go on meanwhile."""
    with errors_worded(debug=debug):
        root = Path(configure(config, data).settings.data_dir)
        begun = time.monotonic()
        os.nice(NICE)
        with bytes_told(size(root)) as tell:
            made = back_up(root, target, made_by=own_version(), at=int(time.time()), tell=tell)
        _sum_up(f"backed up into {target}", made, time.monotonic() - begun, as_json=as_json)


@click.command("restore", short_help="Put a backup into an empty data directory.")
@common
@click.argument("backup_folder", metavar="BACKUP", type=Place(exists=True, file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print the manifest, for programs.")
def restore(
    *, config: Path | None, data: Path | None, debug: bool, backup_folder: Path, as_json: bool
) -> None:
    """Put what `keygrove backup` made into an empty data directory, and check all of it."""
    with errors_worded(debug=debug):
        settings = configure(config, data).settings
        root = Path(settings.data_dir)
        begun = time.monotonic()
        with owned_anew(root, "keygrove restore"), bytes_told(size(backup_folder)) as tell:
            found = restore_from(backup_folder, root, token=secrets.token_bytes, tell=tell)
        _sum_up(f"restored into {root}", found, time.monotonic() - begun, as_json=as_json)
        shards = len(found.shards)
        if shards != settings.storage.shards:
            advice = f"set [storage] shards = {shards}, or run keygrove reshard --shards"
            text = f"it has {counted(shards, 'shard')}: {advice} {settings.storage.shards}"
            err().print(completed(text))


def _sum_up(done: str, manifest: Manifest, seconds: float, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(manifest))
        return
    mib = sum(shard.heap.bytes for shard in manifest.shards) / (1 << 20)
    held = counted(manifest.certificates, "certificate")
    out().print(f"{done}: {held}, {mib:,.1f} MiB in {seconds:.1f} s")
    out().print(f"root {manifest.root}")

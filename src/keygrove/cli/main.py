"""The `keygrove` command: its own verbs, and those of other packages."""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from keygrove.cli.admin import admin
from keygrove.cli.backup import backup, restore
from keygrove.cli.config import config
from keygrove.cli.digests import digests
from keygrove.cli.dump import dump
from keygrove.cli.fsck import fsck
from keygrove.cli.inspect import inspect_files
from keygrove.cli.load import load
from keygrove.cli.options import CouldNotRun
from keygrove.cli.proof import proof
from keygrove.cli.push import push
from keygrove.cli.recon import recon
from keygrove.cli.reshard import reshard
from keygrove.cli.rollback import rollback
from keygrove.cli.serve import serve
from keygrove.cli.snapshot import snapshot
from keygrove.cli.status import status
from keygrove.cli.streams import standard_output
from keygrove.cli.version import own_version, version

ENTRY_POINTS = "keygrove.commands"
"""The group in which another package names its verbs, each a click command."""


class Verbs(click.Group):
    """Verbs of our own, then those that installed packages add; these load when used."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command, whose output may go nowhere."""
        with standard_output():
            return super().main(*args, **extra)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs."""
        added = {point.name for point in entry_points(group=ENTRY_POINTS)}
        return sorted(added | set(super().list_commands(ctx)))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A verb. Nobody can replace one of ours."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        for point in entry_points(group=ENTRY_POINTS, name=cmd_name):
            return _load(point)
        return None


def _load(point: EntryPoint) -> click.Command:
    """The verb; or one that says why there is none, so that the others go on."""
    try:
        command: object = point.load()
    except (ImportError, AttributeError) as error:
        return _broken(point, f"cannot be loaded: {error}")
    return command if isinstance(command, click.Command) else _broken(point, "is no click command")


def _broken(point: EntryPoint, why: str) -> click.Command:
    def fail() -> None:
        raise CouldNotRun(f"{point.value} {why}; mend or remove the package that names it")

    return click.Command(point.name, callback=fail, short_help=f"({why})")


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(own_version(), message="keygrove %(version)s")
def main() -> None:
    """Run and look after an OpenPGP keyserver."""


for verb in (
    serve,
    load,
    dump,
    digests,
    backup,
    restore,
    reshard,
    inspect_files,
    status,
    fsck,
    proof,
    admin,
    snapshot,
    rollback,
    push,
    recon,
    config,
    version,
):
    main.add_command(verb)

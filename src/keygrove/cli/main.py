"""The `keygrove` command: its own verbs, and those of other packages."""

from importlib.metadata import entry_points

import click

from keygrove.cli.config import config
from keygrove.cli.digests import digests
from keygrove.cli.dump import dump
from keygrove.cli.load import load
from keygrove.cli.options import CouldNotRun
from keygrove.cli.serve import serve
from keygrove.cli.status import status
from keygrove.cli.version import own_version, version

ENTRY_POINTS = "keygrove.commands"
"""The group in which another package names its verbs, each a click command."""


class Verbs(click.Group):
    """Verbs of our own, then those that installed packages add; these load when used."""

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
            try:
                command = point.load()
            except ImportError as error:
                text = f"the verb {cmd_name} of {point.value} cannot be loaded: {error}"
                raise CouldNotRun(text) from error
            if isinstance(command, click.Command):
                return command
            raise CouldNotRun(f"{point.value} is no click command")
        return None


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(own_version(), message="keygrove %(version)s")
def main() -> None:
    """Run and look after an OpenPGP keyserver."""


for verb in (serve, load, dump, digests, status, config, version):
    main.add_command(verb)

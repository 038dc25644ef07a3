"""`keygrove push`: how it stands with the servers that are sent what changes here."""

from collections.abc import Sequence
from pathlib import Path

import anyio
import click
import msgspec

from keygrove.cli.console import err, print_columns, utc
from keygrove.cli.control import body_of, connected
from keygrove.cli.options import FoundProblems, common, configure, errors_worded
from keygrove.push.messages import TargetStatus


@click.group("push")
def push() -> None:
    """Look after what is sent to other servers."""


@push.command("status", short_help="Show how it stands with each target.")
@common
@click.option("--json", "as_json", is_flag=True, help="One JSON array, for programs.")
def status(*, config: Path | None, data: Path | None, debug: bool, as_json: bool) -> None:
    """Show how it stands with each target.

    `lag` is how many changes of shards it lacks; taken, refused and failed are certificates, since
    its actor started.

    Ends with 0; with 1 if the server was started without targets; with 2 if the settings are wrong;
    with 3 if no server answers.
    """
    with errors_worded(debug=debug):
        root = Path(configure(config, data).settings.data_dir)
        body = anyio.run(_ask, root)
        if as_json:
            click.echo(body)
        else:
            _show(msgspec.json.decode(body, type=tuple[TargetStatus, ...]))


async def _ask(root: Path) -> bytes:
    async with connected(root) as client:
        return body_of(await client.get("/push"), FoundProblems)


def _show(found: Sequence[TargetStatus]) -> None:
    heading = ("target", "state", "lag", "taken", "refused", "failed", "last taken")
    print_columns(heading, [_row(one) for one in found], words=2)
    beside = err()
    for one in found:
        if one.last_error:
            beside.print(f"{one.to}: {one.last_error}")
        if one.lost_at is not None:
            beside.print(
                f"{one.to}: it was lost at {utc(one.lost_at)} how far it was: what changed before, "
                "and had not been sent, will not be; give it a dump of this server"
            )
        if one.last_refused:
            beside.print(f"{one.to}: refused {one.last_refused}")


def _row(one: TargetStatus) -> tuple[str, ...]:
    counts = (f"{one.results.get(name, 0):,}" for name in ("taken", "refused", "failed"))
    lag = "" if one.lag is None else f"{one.lag:,}"
    return (one.to, _state(one), lag, *counts, utc(one.last_taken))


def _state(one: TargetStatus) -> str:
    if one.lag is None:  # it is not known, for a reason or for a moment
        return "waiting" if one.last_error else "starting"
    if one.is_standing_by:
        return "standing by"
    if one.retry_in_s is not None:
        return f"again in {one.retry_in_s:.0f} s"
    return "sending" if one.lag else "up to date"

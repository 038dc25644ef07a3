"""`keygrove status`."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import anyio
import click
import msgspec

from keygrove.cli.console import counted, err, out, print_columns
from keygrove.cli.control import body_of, connected
from keygrove.cli.hints import completed
from keygrove.cli.options import common, configure, errors_worded
from keygrove.cli.treeview import COLUMNS, tree_lines
from keygrove.http.administrators import SUBMIT_IT
from keygrove.http.control import Status
from keygrove.settings import MIB
from keygrove.storage.messages import ShardStatus
from keygrove.storage.space import SYNC_MIN_S, Level, SpaceStatus
from keygrove_actors import Node
from keygrove_actors.census import Snapshot

CHECK_IT = "stop the server, and run `keygrove fsck`"


@click.command("status", short_help="Ask the running server how it is.")
@common
@click.option("--tree", is_flag=True, help="Its actors, with all that is known of each.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def status(
    *, config: Path | None, data: Path | None, debug: bool, tree: bool, as_json: bool
) -> None:
    """Ask the running server how it is."""
    with errors_worded(debug=debug):
        root = Path(configure(config, data).settings.data_dir)
        body = anyio.run(_ask, root, "/tree" if tree else "/status")
        if as_json:
            click.echo(body)
        elif tree:
            screen = out()
            root_actor = msgspec.json.decode(body, type=Status[Snapshot]).tree
            columns = max(COLUMNS, screen.width) if screen.is_terminal else None
            screen.print("\n".join(tree_lines(root_actor, columns)))
        else:
            _show(msgspec.json.decode(body, type=Status[Node]))


async def _ask(root: Path, path: str) -> bytes:
    async with connected(root) as client:
        return body_of(await client.get(path))


def _show(status: Status[Node]) -> None:
    about = status.about
    since = datetime.fromtimestamp(about.started_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    total = sum(shard.counts.certificates for shard in status.shards if shard)
    screen = out()
    screen.print(f"keygrove {about.version}, process {about.pid}, since {since}")
    screen.print(f"HKP on {', '.join(about.http)}; metrics on {', '.join(about.metrics)}")
    held = counted(total, "certificate")
    screen.print(f"{held} in {about.data_dir}, durability {about.durability}, {about.engine}")
    for line in _optional(status):
        screen.print(line)
    print_columns(_SHARDS, [_shard(*one) for one in enumerate(status.shards)], words=1)
    for number, shard in enumerate(status.shards):
        if shard is not None and shard.starting is not None:
            screen.print(f"shard {number} is {shard.starting}")
        if shard is not None and shard.damaged_rows:
            text = f"shard {number} is damaged in {shard.damaged_rows} places: {CHECK_IT}"
            err().print(completed(text))
    screen.print(status.tree.text())
    for key in status.admin_keys_not_held:
        err().print(f"admin.keys: {key} is not held here: {SUBMIT_IT}")


def _optional(status: Status[Node]) -> Iterator[str]:
    """What is not known of every server, or not at all times."""
    if status.space is not None:
        yield _room(status.space)
    if status.recon is not None:
        yield f"recon: {status.recon.good} of {counted(status.recon.total, 'partner')} work"
    if status.push is not None:
        yield f"push: {status.push.good} of {counted(status.push.total, 'target')} up to date"
    if status.root is not None:
        yield f"root {status.root}"
    if status.verifier_key is not None:
        yield f"verifier key {status.verifier_key}"


_LEVELS = {
    Level.ROOM: "",
    Level.LOW: "; degraded: disk low, so that loads are refused",
    Level.CRITICAL: "; degraded: disk critical, so that submissions are refused: free some space",
    Level.READ_ONLY: "; degraded: read-only, so that submissions are refused",
}


def _room(space: SpaceStatus) -> str:
    free, total = space.free_bytes / MIB, space.total_bytes / MIB
    text = f"disk: {free:,.0f} of {total:,.0f} MiB free"
    if space.reserved_bytes:
        text += f", {space.reserved_bytes / MIB:.3g} MiB in reserve"
    if space.sync_s is not None:
        text += f", synchronised in {space.sync_s * 1e6:,.0f} µs"
        if space.sync_s < SYNC_MIN_S:
            text += " (too fast to be true)"
    return text + _LEVELS[space.level]


_SHARDS = (
    "shard", "certificates", "MiB", "changes", "waiting", "cached MiB", "look-ups", "hits",
)  # fmt: skip


def _shard(number: int, shard: ShardStatus | None) -> tuple[str, ...]:
    if shard is None or shard.starting is not None:
        state = "down" if shard is None else "starting"
        return (str(number), state, *[""] * (len(_SHARDS) - 2))
    return (
        str(number),
        f"{shard.counts.certificates:,}",
        f"{shard.counts.packet_bytes / MIB:.1f}",
        f"{shard.counts.change:,}",
        f"{shard.waiting_reads + shard.waiting_merges:,}",
        f"{shard.cache_bytes / MIB:.1f}",
        f"{shard.cache_hits + shard.cache_misses:,}",
        _rate(shard.cache_hits, shard.cache_misses),
    )


def _rate(hits: int, misses: int) -> str:
    """Of all look-ups, how many the cache answered."""
    return f"{100 * hits / (hits + misses):.1f} %" if hits + misses else ""

"""`keygrove load`."""

import itertools
import os
import secrets
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeAlias

import anyio
import click
import httpx
import msgspec

from keygrove.cli.console import byte_progress, counted, err, out
from keygrove.cli.control import connected
from keygrove.cli.hints import completed
from keygrove.cli.inputs import Input, find, left_out_words
from keygrove.cli.interrupt import finished, run
from keygrove.cli.options import (
    INTERRUPTED,
    CouldNotRun,
    FoundProblems,
    common,
    configure,
    errors_worded,
)
from keygrove.cli.report import report_to
from keygrove.cli.version import own_version
from keygrove.cli.words import Place
from keygrove.cluster.router import Router, shard_name
from keygrove.errors import (
    DiskFullError,
    ReadOnlyError,
    ReportError,
    StoreError,
    UnavailableError,
)
from keygrove.http.control import Status
from keygrove.ingest.able import ensure_able
from keygrove.ingest.loading import Loaded, Loader, Refusal, Sink
from keygrove.ingest.messages import INGEST, IngestApi, Load, Unavailable
from keygrove.ingest.pipeline import Reply
from keygrove.serve import Endpoints, Site, open_node
from keygrove.settings import Settings
from keygrove.storage.messages import ShardStatus
from keygrove.system.datadir import begin_shards, check_shards, owned_anew
from keygrove.system.world import system_ports
from keygrove.telemetry.log import open_log
from keygrove_actors import ActorError, Node

AskShards: TypeAlias = Callable[[], Awaitable[Sequence[ShardStatus | None]]]

SUBMIT_S = 100.0
LOOK_S = 0.5
LOOKS_TOLD = 20
"""A word every ten seconds on what is waited for."""


@click.command("load", short_help="Load certificates from files.")
@common
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=Place(exists=True, allow_dash=True),
)
@click.option(
    "--report",
    type=Place(dir_okay=False),
    metavar="FILE",
    help="Write a line of JSON for each certificate that is refused, or not taken whole.",
)
@click.option("--json", "as_json", is_flag=True, help="Sum up in one JSON object, for programs.")
def load(
    *,
    config: Path | None,
    data: Path | None,
    debug: bool,
    files: tuple[Path, ...],
    report: Path | None,
    as_json: bool,
) -> None:
    """Load certificates from FILES, armored or binary, also compressed; `-` is standard input.

    Of directories all files are loaded. Beside a running server it hands them over to that one.
    """
    loaded, is_whole = Loaded(origin=_origin()), False
    begun = time.monotonic()
    try:
        with errors_worded(debug=debug):
            settings = configure(config, data).settings
            inputs, left_out = find(files)
            loaded.left_out = [str(path) for path in left_out]
            with report_to(report, [one.path for one in inputs]) as tell:
                task = partial(_load, settings, inputs, loaded, tell, debug=debug)
                is_whole = run(task) is not None
            loaded.interrupted = not is_whole
    finally:
        loaded.seconds = round(time.monotonic() - begun, 3)
        if loaded.certificates and not is_whole:
            loaded.interrupted = True
        if is_whole or loaded.interrupted:
            _sum_up(loaded, as_json=as_json)
    if loaded.interrupted:
        sys.exit(INTERRUPTED)
    if loaded.stopped:
        raise CouldNotRun(loaded.stopped)
    if loaded.invalid or loaded.unreadable:
        sys.exit(FoundProblems.exit_code)


async def _load(
    settings: Settings,
    inputs: Sequence[Input],
    loaded: Loaded,
    tell: Callable[[Refusal], None],
    *,
    debug: bool,
) -> Loaded:
    async with _sink(settings, loaded.origin, debug=debug) as sink:
        with byte_progress() as progress:
            sizes = [one.size() for one in inputs]
            total = None if None in sizes else sum(size or 0 for size in sizes)
            task = progress.add_task("loading", total=total, done="")

            def show(done_bytes: int, certificates: int) -> None:
                done = counted(certificates, "certificate")
                progress.update(task, completed=done_bytes, done=done)

            loader = Loader(sink, show, loaded, on_refusal=tell)
            try:
                for one in inputs:
                    with one:
                        await loader.load(str(one.path), one)
            except DiskFullError:
                loaded.stopped = (
                    f"the disk of {settings.data_dir} is full, or nearly so: free some space, then "
                    "load again; what was loaded stays"
                )
            except (ReadOnlyError, UnavailableError, ReportError) as error:
                loaded.stopped = f"{error}; what was loaded stays"
    return loaded


@asynccontextmanager
async def _sink(settings: Settings, origin: str, *, debug: bool) -> AsyncGenerator[Sink, None]:
    """The server that owns the data directory, or a node of our own without listeners."""
    root = Path(settings.data_dir)
    if await _is_served(root):
        opened = _server(root, origin)
    else:
        opened = _own_node(settings, root, origin, debug=debug)
    async with opened as (sink, ask):
        await _until_up(ask)
        yield sink


@asynccontextmanager
async def _server(root: Path, origin: str) -> AsyncGenerator[tuple[Sink, AskShards], None]:
    async with connected(root) as client:

        async def hand_over(certificates: Sequence[bytes]) -> Reply:
            data = msgspec.msgpack.encode(certificates)
            try:
                # On uvloop anyio prints a traceback when a write to a Unix socket is cancelled.
                post = partial(client.post, "/load", content=data, params={"origin": origin})
                response = await finished(post)
            except httpx.TransportError as error:
                raise UnavailableError(
                    "the server went away: load again once it is back"
                ) from error
            if response.status_code != 200:
                return Unavailable()
            reply: Reply = msgspec.json.decode(response.content, type=Reply)
            return reply

        async def ask() -> Sequence[ShardStatus | None]:
            response = await client.get("/status")
            if response.status_code != 200:
                return ()
            return msgspec.json.decode(response.content, type=Status[Node]).shards

        yield hand_over, ask


@asynccontextmanager
async def _own_node(
    settings: Settings, root: Path, origin: str, *, debug: bool
) -> AsyncGenerator[tuple[Sink, AskShards], None]:
    with owned_anew(root, "keygrove load"):
        ensure_able()
        check_shards(root, settings.storage.shards)
        begin_shards(root, settings.storage.shards)
        level = "debug" if debug else "error"
        site = Site(
            ports=system_ports(root),
            endpoints=Endpoints(),
            log=open_log(sys.stderr, "console", level=level, tracebacks=debug),
            version=own_version(),
            pid=os.getpid(),
        )
        async with open_node(settings, site) as runtime:
            ingest = runtime.whereis(INGEST, IngestApi)

            async def submit(certificates: Sequence[bytes]) -> Reply:
                try:
                    return await ingest.call(Load(tuple(certificates), origin), timeout=SUBMIT_S)
                except ActorError:
                    return Unavailable()

            yield submit, Router(runtime.whereis, settings.storage.shards).each_status


async def _is_served(root: Path) -> bool:
    try:
        async with connected(root) as client:
            await client.get("/status")
            return True
    except UnavailableError:
        return False


async def _until_up(ask: AskShards) -> None:
    """Wait for shards that are being brought up, for as long as that takes.

    Raises:
        StoreError: one of them cannot go on.
    """
    for look in itertools.count():
        starting = [
            (shard_name(number), status.starting)
            for number, status in enumerate(await ask())
            if status is not None and status.starting is not None
        ]
        if not starting:
            return
        for name, progress in starting:
            if progress.lacks_room:
                raise StoreError(f"{name} is {progress}")
        if look % LOOKS_TOLD == 0:
            name, progress = starting[0]
            err().print(f"waiting: {name} is {progress}")
        await anyio.sleep(LOOK_S)


def _origin() -> str:
    """A name for what is loaded now, to take it back by if need be."""
    return time.strftime("%Y%m%dT%H%M%SZ-", time.gmtime()) + secrets.token_hex(2)


def _sum_up(loaded: Loaded, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(loaded))
        return
    out().print(
        f"{'interrupted: ' if loaded.interrupted else ''}"
        f"loaded {counted(loaded.certificates, 'certificate')} in {loaded.seconds:.1f} s "
        f"({loaded.inserted:,} new, {loaded.updated:,} changed, {loaded.ignored:,} known, "
        f"{loaded.invalid:,} refused)"
    )
    if loaded.interrupted:
        err().print("load the same again to go on: what is held already is passed over")
    if loaded.inserted or loaded.updated:
        err().print(completed(f"to take it back: keygrove rollback --load {loaded.origin}"))
    for reason, number in sorted(loaded.reasons.items()):
        err().print(f"refused: {number:,} {reason}")
    for name, why in loaded.unreadable.items():
        err().print(f"not read to the end: {name}: {why}")
    if loaded.left_out:
        err().print(left_out_words([Path(path) for path in loaded.left_out]))

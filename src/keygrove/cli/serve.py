"""`keygrove serve`."""

import logging
import os
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import anyio
import click
from prometheus_client import disable_created_metrics

from keygrove.cli.hangup import heed_hangups
from keygrove.cli.interrupt import run
from keygrove.cli.options import common, configure, errors_worded
from keygrove.cli.version import own_version
from keygrove.cluster.router import Router
from keygrove.coherence import hints
from keygrove.http.administrators import SUBMIT_IT, keys_not_held
from keygrove.ingest.able import ensure_able
from keygrove.serve import Endpoints, Site, open_node
from keygrove.settings import Settings
from keygrove.system.datadir import CONTROL, begin_shards, check_shards, owned_anew
from keygrove.system.sockets import SocketEndpoint, listen, listen_unix
from keygrove.system.stream import in_background, write_through
from keygrove.system.volume import is_read_only
from keygrove.system.world import system_ports
from keygrove.telemetry.log import Log, LogFormat, open_log
from keygrove_actors import ActorError, Runtime

LOOK_S = 1.0
"""How often it is asked whether a store that is being brought up is up."""


@click.command("serve", short_help="Serve certificates.")
@common
@click.option(
    "--listen",
    "listens",
    multiple=True,
    metavar="HOST:PORT",
    help="Serve HKP here, instead of where the settings say; may be repeated.",
)
@click.option(
    "--log-format",
    type=click.Choice(["console", "json"]),
    help="How to log; console on a terminal, JSON elsewhere.",
)
@click.option(
    "--debug-crash",
    is_flag=True,
    help="Let whoever reaches the control socket crash actors. For tests only.",
)
def serve(
    *,
    config: Path | None,
    data: Path | None,
    debug: bool,
    listens: tuple[str, ...],
    log_format: LogFormat | None,
    debug_crash: bool,
) -> None:
    """Serve certificates until told to stop."""
    with errors_worded(debug=debug), ExitStack() as opened:
        overrides: dict[str, object] = {"http.listen": list(listens)} if listens else {}
        settings = configure(config, data, overrides).settings
        root = Path(settings.data_dir)
        opened.enter_context(owned_anew(root, "keygrove serve"))
        check_shards(root, settings.storage.shards)
        ensure_able()
        endpoints = opened.enter_context(_endpoints(settings, root))
        begin_shards(root, settings.storage.shards)
        # uvicorn's own words about clients that do not speak HTTP: our answer says enough.
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
        # When a series began: of no use to anybody, and half as many series again. It can only be
        # turned off for the whole process.
        disable_created_metrics()  # type: ignore[no-untyped-call] # it has no types
        stream = opened.enter_context(in_background(sys.stderr))
        form: LogFormat = log_format or ("console" if sys.stderr.isatty() else "json")
        site = Site(
            ports=system_ports(root, asks_others=settings.recon.is_on or bool(settings.push)),
            endpoints=endpoints,
            log=open_log(stream, form, level="debug" if debug else "info"),
            version=own_version(),
            pid=os.getpid(),
            may_crash=debug_crash,
            watch_loop=True,
        )

        def read_again() -> Settings:
            return configure(config, data, overrides).settings

        run(lambda: _serve(settings, site, read_again), tell=stream.write)


@contextmanager
def _endpoints(settings: Settings, root: Path) -> Generator[Endpoints, None, None]:
    """Take all addresses first, so that whoever reads "serving" can rely on them."""
    with ExitStack() as opened:

        def keep(endpoint: SocketEndpoint) -> SocketEndpoint:
            opened.callback(endpoint.close)
            return endpoint

        http = tuple(keep(listen(one, "http.listen (--listen)")) for one in settings.http.listen)
        metrics = tuple(
            keep(listen(one, "metrics.listen (KEYGROVE_METRICS__LISTEN)"))
            for one in settings.metrics.listen
        )
        recon = tuple(keep(listen(one, "recon.listen")) for one in settings.recon.listen)
        control: tuple[SocketEndpoint, ...] = ()
        if not is_read_only(root):  # where there can be none, lookups go on without it
            control = (keep(listen_unix(root / CONTROL)),)
            opened.callback(_remove, root / CONTROL)
        yield Endpoints(http, metrics, control, recon)


def _remove(path: Path) -> None:
    with suppress(OSError):  # of a disk that is read-only by now: the next start replaces it
        path.unlink(missing_ok=True)


async def _serve(settings: Settings, site: Site, read_again: Callable[[], Settings]) -> None:
    async with open_node(settings, site) as runtime, anyio.create_task_group() as tasks:
        _announce(site.endpoints)
        for hint in hints(settings):
            site.log.warning("settings to look at", why=hint)
        await tasks.start(heed_hangups, settings, runtime, site.log, read_again)
        tasks.start_soon(_tell_of_keys_not_held, settings, runtime, site.log)
        await runtime.wait()
        tasks.cancel_scope.cancel()


async def _tell_of_keys_not_held(settings: Settings, runtime: Runtime, log: Log) -> None:
    """Say so once, when the store is up."""
    router = Router(runtime.whereis, settings.storage.shards)
    while True:
        try:
            missing = await keys_not_held(router, settings.admin)
        except ActorError:
            await anyio.sleep(LOOK_S)
            continue
        for key in missing:
            log.warning("admin key not held", fingerprint=key, advice=SUBMIT_IT)
        return


def _announce(endpoints: Endpoints) -> None:
    lines = [f"serving HKP on http://{endpoint.address}" for endpoint in endpoints.http]
    lines += [f"serving recon on {one.address}" for one in endpoints.recon]
    lines += [f"serving metrics on http://{one.address}/metrics" for one in endpoints.metrics]
    if endpoints.http:
        address = endpoints.http[0].address
        lines.append(f"try: gpg --keyserver hkp://{address} --send-keys FINGERPRINT")
    write_through(sys.stdout, "".join(f"{line}\n" for line in lines))

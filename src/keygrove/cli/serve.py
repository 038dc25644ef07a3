"""`keygrove serve`."""

import logging
import os
import signal
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
import anyio.abc
import click

from keygrove.cli.console import err, out
from keygrove.cli.options import common, configure, errors_worded
from keygrove.cli.version import own_version
from keygrove.serve import Endpoints, Site, open_node
from keygrove.settings import Settings
from keygrove.system.datadir import CONTROL, check_shards, owned
from keygrove.system.sockets import SocketEndpoint, listen, listen_unix
from keygrove.system.world import system_ports
from keygrove.telemetry.log import LogFormat, open_log


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
        opened.enter_context(owned(root, "keygrove serve"))
        check_shards(root, settings.storage.shards)
        endpoints = opened.enter_context(_endpoints(settings, root))
        # uvicorn's own words about clients that do not speak HTTP: our answer says enough.
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
        form: LogFormat = log_format or ("console" if sys.stderr.isatty() else "json")
        site = Site(
            ports=system_ports(root),
            endpoints=endpoints,
            log=open_log(sys.stderr, form, level="debug" if debug else "info"),
            version=own_version(),
            pid=os.getpid(),
            may_crash=debug_crash,
        )
        anyio.run(_serve, settings, site, backend_options={"use_uvloop": True})


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
        control = keep(listen_unix(root / CONTROL))
        opened.callback((root / CONTROL).unlink, missing_ok=True)
        yield Endpoints(http, metrics, (control,))


async def _serve(settings: Settings, site: Site) -> None:
    stopping = anyio.Event()
    async with anyio.create_task_group() as tasks:
        await tasks.start(_stop_on_signal, stopping)
        async with open_node(settings, site) as runtime, anyio.create_task_group() as watching:
            _announce(site.endpoints)

            async def watch() -> None:
                await runtime.wait()
                stopping.set()

            watching.start_soon(watch)
            await stopping.wait()
            watching.cancel_scope.cancel()
        tasks.cancel_scope.cancel()


def _announce(endpoints: Endpoints) -> None:
    for endpoint in endpoints.http:
        out().print(f"serving HKP on http://{endpoint.address}")
    for endpoint in endpoints.metrics:
        out().print(f"serving metrics on http://{endpoint.address}/metrics")
    if endpoints.http:
        address = endpoints.http[0].address
        out().print(f"try: gpg --keyserver hkp://{address} --send-keys FINGERPRINT")
    sys.stdout.flush()


async def _stop_on_signal(
    stopping: anyio.Event, *, task_status: anyio.abc.TaskStatus[None]
) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            if stopping.is_set():
                err().print("still stopping: what was accepted is being stored")
            else:
                err().print("stopping: finishing what has begun")
            stopping.set()

"""The other end of the control socket: HTTP to the server that owns a data directory."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx

from keygrove.errors import UnavailableError
from keygrove.system.datadir import CONTROL, owner_of
from keygrove.system.sockets import short_path
from keygrove.system.volume import is_read_only

TIMEOUT_S = 120.0
OK = 200
REFUSED = 409


@asynccontextmanager
async def connected(root: Path) -> AsyncGenerator[httpx.AsyncClient, None]:
    """A client of the server that owns the data directory `root`.

    Raises:
        UnavailableError: no server does.
    """
    try:
        if not (root / CONTROL).is_socket():  # at once: a client takes a tenth of a second to make
            raise FileNotFoundError(root / CONTROL)
        with short_path(root / CONTROL) as name:
            transport = httpx.AsyncHTTPTransport(uds=name, verify=False)  # no TLS, no roots
            async with httpx.AsyncClient(
                transport=transport, base_url="http://keygrove", timeout=TIMEOUT_S
            ) as client:
                yield client
    except (OSError, httpx.TransportError) as error:
        raise UnavailableError(
            f"no server answers for the data directory {root}: {_advice(root)}"
        ) from error


def body_of(response: httpx.Response, refusal: type[Exception] = UnavailableError) -> bytes:
    """What the server answers.

    Raises:
        refusal: what was asked for cannot be had as it was asked: 409.
        UnavailableError: it cannot be had now.
    """
    if response.status_code == REFUSED:
        raise refusal(response.text.strip())
    if response.status_code != OK:
        raise UnavailableError(f"the server cannot do it now: {response.text.strip()}")
    return response.content


def _advice(root: Path) -> str:
    with suppress(OSError):
        if is_read_only(root):
            return (
                "start one with `keygrove serve`; one that was started on a read-only disk has no "
                "control socket: ask /readyz"
            )
    process = owner_of(root)
    if process is not None and not (root / CONTROL).is_socket():
        return (
            f"process {process} has it, and {CONTROL} is not there, since the disk was read-only "
            "when it started, or it was removed; or it is no server, or just starting: if it is a "
            "server, stop it and start it again"
        )
    return "start one with `keygrove serve`"

"""The real world, as the ports of one node."""

from pathlib import Path

from keygrove.asking import HttpClient, HttpReply, HttpRequest
from keygrove.errors import UnreachableError
from keygrove.ports import Ports, Workers
from keygrove.system.clock import SystemClock, SystemEntropy, ThreadCompute
from keygrove.system.files import SecretFiles
from keygrove.system.process import connections_max, cores
from keygrove.system.server import UvicornServers
from keygrove.system.sqlite import SqliteFiles
from keygrove.system.tcp import TcpStreams
from keygrove.system.volume import DataVolume


def system_ports(data_dir: Path, *, asks_others: bool = False) -> Ports:
    """Ports onto this machine, with all files below `data_dir`.

    Args:
        asks_others: other servers are to be asked by HTTP.
    """
    return Ports(
        clock=SystemClock(),
        entropy=SystemEntropy(),
        databases=SqliteFiles(data_dir),
        volume=DataVolume(data_dir),
        files=SecretFiles(data_dir),
        compute=ThreadCompute(),
        answers=ThreadCompute(),
        servers=UvicornServers(connections_max()),
        streams=TcpStreams(),
        client=_client() if asks_others else _Nobody(),
        workers=Workers(cores()),
    )


def _client() -> HttpClient:
    # It takes some tenths of a second: no program that asks nobody needs it, and no event loop
    # may be held up for it.
    from keygrove.system.outbound import HttpcoreClient  # noqa: PLC0415

    return HttpcoreClient()


class _Nobody:
    """An `HttpClient` of programs that ask no other servers."""

    async def post(self, request: HttpRequest) -> HttpReply:
        """See `asking.HttpClient`."""
        raise UnreachableError(request.url, "this program asks no other servers")

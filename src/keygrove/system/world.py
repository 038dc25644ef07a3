"""The real world, as the ports of one node."""

from pathlib import Path

from keygrove.ports import Ports, Workers
from keygrove.system.clock import SystemClock, SystemEntropy, ThreadCompute
from keygrove.system.files import SecretFiles
from keygrove.system.outbound import HttpxClient
from keygrove.system.process import connections_max, cores
from keygrove.system.server import UvicornServers
from keygrove.system.sqlite import SqliteFiles
from keygrove.system.tcp import TcpStreams
from keygrove.system.volume import DataVolume


def system_ports(data_dir: Path, *, asks_others: bool = False) -> Ports:
    """Ports onto this machine, with all files below `data_dir`.

    Args:
        asks_others: other servers will be asked by HTTP: this takes some tenths of a second.
    """
    client = HttpxClient()
    if asks_others:
        client.prepare()
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
        client=client,
        workers=Workers(cores()),
    )

"""A real Hockeypuck on a PostgreSQL of its own, started by a script beside the repository."""

import os
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.e2e.conftest import Ended, armor, run
from tests.interop.recon.corpus import Cert, written
from tests.interop.recon.ports import free_ports

BESIDE: Final = Path(__file__).parents[4] / "shared" / "peers" / "hockeypuck" / "peer"
SCRIPT: Final = Path(os.environ.get("HOCKEYPUCK_PEER", BESIDE))
POSTGRES: Final = Path("/usr/lib/postgresql")
POSTGRES_ABOVE: Final = 1_000
"""The script has it listen so far above the HTTP port."""
PORT_MAX: Final = 65_535
GOSSIP_S: Final = 3

needs_hockeypuck = pytest.mark.skipif(
    not (SCRIPT.exists() and POSTGRES.exists()),
    reason=f"no {SCRIPT} (HOCKEYPUCK_PEER names another place), or not installed: postgresql",
)


class Hockeypuck:
    """One server, on loopback."""

    def __init__(self, folder: Path, partner_ports: tuple[int, int]) -> None:
        """Begin without a certificate.

        Args:
            folder: made here; the user of PostgreSQL can reach it.
            partner_ports: its recon and its HTTP, on loopback.
        """
        self.http_port, self.recon_port = _ports()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self._folder = folder
        self._partner_ports = partner_ports
        self._keys: Path | None = None
        folder.mkdir()

    def build(self, several: Iterable[Cert]) -> None:
        """Have these certificates at the first start."""
        self._keys = written(several, self._folder / "keys.pgp")

    def start(self, *, gossips: bool) -> None:
        """Start it, the first time or again; it gossips by itself, or answers only."""
        keys = "none" if self._keys is None else self._keys
        gossip = GOSSIP_S if gossips else "off"
        ports = (self.http_port, self.recon_port, *self._partner_ports)
        arguments = [str(one) for one in (*ports, keys, gossip)]
        # Its output goes to a file: what it starts would keep a pipe of ours open.
        with (self._folder / "start.log").open("wb") as log:
            started = subprocess.run(
                [SCRIPT, "start", self._folder, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=120.0,
                check=False,
            )
        assert started.returncode == 0, (self._folder / "start.log").read_text()

    def stop(self) -> None:
        """Stop it, and its PostgreSQL; it can be started again."""
        # As a rule it does not end in order: the script waits ten seconds, and kills it then.
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((self._folder / "hockeypuck.pid").read_text()), signal.SIGKILL)
        assert self._say("stop").status == 0

    def log(self) -> str:
        """What it said since its last start."""
        return (self._folder / "hockeypuck.log").read_text(errors="replace")

    def digests(self) -> set[str]:
        """The digests of what it holds, while it runs."""
        said = self._say("digests")
        assert said.status == 0, said
        return set(said.out.split())

    def add(self, one: Cert) -> None:
        """Submit one."""
        answer = httpx.post(
            f"{self.url}/pks/add", data={"keytext": armor(one.octets)}, timeout=30.0
        )
        assert answer.status_code == 200, answer.text

    def _say(self, verb: str) -> Ended:
        return run([SCRIPT, verb, self._folder])


def _ports() -> tuple[int, int]:
    while True:
        http, recon = free_ports(2)
        if http + POSTGRES_ABOVE <= PORT_MAX and http + POSTGRES_ABOVE != recon:
            return http, recon

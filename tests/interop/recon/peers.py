"""Real servers to reconcile with, started by tests: Debian's `sks`, and a Hockeypuck that is given.

SKS has an address of loopback of its own: it does not gossip with a partner that has the address
of its own host name.
"""

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import httpx

from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.packets import Tag, join, split
from keygrove_protocols.recon.hashquery import BATCH, ResponseDecoder, encode_request
from tests.e2e.conftest import DEBIAN_KEYRING, eventually
from tests.processes import PATIENCE_S

CONVERGE_S = 240.0
"""More than it takes: SKS fetches ten seconds after a session that it accepted."""
OURS, SKS_ADDRESS = "127.0.0.1", "127.0.0.2"


@cache
def debian() -> dict[Digest, bytes]:
    """Certificates of Debian's developers, by their digests."""
    certificates: list[bytearray] = []
    for packet in split(DEBIAN_KEYRING.read_bytes(), BULK):
        if packet.tag == Tag.PUBLIC_KEY:
            certificates.append(bytearray())
        certificates[-1] += join([packet])
    found = {sks_digest(split(bytes(one), BULK)): bytes(one) for one in certificates}
    return dict(sorted(found.items()))


def free_port(address: str) -> int:
    with socket.create_server((address, 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def held(url: str, digests: Iterable[Digest]) -> set[Digest]:
    """Those of the digests that a server gives certificates for."""
    asked = sorted(digests)
    found: set[Digest] = set()
    for at in range(0, len(asked), BATCH):
        some = asked[at : at + BATCH]
        reply = httpx.post(f"{url}/pks/hashquery", content=encode_request(some), timeout=PATIENCE_S)
        assert reply.status_code == 200
        decoder = ResponseDecoder(len(some))
        found |= {sks_digest(split(one, BULK)) for one in decoder.feed(reply.content)}
    return found & set(asked)


class Sks:
    """Debian's `sks`: its database server, and its reconciliation server."""

    def __init__(self, folder: Path, partner: str, certificates: Sequence[bytes]) -> None:
        """Build its databases of these; `partner` is HOST PORT."""
        self.folder = folder
        self.recon = free_port(SKS_ADDRESS)
        self.http = free_port(SKS_ADDRESS)
        self.url = f"http://{SKS_ADDRESS}:{self.http}"
        self._processes: list[subprocess.Popen[bytes]] = []
        for name in ("log", "lib", "spool", "run"):
            (folder / "var" / name / "sks").mkdir(parents=True)
        settings = folder / "etc" / "sks"
        settings.mkdir(parents=True)
        (settings / "membership").write_text(f"{partner}\n")
        (settings / "sksconf").write_text(
            f"hostname: {SKS_ADDRESS}\n"
            f"recon_address: {SKS_ADDRESS}\nrecon_port: {self.recon}\n"
            f"hkp_address: {SKS_ADDRESS}\nhkp_port: {self.http}\n"
            "gossip_interval: 0.1\ndisable_mailsync:\n"
        )
        dump = folder / "dump.pgp"
        dump.write_bytes(b"".join(certificates))
        self._run("build", dump)
        self._run("pbuild")

    def start(self) -> None:
        for verb in ("db", "recon"):
            arguments = ["sks", verb, "-basedir", str(self.folder)]
            with (self.folder / f"{verb}.out").open("ab") as out:
                self._processes.append(
                    subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
                )

        def answers() -> bool:
            with suppress(httpx.TransportError):
                return held(self.url, list(debian())[:1]) is not None
            return False

        eventually(answers)

    def stop(self) -> None:
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
        for process in self._processes:
            process.wait(PATIENCE_S)
        self._processes.clear()

    def held(self) -> set[Digest]:
        return held(self.url, debian())

    def log(self) -> str:
        return (self.folder / "var/log/sks/recon.log").read_text(errors="replace")

    def _run(self, *arguments: str | Path) -> None:
        subprocess.run(
            ["sks", *arguments, "-basedir", str(self.folder)],
            check=True,
            capture_output=True,
            timeout=PATIENCE_S,
        )


class Hockeypuck:
    """A real Hockeypuck, run by the program `peer`."""

    def __init__(self, peer: Path, folder: Path) -> None:
        self._peer = peer
        self._folder = folder
        self.recon = free_port(OURS)
        self.http = free_port(OURS)
        self.url = f"http://{OURS}:{self.http}"

    def start(self, recon: int, http: int, certificates: Sequence[bytes]) -> None:
        """With the partner at these ports, and these certificates at the first start."""
        keys = self._folder.with_suffix(".pgp")
        keys.write_bytes(b"".join(certificates))
        ports = (self.http, self.recon, recon, http)
        self._run("start", *map(str, ports), str(keys) if certificates else "none")

    def stop(self) -> None:
        self._run("stop")

    def digests(self) -> set[Digest]:
        return {Digest(bytes.fromhex(line)) for line in self._run("digests").split()}

    def _run(self, verb: str, *arguments: str) -> str:
        ended = subprocess.run(
            [self._peer, verb, self._folder, *arguments],
            capture_output=True,
            timeout=CONVERGE_S,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr.decode()
        return ended.stdout.decode()


def sks_is_there() -> bool:
    return shutil.which("sks") is not None

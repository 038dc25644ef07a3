"""A real SKS, as Debian has it, in a folder of its own."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import httpx

from keygrove_protocols.openpgp.armor import armor
from tests.e2e.conftest import eventually, run
from tests.interop.recon.corpus import Cert, certs, digests, written
from tests.interop.recon.ports import free_ports

FOLDERS: Final = ("etc/sks", "var/lib/sks/www", "var/log/sks", "var/spool/sks", "var/run/sks")
GOSSIP_MINUTES: Final = 0.005
SMALL: Final = ("-n", "10", "-cache", "20", "-ptree_cache", "20")
STOP_S: Final = 10.0


class Sks:
    """One server. It is on loopback, and its partner is whoever connects from there."""

    def __init__(self, folder: Path, partner_port: int) -> None:
        """Have it ready to be built.

        Args:
            folder: which is made.
            partner_port: the recon port that it connects to.
        """
        self.hkp_port, self.recon_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.hkp_port}"
        self._folder = folder
        self._built: set[str] = set()
        self._processes: list[subprocess.Popen[bytes]] = []
        for name in FOLDERS:
            (folder / name).mkdir(parents=True)
        (folder / "etc/sks/membership").write_text(f"127.0.0.1 {partner_port}\n")

    def build(self, several: Iterable[Cert]) -> None:
        """Have these certificates; before the first start, also if there are none."""
        chosen = list(several)
        keys = written(chosen, self._folder / "keys.pgp")
        self._run("build", keys.name)
        if chosen:  # of nothing it cannot make a tree
            self._run("pbuild")
        self._built = digests(chosen)

    def start(self, *, gossips: bool) -> None:
        """Start it, the first time or again; it gossips by itself, or answers only."""
        settings = [
            # It shuns partners at an address of its own name: this one is nobody's.
            "hostname: 127.0.0.2",
            "recon_address: 127.0.0.1",
            "hkp_address: 127.0.0.1",
            f"recon_port: {self.recon_port}",
            f"hkp_port: {self.hkp_port}",
            f"gossip_interval: {GOSSIP_MINUTES}",
            "disable_mailsync:",
            *([] if gossips else ["dontgossip:"]),
        ]
        (self._folder / "etc/sks/sksconf").write_text("\n".join(settings) + "\n")
        self._begin("db")
        eventually(lambda: "Database opened" in self.log("db"))
        self._begin("recon")
        eventually(lambda: "PTree setup complete" in self.log("recon"))

    def stop(self) -> None:
        """Stop it in order; it can be started again."""
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def log(self, program: str) -> str:
        """What `db` or `recon` said since the first start."""
        return (self._folder / f"{program}.log").read_text(errors="replace")

    def held(self) -> set[str]:
        """The digests that its log says it holds, while it runs."""
        found = set(self._built)
        for verb, digest in re.findall(r"(Adding|Del.ng) hash (\w{32})", self.log("db")):
            (found.add if verb == "Adding" else found.discard)(digest.lower())
        return found

    def digests(self) -> set[str]:
        """The digests of what it holds, while it does not run: of its dump."""
        dumped = self._folder / "dumped"
        shutil.rmtree(dumped, ignore_errors=True)
        dumped.mkdir()
        self._run("dump", "1000000", dumped.name)
        files = dumped.glob("*.pgp")
        return {one.digest for file in files for one in certs(file.read_bytes())}

    def given(self) -> int:
        """How many certificates it gave to others."""
        return sum(int(count) for count in re.findall(r"(\d+) keys found", self.log("db")))

    def add(self, one: Cert) -> None:
        """Submit one."""
        text = armor(one.octets).decode()  # with its checksum, which SKS insists on
        answer = httpx.post(f"{self.url}/pks/add", data={"keytext": text}, timeout=30.0)
        assert answer.status_code == 200, answer.text

    def _run(self, verb: str, *arguments: str) -> None:
        ended = run(["env", "-C", self._folder, "sks", verb, *arguments, *SMALL, "-basedir", "."])
        assert ended.status == 0, ended

    def _begin(self, program: str) -> None:
        # By the folder's name the paths of its sockets would be too long for the system.
        command = ["setpriv", "--pdeathsig", "KILL", "sks", program]
        with (self._folder / f"{program}.log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    [*command, "-basedir", ".", "-stdoutlog"],
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )

"""A real SKS that serves a set of digests without the certificates they are of.

Its recon reads them from a database of prefix tree nodes, which is written here as it would itself,
by `db_load`, for a tree has the same nodes in both programs. What it would fetch afterwards is
nowhere to be had, and it passes over that.

    key     u32 bits of the node's name ‖ its octets
    value   u32 digests ‖ the key ‖ 6 values ‖ u8 whether it is a leaf ‖ of a leaf, its elements
    ff ff ff ff     u32 values of a node ‖ u32 split ‖ u32 join ‖ u8 bits of a level ‖ points
    ff ff ff fe     seconds since 1970, a double: up to when the log of certificates is in it

Source: sks-keyserver, prefixTree.ml (`marshal_node`, `marshal_header`).
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import create_server
from struct import pack
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from keygrove_bench.storage.worker import NotRunError
from keygrove_protocols.recon.field import DIGEST_BYTES, MBAR, POINTS, encode
from keygrove_protocols.recon.prefix import BITQUANTUM, ROOT, Prefix
from keygrove_protocols.recon.tree import JOIN, SPLIT, Inner, Leaf, Tree

FOLDERS: Final = ("etc/sks", "var/lib/sks/www", "var/lib/sks/PTree", "var/log/sks", "var/run/sks")
SMALL: Final = ("-n", "10", "-cache", "20", "-ptree_cache", "20")
GOSSIP_MINUTES: Final = 0.02
START_S: Final = 60.0
LOOK_S: Final = 0.05
_HEADER: Final = b"\xff\xff\xff\xff"
_SYNCED: Final = b"\xff\xff\xff\xfe"


class Serving(msgspec.Struct, frozen=True):
    """One that runs, on loopback."""

    port: int
    pid: int

    def cpu_ms(self) -> float:
        """Processor time that its recon has taken so far."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e6


@contextmanager
def serving(tree: Tree, gossips_to: int | None = None) -> Generator[Serving, None, None]:
    """Have one with the digests of a tree while the block runs.

    Args:
        gossips_to: the port on loopback where it begins sessions about each second; None: it does
            not, and who connects from there may begin them.

    Raises:
        NotRunError: a program for it is not installed.
    """
    for program, package in (("sks", "sks"), ("db_load", "db-util")):
        if shutil.which(program) is None:
            raise NotRunError(f"{program} is not installed: apt-get install {package}")
    with TemporaryDirectory(prefix="keygrove-bench-") as name, ExitStack() as started:
        folder = Path(name)
        ports = _free_ports()
        _prepare(folder, tree, ports, gossips_to)
        _start(folder, "db", "Database opened", started)
        pid = _start(folder, "recon", "PTree setup complete", started)
        yield Serving(ports[0], pid)


def _free_ports() -> tuple[int, int]:
    with create_server(("127.0.0.1", 0)) as one, create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


def _prepare(folder: Path, tree: Tree, ports: tuple[int, int], gossips_to: int | None) -> None:
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    (folder / "etc/sks/membership").write_text(f"127.0.0.1 {gossips_to or 11370}\n")
    settings = ["hostname: 127.0.0.2", "recon_address: 127.0.0.1", "hkp_address: 127.0.0.1"]
    settings += [f"recon_port: {ports[0]}", f"hkp_port: {ports[1]}"]
    settings.append("disable_mailsync:")
    settings.append("dontgossip:" if gossips_to is None else f"gossip_interval: {GOSSIP_MINUTES}")
    (folder / "etc/sks/sksconf").write_text("\n".join(settings) + "\n")
    (folder / "none.pgp").touch()
    _run(folder, "sks", "build", "none.pgp", *SMALL, "-basedir", ".")
    with (folder / "nodes").open("w") as nodes:
        nodes.write("VERSION=3\nformat=bytevalue\ntype=btree\nHEADER=END\n")
        for key, value in sorted(_records(tree)):
            nodes.write(f" {key.hex()}\n {value.hex()}\n")
        nodes.write("DATA=END\n")
    _run(folder, "db_load", "-f", "nodes", "var/lib/sks/PTree/ptree")


def _run(folder: Path, *command: str) -> None:
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{command[0]} failed:\n{ran.stderr}")


def _start(folder: Path, program: str, said: str, started: ExitStack) -> int:
    """Start one of its two programs, and wait until it says that it is up."""
    log = folder / f"{program}.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            ["sks", program, "-basedir", ".", "-stdoutlog"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
        )
    started.callback(process.wait)
    started.callback(process.kill)
    ends_at = time.monotonic() + START_S
    while said not in log.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > ends_at:
            raise SystemExit(f"sks {program} did not start:\n{log.read_text(errors='replace')}")
        time.sleep(LOOK_S)
    return process.pid


def _records(tree: Tree) -> Iterator[tuple[bytes, bytes]]:
    todo: list[tuple[Leaf | Inner, Prefix]] = [(tree.root, ROOT)]
    while todo:
        node, prefix = todo.pop()
        key = pack(">I", prefix.length) + prefix.octets
        is_leaf = isinstance(node, Leaf)
        value = pack(">I", node.size) + key + node.values + bytes([is_leaf])
        if isinstance(node, Leaf):
            starts = range(0, len(node.packed), DIGEST_BYTES)
            elements = b"".join(node.packed[at : at + DIGEST_BYTES] + b"\0" for at in starts)
            yield key, value + pack(">I", node.size) + elements
        else:
            yield key, value
            todo += zip(node.children, prefix.children(), strict=True)
    yield _SYNCED, pack(">d", time.time())
    head = pack(">IIIB", MBAR + 1, SPLIT, JOIN, BITQUANTUM)
    yield _HEADER, head + b"".join(map(encode, POINTS))

"""One measurement of `ingest`, in a process of its own: what it took, as a line of JSON."""

import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
from click.testing import CliRunner

from keygrove.cli.main import main as keygrove
from keygrove.ingest.steps import look_into_dump
from keygrove.storage.candidate import Candidate
from keygrove_chaos.certificates import binary, large, made
from keygrove_chaos.signing import Signer
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.certificate import Certificate, Component, canonical
from keygrove_protocols.openpgp.findings import unite
from keygrove_protocols.openpgp.packets import CertificateSplitter
from keygrove_protocols.openpgp.policy import VERIFIED
from keygrove_protocols.openpgp.rules import keep
from keygrove_protocols.openpgp.verification import verify

SAMPLE_S = 0.02
PIECE_BYTES = 1 << 20
CHUNKS = 64
PROCESSES = 2
LARGE_SIGNATURES = 10_000
LARGE_BYTES = 250_000


class Measured(msgspec.Struct, frozen=True):
    """What something took."""

    cpu_s: float
    """Of this process and of those that it started."""
    wall_s: float
    memory_mib: float = 0.0
    """The most at once."""


class _Memory:
    """Looks now and then how much all processes of ours hold."""

    def __init__(self) -> None:
        self.most_kib = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "_Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(SAMPLE_S):
            held = sum(map(_held_kib, [Path("/proc/self"), *_descendants("self")]))
            self.most_kib = max(self.most_kib, held)


def _descendants(process: str) -> list[Path]:
    found: list[Path] = []
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            names = children.read_text().split()
        except OSError:
            continue  # it has just ended
        for name in names:
            found += [Path("/proc") / name, *_descendants(name)]
    return found


def _held_kib(process: Path) -> int:
    """Its share of memory: a page that two processes hold counts half for each."""
    try:
        lines = (process / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it has just ended
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _cpu_s() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def _measured(work: Callable[[], object], *, with_memory: bool = False) -> Measured:
    memory = _Memory()
    cpu, wall = _cpu_s(), perf_counter()
    if with_memory:
        with memory:
            work()
    else:
        work()
    return Measured(_cpu_s() - cpu, perf_counter() - wall, round(memory.most_kib / 1024, 1))


def _cut(file: Path) -> list[bytes]:
    splitter = CertificateSplitter(BULK)
    data = file.read_bytes()
    found = [
        cut.octets
        for at in range(0, len(data), PIECE_BYTES)
        for cut in splitter.feed(data[at : at + PIECE_BYTES])
    ]
    return found + [cut.octets for cut in splitter.close()]


def _library(file: Path) -> None:
    found = look_into_dump(_cut(file), VERIFIED)
    assert all(isinstance(one, Candidate) for one in found.ones)


def _look(certificates: list[bytes]) -> int:
    return len(look_into_dump(certificates, VERIFIED).ones)


def _workers(file: Path) -> None:
    certificates = _cut(file)
    step = len(certificates) // CHUNKS + 1
    chunks = [certificates[at : at + step] for at in range(0, len(certificates), step)]
    with get_context("fork").Pool(PROCESSES) as pool:
        assert sum(pool.imap_unordered(_look, chunks)) == len(certificates)


def _load(data: Path, file: Path) -> None:
    done = CliRunner().invoke(keygrove, ["load", "--data", str(data), str(file)])
    assert done.exit_code == 0, done.output


def _make(file: Path, size: int) -> None:
    with file.open("wb") as out:
        number = 0
        while out.tell() < size:
            out.write(binary([large(number, LARGE_BYTES)]))
            number += 1


def _merge() -> Callable[[], object]:
    few = made(1, "Alice")
    (name,) = few.components
    signer = Signer(2)
    some = tuple(
        signer.sign(0x10, few.primary, name.packet, created=at) for at in range(LARGE_SIGNATURES)
    )
    held = verify(canonical(Certificate(few.primary, (), (Component(name.packet, some),))))
    other = verify(made(1, "Alice", "Alicia"))

    def merge() -> Certificate:
        return keep(unite([held, other]), VERIFIED).findings.certificate()

    return merge


def _pysequoia(file: Path) -> None:
    from pysequoia import Cert  # noqa: PLC0415 - a peer that need not be there

    assert Cert.split_bytes(file.read_bytes())


def _pgpy(file: Path) -> None:
    pgpy: Any = import_module("pgpy")  # it has no types, and gives up on RIPEMD-160 in `verify`
    for octets in _cut(file):
        pgpy.PGPKey.from_blob(octets)


def _gpg(home: Path, file: Path) -> None:
    home.mkdir(mode=0o700)
    command = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--import", str(file)]
    subprocess.run(command, check=False, capture_output=True)


def _chosen(what: str, arguments: Sequence[str]) -> Callable[[], object]:
    """What is to be measured; its arguments are those of the command line."""
    paths = [Path(one) for one in arguments]
    if what == "merge":
        return _merge()
    if what == "make":
        return partial(_make, paths[0], int(arguments[1]))
    return partial(_WORKS[what], *paths)


_WORKS: dict[str, Callable[..., None]] = {
    "library": _library,
    "workers": _workers,
    "load": _load,
    "pysequoia": _pysequoia,
    "pgpy": _pgpy,
    "gpg": _gpg,
}


if __name__ == "__main__":
    work = _chosen(sys.argv[1], sys.argv[2:])
    measured = _measured(work, with_memory=sys.argv[1] == "load")
    sys.stdout.buffer.write(msgspec.json.encode(measured) + b"\n")

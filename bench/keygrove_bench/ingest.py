"""Taking in Debian's keyring: processor time, wall time and memory, beside other programs.

The library is measured in a process of its own, and so is each load, with all processes that
it starts: processor time is summed over them, the start of the first interpreter aside; memory
is the most that all held at once, shared pages counted once. The peer `rsa4096_per_s` says how
fast the machine's arithmetic is, which is half of the work.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from keygrove_bench.arithmetic import rsa4096_per_s
from keygrove_bench.ingest_run import LARGE_SIGNATURES, Measured
from keygrove_bench.report import Report, Row, aimed, load_average, report, row

KEYRING = Path("/usr/share/keyrings/debian-keyring.gpg")
ROUNDS = 5
PEER_ROUNDS = 2
TIMES = 10
"""A file of so many times the keyring's size takes no more memory."""
RUN_S = 300
PEER = "rsa4096_per_s"


def measure(*, quick: bool = False) -> Report:
    """All in turn, round after round."""
    if not KEYRING.exists():
        raise SystemExit("debian-keyring is not installed: apt-get install debian-keyring")
    load = load_average()
    rounds = 1 if quick else ROUNDS
    with TemporaryDirectory() as name:
        folder = Path(name)
        rates = [rsa4096_per_s() for _ in range(rounds)]
        library = [_run("library", KEYRING) for _ in range(rounds)]
        workers = [_run("workers", KEYRING) for _ in range(rounds)]
        first, again = _loads(folder, rounds)
        merges = [_run("merge") for _ in range(rounds)]
        many = _many(folder, 1 if quick else TIMES)
        peers = _peers(folder, 1 if quick else PEER_ROUNDS)
    rate = {PEER: round(sum(rates) / len(rates))}
    cpu, wall = peers
    flat = [many.memory_mib / max(one.memory_mib for one in first)]
    results: list[Row] = [
        aimed(
            row(
                ("B1", "parse, verify, plausibility, policy, digest: one process"),
                [one.cpu_s for one in library],
                "CPU s",
                rate | cpu,
            ),
            1.8,
            is_limit=True,
        ),
        aimed(
            row(
                ("B2", "load into a store, with its index"),
                [one.wall_s for one in first],
                "s",
                {"hockeypuck, elsewhere": 17.6} | wall,
            ),
            1.5,
            is_limit=True,
        ),
        row(("B2-cpu", "the same, of all processes"), [one.cpu_s for one in first], "CPU s", cpu),
        aimed(
            row(
                ("B3", "as B1, by two processes, their start included"),
                [one.wall_s for one in workers],
                "s",
                rate,
            ),
            0.9,
            is_limit=True,
        ),
        aimed(
            row(
                ("known", "load of the same file again"), [one.cpu_s for one in again], "CPU s", {}
            ),
            0.25,
            is_limit=True,
        ),
        aimed(
            row(
                ("memory", "of all processes of the load"),
                [one.memory_mib for one in first],
                "MiB",
                {},
            ),
            350,
            is_limit=True,
        ),
        aimed(
            row(
                ("memory-flat", f"of a file of {TIMES} times the size, by that"), flat, "ratio", {}
            ),
            1.1,
            is_limit=True,
        ),
        aimed(
            row(
                ("merge", f"of a certificate with {LARGE_SIGNATURES:,} signatures with one more"),
                [one.cpu_s * 1000 for one in merges],
                "ms",
                {},
            ),
            50,
            is_limit=True,
        ),
    ]
    versions = {name: version(name) for name in ("cryptography", "pysequoia", "pgpy")}
    return report("ingest", results, versions | {"gpg": _gpg_version()}, load)


def _run(what: str, *arguments: str | Path) -> Measured:
    """One measurement in a process of its own."""
    command = [sys.executable, "-m", "keygrove_bench.ingest_run", what, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=RUN_S, check=False)
    if done.returncode:
        last = done.stderr.decode().strip().rpartition("\n")[2]
        raise SystemExit(f"{what} failed: {last}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Measured)


def _loads(folder: Path, rounds: int) -> tuple[list[Measured], list[Measured]]:
    first: list[Measured] = []
    again: list[Measured] = []
    for at in range(rounds):
        data = folder / f"data-{at}"
        first.append(_run("load", data, KEYRING))
        again.append(_run("load", data, KEYRING))
        shutil.rmtree(data)
    return first, again


def _many(folder: Path, times: int) -> Measured:
    """A load of as many octets as so many keyrings, of certificates that are all different."""
    file = folder / "many.pgp"
    _run("make", file, str(KEYRING.stat().st_size * times))
    measured = _run("load", folder / "data-many", file)
    file.unlink()
    return measured


def _peers(folder: Path, rounds: int) -> tuple[dict[str, float | str], dict[str, float | str]]:
    """What other programs take to read the keyring: processor time, and wall time."""
    cpu: dict[str, float | str] = {}
    wall: dict[str, float | str] = {}
    runs: dict[str, Callable[[int], Measured]] = {
        "pysequoia": lambda _: _run("pysequoia", KEYRING),
        "pgpy, reading only": lambda _: _run("pgpy", KEYRING),
        "gpg --import": lambda at: _run("gpg", folder / f"gnupg-{at}", KEYRING),
    }
    for name, run in runs.items():
        try:
            found = [run(at) for at in range(rounds)]
        except SystemExit as error:
            cpu[name] = wall[name] = str(error)
            continue
        cpu[name] = round(min(one.cpu_s for one in found), 2)
        wall[name] = round(min(one.wall_s for one in found), 2)
    return cpu, wall


def _gpg_version() -> str:
    if shutil.which("gpg") is None:
        return "none"
    told = subprocess.run(["gpg", "--version"], capture_output=True, text=True, check=False)
    return told.stdout.splitlines()[0].rpartition(" ")[2]

"""Lookups per second over HTTP, beside the ASGI server alone with a body of the same size.

The ratio says what everything above the server costs: parsing the query, admission, the
actor call, the cache, headers, the log line (to a file) and the metrics.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx

from keygrove_bench.report import Report, Row, load_average, report, row
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.armor import armor, dearmor
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint, group, to_bytes
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.packets import split

ROUNDS = 3
SECONDS = 4
CONNECTIONS = 16
KEYRING = Path("/usr/share/keyrings/debian-keyring.gpg")
PEER = "uvicorn"
START_S = 30

_SMALL = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----

xjMEawDz6xYJKwYBBAHaRw8BAQdA1IelDGl6g3d67cGXZIRPVxTJAfsZkZJR9Zmw
83K83ajNGlVzZXIgMCA8dXNlcjBAZXhhbXBsZS5vcmc+wn4EExYIACYFAmsA8+sC
GwMCFQgCHgEWIQSORR/jfzTpeyxdaLRnwfMEsXhmDgAKCRBnwfMEsXhmDvCuAP9i
i2xh/flFm1OqmBTwOaZVmcHt142vsJf7nAt4C1vDQAD/WKqKdkIb9sfD1JBtPi0P
AYa+DHOdehcA33wLTbtVQQ8=
=6QNd
-----END PGP PUBLIC KEY BLOCK-----
"""
"""An Ed25519 certificate with one user ID, made by PGPy."""


def measure() -> Report:
    """Run wrk on both servers in turn, for a small certificate and for a usual one."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    load = load_average()
    versions = {"uvicorn": version("uvicorn"), "uvloop": version("uvloop"), "wrk": _wrk_version()}
    results: list[Row] = []
    for name, certificate in _certificates().items():
        results += _compare(name, certificate)
    return report("lookup", results, versions, load)


def _compare(name: str, certificate: bytes) -> list[Row]:
    """One certificate, asked for by fingerprint, again and again."""
    size = len(armor(certificate))
    words = f"lookups of one certificate of {size} octets armored"
    with ExitStack() as opened:
        folder = Path(opened.enter_context(TemporaryDirectory()))
        serve = ("keygrove", "serve", "--data", f"{folder}/data", "--listen", "127.0.0.1:0")
        ours = opened.enter_context(_started(folder, *serve))
        bare = opened.enter_context(
            _started(folder, "python", "-m", "keygrove_bench.bare", str(size))
        )
        httpx.post(f"{ours}/pks/add", data={"keytext": armor(certificate).decode()})
        path = f"/pks/lookup?op=get&search=0x{_name(certificate).hex()}"
        assert len(httpx.get(ours + path).content) == size, "the certificate is not served"
        rates: list[float] = []
        peers: list[float] = []
        for _ in range(ROUNDS):
            rates.append(_wrk(ours + path))
            peers.append(_wrk(bare + path))
    ratios = [mine / other for mine, other in zip(rates, peers, strict=True)]
    return [
        row((f"lookup-{name}", words), rates, "1/s", {PEER: round(median(peers), 1)}),
        row((f"lookup-{name}-ratio", "the same, of the bare server's"), ratios, "ratio", {PEER: 1}),
    ]


def _certificates() -> dict[str, bytes]:
    """A small one, made up (nothing is verified on a lookup), and the keyring's median one."""
    found = {"small": _small()}
    if KEYRING.exists():
        read = group(split(KEYRING.read_bytes(), BULK), BULK)
        sizes = sorted((to_bytes(one) for one in read if isinstance(one, Certificate)), key=len)
        found["median"] = sizes[len(sizes) // 2]
    return found


def _small() -> bytes:
    return dearmor(_SMALL.encode(), BULK).data


def _name(certificate: bytes) -> Fingerprint:
    (one,) = group(split(certificate, BULK), BULK)
    assert isinstance(one, Certificate)
    return fingerprint(one)


@contextmanager
def _started(folder: Path, *command: str) -> Generator[str, None, None]:
    """A server, and the address that it prints first."""
    environment = {"KEYGROVE_METRICS__LISTEN": "", "PATH": str(Path(sys.executable).parent)}
    with (
        (folder / "log").open("ab") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        ) as server,
    ):
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            found = re.search(r"http://\S+", line)
            if found is None:
                raise SystemExit(f"{command[0]} did not start; it said: {line!r}")
            yield found[0]
        finally:
            server.terminate()


def _wrk(url: str) -> float:
    """Requests per second."""
    told = subprocess.run(
        ["wrk", "--threads=1", f"--connections={CONNECTIONS}", f"--duration={SECONDS}s", url],
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS + START_S,
    ).stdout
    if "Non-2xx" in told:
        raise SystemExit(f"{url} answered with errors:\n{told}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", told)
    assert found is not None, told
    return float(found[1])


def _wrk_version() -> str:
    told = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    return told.stdout.split("[")[0].replace("wrk", "").strip()

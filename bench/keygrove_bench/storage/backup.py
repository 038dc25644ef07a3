"""S-09: how fast a backup is, and what those who read meanwhile notice of it.

A server of its own process holds certificates with random bodies; one client asks for one of them
after the other, once alone and then while the installed command makes a backup beside the server.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from hashlib import md5, sha1
from pathlib import Path
from random import Random
from statistics import quantiles
from threading import Event, Thread
from time import perf_counter, sleep
from typing import Final, Self

import anyio
import httpx
import msgspec

from keygrove.cluster.placement import Placement
from keygrove.storage.opening import Home, open_store
from keygrove.storage.write import Cause, Put
from keygrove.system.heaps import size
from keygrove.system.sqlite import SqliteFiles
from keygrove_bench.report import Row, aimed, row
from keygrove_chaos.certificates import made, put_of
from keygrove_protocols.openpgp.keys import Digest, Fingerprint

KEYS: Final = 50_000
FEW: Final = 1_000
OCTETS: Final = 12_000
"""Of a user ID that nothing compresses: so certificates are as large as Debian's median one."""
SHARDS: Final = 4
BATCH: Final = 256
ROUNDS: Final = 3
ALONE_S: Final = 5.0
PAUSE_S: Final = 0.002
"""Between two reads."""
LOOK_S: Final = 0.1
AT: Final = 1_750_000_000
_CERTIFICATE: Final = put_of(made(0)).packets
GOAL_MB_S: Final = 200
GOAL_RATIO: Final = 1.25


def rows(folder: Path, *, quick: bool = False) -> list[Row]:
    """Measure, on the disk of `folder`."""
    data, target = folder / "data", folder / "backup"
    names = anyio.run(_fill, data, FEW if quick else KEYS)
    rates: list[float] = []
    alone: list[float] = []
    meanwhile: list[float] = []
    ratios: list[float] = []
    restores: list[float] = []
    octets = 0.0
    with _served(data) as url:
        for _ in range(1 if quick else ROUNDS):
            shutil.rmtree(target, ignore_errors=True)
            with _Reader(url, names) as reader:
                sleep(ALONE_S / 10 if quick else ALONE_S)
            alone.append(reader.p99_ms())
            with _Reader(url, names) as reader:
                octets = size(data) / 1e6
                rates.append(octets / _run("backup", data, target))
            meanwhile.append(reader.p99_ms())
            ratios.append(meanwhile[-1] / alone[-1])
    for _ in rates:
        restores.append(octets / _run("restore", folder / "restored", target))
        shutil.rmtree(folder / "restored")
    what = f"of {len(names):,} certificates, {octets:,.0f} MB"
    return [
        aimed(row(("S-09-backup", f"backup {what}, checked"), rates, "MB/s", {}), GOAL_MB_S),
        aimed(
            row(("S-09-reads", "p99 of reads meanwhile, of that alone"), ratios, "ratio", {}),
            GOAL_RATIO,
            is_limit=True,
        ),
        row(("S-09-alone", "p99 of reads alone"), alone, "ms", {}),
        row(("S-09-meanwhile", "p99 of reads meanwhile"), meanwhile, "ms", {}),
        row(("S-09-restore", f"restore {what}, checked"), restores, "MB/s", {}),
    ]


async def _fill(data: Path, keys: int) -> list[Fingerprint]:
    """So many certificates, in as many shards as a server has."""
    files, turns, placement = SqliteFiles(data), anyio.Semaphore(1), Placement(SHARDS)
    puts = [_put(number) for number in range(keys)]
    for shard in range(SHARDS):
        home = Home(f"shard-{shard}", f"{shard}/{SHARDS}", bytes([shard]) * 16)
        own = [put for put in puts if placement.shard(put.fingerprint) == shard]
        async with open_store(files, home, turns, durable=False) as opening:
            store = await opening.finish()
            for start in range(0, len(own), BATCH):
                await store.commit([_filled(put) for put in own[start : start + BATCH]])
                await store.settle()
    return [put.fingerprint for put in puts]


def _put(number: int) -> Put:
    """One more with the same key: here nobody looks whose it is."""
    name = Fingerprint(sha1(number.to_bytes(8), usedforsecurity=False).digest())
    return Put(name, Digest(bytes(16)), b"", frozenset(), frozenset(), Cause.LOAD, AT)


def _filled(put: Put) -> Put:
    noise = Random(put.fingerprint).randbytes(OCTETS)
    body = _CERTIFICATE + b"\xcd\xff" + OCTETS.to_bytes(4) + noise
    digest = Digest(md5(body, usedforsecurity=False).digest())
    return msgspec.structs.replace(put, packets=body, digest=digest, sks_digest=digest)


def _run(verb: str, data: Path, folder: Path) -> float:
    """Seconds that the command takes."""
    begun = perf_counter()
    subprocess.run([_command(), verb, "--data", data, folder], capture_output=True, check=True)
    return perf_counter() - begun


def _command() -> Path:
    return Path(sys.executable).with_name("keygrove")


@contextmanager
def _served(data: Path) -> Generator[str, None, None]:
    """The address of a server on that directory, once its store is up."""
    environment = {"KEYGROVE_METRICS__LISTEN": "127.0.0.1:0", "KEYGROVE_STORAGE__CACHE_BYTES": "0"}
    arguments: list[str | Path] = [_command(), "serve", "--data", data, "--listen", "127.0.0.1:0"]
    with (
        (data / "log").open("wb") as log,
        subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        ) as server,
    ):
        try:
            assert server.stdout is not None
            found = re.search(r"http://\S+", server.stdout.readline())
            if found is None:
                raise SystemExit(f"the server did not start: {(data / 'log').read_text()}")
            while httpx.get(f"{found[0]}/pks/stats?options=json").status_code != 200:
                sleep(LOOK_S)
            yield found[0]
        finally:
            server.terminate()


class _Reader:
    """A client that asks for one certificate after the other, for as long as the block runs."""

    def __init__(self, url: str, names: Sequence[Fingerprint]) -> None:
        self._url = url
        self._names = names
        self._is_over = Event()
        self._thread = Thread(target=self._read)
        self._took: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def p99_ms(self) -> float:
        """Milliseconds within which 99 of 100 answers came."""
        return 1e3 * quantiles(self._took, n=100)[98]

    def _read(self) -> None:
        random = Random(0)
        with httpx.Client(base_url=self._url) as client:
            while not self._is_over.is_set():
                path = f"/pks/lookup?op=get&options=mr&search=0x{random.choice(self._names).hex()}"
                begun = perf_counter()
                answer = client.get(path)
                self._took.append(perf_counter() - begun)
                assert answer.status_code == 200, answer.text
                sleep(PAUSE_S)

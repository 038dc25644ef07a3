"""What coding saves, and what it costs: small certificates, former versions, and a put.

Figures are of one process and vary with what else the machine does: compare those of one run.
"""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Final

import anyio
import msgspec
from msgspec.structs import replace

from keygrove.storage import coding
from keygrove.storage.coding import SMALL_BYTES, Dictionary
from keygrove.storage.opening import Home, open_store
from keygrove.storage.sqlite import SqliteStore
from keygrove.storage.write import Put
from keygrove.system.sqlite import SqliteFiles
from keygrove_bench.report import Row, row
from keygrove_chaos.certificates import made, put_of
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.certificate import Certificate, group, to_bytes
from keygrove_protocols.openpgp.packets import split

KEYRING: Final = Path("/usr/share/keyrings/debian-keyring.gpg")
FRESH: Final = 2_000
DELTAS: Final = 300
BATCH: Final = 256
ROUNDS: Final = 5
NO_KEYRING: Final = f"not without {KEYRING} (apt-get install debian-keyring), nor quickly"
HOSTS: Final = ("example.org", "mail.example", "posteo.example", "uni.example", "company.example")


class Small(msgspec.Struct, frozen=True):
    """Certificates below 2,048 octets, half of them to train with, half held out."""

    certificates: int
    octets: float
    """Of one, before it is coded."""
    ratio: float
    """Plain to stored, of those held out."""
    encode_us: float
    decode_us: float
    train_s: float


class Deltas(msgspec.Struct, frozen=True):
    """Certificates without their last third-party signature, by those with it."""

    certificates: int
    octets: float
    coded_octets: float
    ratio: float
    encode_us: float
    decode_us: float


class Puts(msgspec.Struct, frozen=True):
    """Certificates committed in batches, as they are and coded."""

    batch: int
    plain_cpu_us: float
    """A certificate, median of batches, of all threads."""
    coded_cpu_us: float
    plain_octets: float
    coded_octets: float


def rows(folder: Path, *, quick: bool = False) -> list[Row]:
    """Measure, on the disk of `folder`."""
    fresh = _fresh(0, FRESH)
    keyring = [] if quick else _keyring()
    octets = [to_bytes(one) for one in keyring]
    puts = anyio.run(_puts, fresh, folder)
    plain = {"plain": puts.plain_cpu_us}
    return [
        *_small_rows("new", "new certificates", _small([one.packets for one in fresh])),
        *_small_rows(
            "debian",
            "small ones of Debian's keyring",
            _small([one for one in octets if len(one) < SMALL_BYTES]),
        ),
        *_delta_rows(_deltas(keyring) if keyring else None),
        row(("coding-put", "a put in batches, coded, of a core"), [puts.coded_cpu_us], "µs", plain),
        row(
            ("coding-put-size", "what is written of it"),
            [puts.coded_octets],
            "octets",
            {"plain": puts.plain_octets},
        ),
    ]


def _small_rows(name: str, words: str, found: Small | None) -> list[Row]:
    if found is None:
        return [row((f"coding-{name}", words), "too few of them here", "", {})]
    return [
        row((f"coding-{name}", f"{words}, plain to stored"), [found.ratio], "times", {}),
        row((f"coding-{name}-encode", "one of them"), [found.encode_us], "µs", {}),
        row((f"coding-{name}-decode", "the same back"), [found.decode_us], "µs", {}),
        row((f"coding-{name}-train", "a dictionary of theirs"), [found.train_s], "s", {}),
    ]


def _delta_rows(found: Deltas | None) -> list[Row]:
    words = "former versions, plain to stored"
    if found is None:
        return [row(("coding-delta", words), NO_KEYRING, "", {})]
    return [
        row(("coding-delta", words), [found.ratio], "times", {}),
        row(("coding-delta-encode", "one of them"), [found.encode_us], "µs", {}),
        row(("coding-delta-decode", "the same back"), [found.decode_us], "µs", {}),
    ]


def _fresh(first: int, number: int) -> list[Put]:
    """Ed25519 certificates with a user ID and a subkey, as clients make them."""
    return [
        put_of(
            made(n, f"Person {n * 7919 % 9973} <p{n * 31}@{HOSTS[n % 5]}>", subkeys=(500_000 + n,))
        )
        for n in range(first, first + number)
    ]


def _keyring() -> list[Certificate]:
    if not KEYRING.exists():
        return []
    read = group(split(KEYRING.read_bytes(), BULK), BULK)
    return [one for one in read if isinstance(one, Certificate)]


def _small(values: Sequence[bytes]) -> Small | None:
    """None if these are too few to have anything in common."""
    train, held_out = values[::2], values[1::2]
    begun = time.perf_counter()
    known = coding.train(train)
    train_s = time.perf_counter() - begun
    if known is None:
        return None
    coded = [(one, known.encode(one)) for one in held_out]
    paid = [(one, small) for one, small in coded if small is not None]
    return Small(
        certificates=len(values),
        octets=sum(map(len, values)) / len(values),
        ratio=1 / coding.share(held_out, known),
        encode_us=_us([_encoding(known, one) for one in held_out]),
        decode_us=_us([_decoding(known, small, len(one)) for one, small in paid]),
        train_s=train_s,
    )


def _encoding(known: Dictionary, value: bytes) -> Callable[[], object]:
    return lambda: known.encode(value)


def _decoding(known: Dictionary, coded: bytes, size: int) -> Callable[[], object]:
    return lambda: known.decode(coded, size)


def _us(works: Sequence[Callable[[], object]]) -> float:
    """Of one of them, the median of rounds."""
    rounds: list[float] = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for work in works:
            work()
        rounds.append((time.perf_counter() - begun) * 1e6 / max(1, len(works)))
    return median(rounds)


def _deltas(keyring: Sequence[Certificate]) -> Deltas:
    pairs = [
        (to_bytes(former), to_bytes(one)) for one in keyring if (former := _former(one)) is not None
    ][:DELTAS]
    coded = [(old, new, coding.encode_delta(old, new)) for old, new in pairs]
    paid = [(old, new, delta) for old, new, delta in coded if delta is not None]
    octets, left = sum(len(old) for old, _, _ in coded), sum(len(d or o) for o, _, d in coded)
    return Deltas(
        certificates=len(pairs),
        octets=octets / len(pairs),
        coded_octets=left / len(pairs),
        ratio=octets / left,
        encode_us=_us([_to_delta(old, new) for old, new in pairs]),
        decode_us=_us([_of_delta(delta, new, len(old)) for old, new, delta in paid]),
    )


def _former(certificate: Certificate) -> Certificate | None:
    """Without the last signature of a user ID that has several."""
    for at, component in enumerate(certificate.components):
        if len(component.signatures) > 1:
            less = replace(component, signatures=component.signatures[:-1])
            components = (*certificate.components[:at], less, *certificate.components[at + 1 :])
            return replace(certificate, components=components)
    return None


def _to_delta(old: bytes, new: bytes) -> Callable[[], object]:
    return lambda: coding.encode_delta(old, new)


def _of_delta(delta: bytes, new: bytes, size: int) -> Callable[[], object]:
    return lambda: coding.decode_delta(delta, new, size)


async def _puts(fresh: Sequence[Put], folder: Path) -> Puts:
    """The same certificates into two stores, batch by batch, of which one has a dictionary."""
    others, plain, coded = _fresh(FRESH, FRESH), list[float](), list[float]()
    files = SqliteFiles(folder)
    async with _store(files, "shard-0") as bare, _store(files, "shard-1") as small:
        for store in (bare, small):
            await store.commit(fresh)
            await store.settle()
        await small.compact_once()
        before = small.savings()
        for at in range(0, len(others), BATCH):
            part = others[at : at + BATCH]
            plain.append(await _commit(bare, part))
            coded.append(await _commit(small, part))
        after = small.savings()
    return Puts(
        batch=BATCH,
        plain_cpu_us=median(plain),
        coded_cpu_us=median(coded),
        plain_octets=(after.plain_bytes - before.plain_bytes) / len(others),
        coded_octets=(after.stored_bytes - before.stored_bytes) / len(others),
    )


@asynccontextmanager
async def _store(files: SqliteFiles, folder: str) -> AsyncGenerator[SqliteStore, None]:
    home, turns = Home(folder, "0/1", bytes(16)), anyio.Semaphore(1)
    async with open_store(files, home, turns, durable=True) as opening:
        yield await opening.finish()


async def _commit(store: SqliteStore, puts: Sequence[Put]) -> float:
    """Microseconds of the processor for each: what coding costs, whatever the disk does."""
    begun = time.process_time()
    await store.commit(puts)
    return (time.process_time() - begun) * 1e6 / len(puts)

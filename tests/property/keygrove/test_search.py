"""Whatever is looked for, the index finds what a look at every certificate finds."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from random import Random

import anyio
import pytest
from hypothesis import settings

from keygrove.storage.derive import digest_terms
from keygrove.storage.opening import Home, open_store
from keygrove.storage.sqlite import SqliteStore
from keygrove.storage.term import Term
from keygrove.storage.write import Denial, Lift, Put, Write
from keygrove.system.sqlite import SqliteFiles
from keygrove_chaos.certificates import CREATED, made, put_of
from keygrove_protocols.openpgp.certificate import user_ids
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.userid import words

pytestmark = pytest.mark.slow

QUERIES = 5 * settings().max_examples
"""10,000 of the profile nightly."""
PER_ROUND = 50
NUMBERS = 60
FIRST = ("Alice", "ÄNNE", "Bob", "Jean-Luc", "李", "O'Neill", "x", "Ⅷ", "Straße")
LAST = ("Smith", "smith-jones", "Ölund", "de la Cruz", "König", "42", "Bob")
HOSTS = ("x.example", "mail.example", "bücher.example")
ODD = ("nobody", "", "-", '"', "smith OR bob", "NEAR(alice bob)", "bob*", "t:bob", "ali")


def user_id(chance: Random) -> str:
    first, last, host = (chance.choice(some) for some in (FIRST, LAST, HOSTS))
    return f"{first} {last} <{first[0]}.{last[0]}{chance.randrange(4)}@{host}>"


def query(chance: Random) -> str:
    some = [*FIRST, *LAST, *HOSTS, *ODD]
    return " ".join(chance.choices(some, k=chance.choice((1, 1, 2, 2, 3, 5))))


class Oracle:
    """Looks at every certificate."""

    def __init__(self) -> None:
        self.held: dict[Fingerprint, Put] = {}
        self.texts: dict[Fingerprint, Sequence[str]] = {}
        self.denied: set[Fingerprint] = set()

    def search(self, wanted: frozenset[str]) -> set[Fingerprint]:
        return {
            name
            for name in self.held
            if wanted and wanted <= {word for text in self.texts[name] for word in words(text)}
        }

    def find(self, term: Term) -> list[Fingerprint]:
        return sorted(name for name, put in self.held.items() if term in _terms(put))


def _terms(put: Put) -> frozenset[Term]:
    return put.terms | digest_terms(put.digest, put.sks_digest)


def change(chance: Random, oracle: Oracle) -> list[Write]:
    writes: list[Write] = []
    for number in chance.sample(range(NUMBERS), chance.randint(1, 8)):
        texts = sorted({user_id(chance) for _ in range(chance.randint(0, 3))})
        certificate = made(number, *texts)
        put = put_of(certificate)
        name = put.fingerprint
        oracle.held.pop(name, None)
        if name in oracle.denied:
            oracle.denied.remove(name)
            writes.append(Lift(name, CREATED))
        elif chance.random() < 0.2:
            oracle.denied.add(name)
            writes.append(Denial(name, "", CREATED))
        else:
            oracle.held[name] = put
            oracle.texts[name] = [one.packet.body.decode() for one in user_ids(certificate)]
            writes.append(put)
    return writes


async def ask(store: SqliteStore, oracle: Oracle, chance: Random) -> None:
    limit = chance.choice((1, 3, 10, 1_000))
    if chance.random() < 0.7:
        wanted = words(query(chance))
        found, due = await store.search(wanted, limit), oracle.search(wanted)
        assert set(found) <= due, wanted
        assert len(found) == min(limit, len(due)), wanted
        return
    some = put_of(made(chance.randrange(NUMBERS), user_id(chance)))
    held = oracle.held.get(some.fingerprint, some)
    term = chance.choice(sorted(_terms(held) | some.terms, key=lambda one: (one.kind, one.value)))
    assert await store.find([term], limit) == [tuple(oracle.find(term)[:limit])], term


async def live(folder: Path, seed: int) -> None:
    chance, oracle = Random(seed), Oracle()
    home, turns = Home("shard-0", "0/1", bytes(16)), anyio.Semaphore(1)
    async with open_store(SqliteFiles(folder), home, turns, durable=False) as opening:
        store = await opening.finish()
        for _ in range(max(QUERIES // PER_ROUND, 1)):
            await store.commit(change(chance, oracle))
            if chance.random() < 0.5:
                await store.settle()
            for _ in range(PER_ROUND):
                await ask(store, oracle, chance)


def test_random_queries_find_what_a_look_at_everything_finds(tmp_path: Path) -> None:
    asyncio.run(live(tmp_path, 16))

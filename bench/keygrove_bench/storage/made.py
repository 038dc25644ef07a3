"""Certificates that are none, for a store that does not look into them; and a store to put them in.

Bodies are random, so that nothing gains by compressing them. With an index each is found by what
a certificate with one subkey and one user ID is found by: nine terms, beside those of its
digests, and five words.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from hashlib import md5, sha1
from pathlib import Path
from random import Random
from typing import Final

import anyio

from keygrove.storage.opening import Home, open_store
from keygrove.storage.sqlite import SqliteStore
from keygrove.storage.term import Term, TermKind
from keygrove.storage.write import Cause, Put
from keygrove.system.sqlite import SqliteFiles
from keygrove_protocols.openpgp.keys import Digest, Fingerprint

AT: Final = 1_750_000_000
_NAMES: Final = 20_000
"""Other words than these are anybody's own."""


def name(number: int) -> Fingerprint:
    """The fingerprint of certificate `number`."""
    return Fingerprint(sha1(number.to_bytes(8), usedforsecurity=False).digest())


def put(number: int, octets: int, *, is_indexed: bool, version: int = 0) -> Put:
    """Certificate `number`, with a body of that many octets."""
    own = name(number)
    body = Random(number + (version << 40)).randbytes(octets)
    digest = Digest(md5(body, usedforsecurity=False).digest())
    terms, words = (_terms(own, number), _words(number)) if is_indexed else (_NONE, _NO_WORDS)
    return Put(own, digest, body, terms, words, Cause.LOAD, AT)


def puts(first: int, count: int, octets: int, *, is_indexed: bool) -> list[Put]:
    """So many of them, from certificate `first` on."""
    return [put(number, octets, is_indexed=is_indexed) for number in range(first, first + count)]


@asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[SqliteStore, None]:
    """A durable store in that folder, one of a single shard, with its upkeep."""
    home = Home("0", "0/1", bytes(16))
    async with open_store(SqliteFiles(folder), home, anyio.Semaphore(1), durable=True) as opening:
        store = await opening.finish()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.upkeep)
            yield store
            tasks.cancel_scope.cancel()


_NONE: Final = frozenset[Term]()
_NO_WORDS: Final = frozenset[str]()


def _terms(own: Fingerprint, number: int) -> frozenset[Term]:
    sub = sha1(b"subkey" + own, usedforsecurity=False).digest()
    found = [
        Term(kind, value)
        for key in (own, sub)
        for kind, value in (
            (TermKind.FINGERPRINT, key),
            (TermKind.KEY_ID, key[-8:]),
            (TermKind.SHORT_ID, key[-4:]),
        )
    ]
    found += [
        Term(TermKind.PRIMARY_ID, b"\4" + own[-8:]),
        Term(TermKind.ADDRESS, b"user%d@example.org" % number),
        Term(TermKind.TEXT, sub[:16]),
    ]
    return frozenset(found)


def _words(number: int) -> frozenset[str]:
    first, last = f"first{number % (_NAMES // 4)}", f"last{number % _NAMES}"
    return frozenset((first, last, f"user{number}", "example", "org"))

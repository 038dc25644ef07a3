"""Debian's keyring by certificates and their SKS digests, read by none of the product's code."""

import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from tests.e2e.conftest import DEBIAN_KEYRING, join, split

PUBLIC_KEY = 6


class Cert(NamedTuple):
    """A certificate in one state."""

    digest: str
    octets: bytes


def cert(packets: bytes) -> Cert:
    """One certificate's. Source of the digest: recon.md §9."""
    of_all = sorted(split(packets))
    summed = b"".join(tag.to_bytes(4) + len(body).to_bytes(4) + body for tag, body in of_all)
    return Cert(hashlib.md5(summed, usedforsecurity=False).hexdigest(), packets)


def certs(keyring: bytes) -> Iterator[Cert]:
    """Each certificate of a keyring."""
    found: list[tuple[int, bytes]] = []
    for tag, body in split(keyring):
        if tag == PUBLIC_KEY and found:
            yield cert(join(found))
            found = []
        found.append((tag, body))
    if found:
        yield cert(join(found))


@lru_cache(maxsize=1)
def debian() -> tuple[Cert, ...]:
    """All of Debian's keyring, in its order."""
    return tuple(certs(DEBIAN_KEYRING.read_bytes()))


def digests(several: Iterable[Cert]) -> set[str]:
    """Their digests."""
    return {one.digest for one in several}


def written(several: Iterable[Cert], path: Path) -> Path:
    """A file that holds them."""
    path.write_bytes(b"".join(one.octets for one in several))
    return path

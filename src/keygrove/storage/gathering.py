"""Certificates as they are stored, by their digests: what other servers are given."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final

from keygrove.errors import DamagedError
from keygrove.storage.messages import FetchStored, Stored
from keygrove.storage.state import stored_packets
from keygrove.storage.store import CertificateStore
from keygrove.storage.term import Term, TermKind
from keygrove.storage.version import Whole
from keygrove_protocols.openpgp.keys import Fingerprint

SLICE: Final = 8
"""Certificates that are read at once: each may have a mebibyte."""
SAME_MAX: Final = 4
"""Certificates of one digest: whoever makes more of them has a reason of his own."""


async def gathered(
    store: CertificateStore, message: FetchStored, on_damage: Callable[[DamagedError], None]
) -> tuple[Stored, ...]:
    """See `FetchStored`."""
    terms = [Term(TermKind.DIGEST, digest) for digest in dict.fromkeys(message.digests)]
    found = await store.find(terms, SAME_MAX)
    names = sorted({*chain.from_iterable(found), *message.fingerprints})
    gathered: list[Stored] = []
    left = message.octets_max
    for start in range(0, len(names), SLICE):
        for one in await _read(store, names[start : start + SLICE], on_damage):
            left -= len(one.packets)
            if left < 0:
                return tuple(gathered)
            gathered.append(one)
    return tuple(gathered)


async def _read(
    store: CertificateStore,
    names: Sequence[Fingerprint],
    on_damage: Callable[[DamagedError], None],
) -> list[Stored]:
    """Those that are held and not denied. One that is damaged does not keep the others."""
    try:
        wholes = await store.get_whole(names)
    except DamagedError as error:
        if len(names) == 1:
            on_damage(error)
            return []
        return [one for name in names for one in await _read(store, [name], on_damage)]
    # Denied meanwhile, it is not given; what was read is no more than its key's own word then.
    denials = await store.denials_of(names)
    return [
        _stored(whole)
        for whole, denial in zip(wholes, denials, strict=True)
        if whole is not None and denial is None
    ]


def _stored(whole: Whole) -> Stored:
    packets = stored_packets(whole.packets, whole.aside)
    return Stored(whole.fingerprint, whole.digest, packets)

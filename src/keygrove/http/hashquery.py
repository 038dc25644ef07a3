"""Certificates for other servers, by their digests: POST /pks/hashquery.

What is given is all that is stored of a certificate, so that its digest is the one that was asked
for. Never among it are those of version 5 and later, nor what is held beside a denial: SKS would
throw away all that comes with them (recon.md, T4). Anybody may ask, recon or not.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import anyio

from keygrove.cluster.router import Router
from keygrove.http.asgi import Request, Response
from keygrove.recon.known import KnownApi, WhoseAre
from keygrove.recon.members import is_shown
from keygrove.recon.messages import PrefixApi, WhoseWere
from keygrove.storage.messages import Stored
from keygrove_actors import ActorError, Ref
from keygrove_protocols.openpgp.keys import Digest, Fingerprint
from keygrove_protocols.recon.hashquery import (
    REQUEST_OCTETS_MAX,
    RESPONSE_TYPE,
    decode_request,
    encode_response,
)

ANSWER_OCTETS_MAX: Final = 64 << 20
"""A hundred certificates of the pool take two megabytes. What does not fit is asked for again."""
AT_ONCE: Final = 4
"""Answers that are held; others wait. Real servers ask for one batch after the other."""
WHOSE_S: Final = 1.0


class Recon(NamedTuple):
    """Who remembers whose digests were, or are elsewhere."""

    prefix: Ref[PrefixApi]
    known: Ref[KnownApi]


class HashQuery:
    """The handler. `recon` is None where there is none: then nobody remembers digests."""

    def __init__(self, router: Router, recon: Recon | None) -> None:
        self._router = router
        self._recon = recon
        self._turns = anyio.Semaphore(AT_ONCE)

    async def answer(self, request: Request) -> Response:
        """POST /pks/hashquery, whatever its media type says."""
        digests = decode_request(await request.body(REQUEST_OCTETS_MAX))
        async with self._turns:
            found = await self._router.fetch_stored(digests, (), ANSWER_OCTETS_MAX)
            lacking = set(digests) - {one.digest for one in found}
            names = await self._whose(tuple(sorted(lacking)))
            if names:
                left = ANSWER_OCTETS_MAX - sum(len(one.packets) for one in found)
                found += await self._router.fetch_stored((), names, left)
            body = encode_response(_given(found), octets_max=ANSWER_OCTETS_MAX)
        return Response(200, body, RESPONSE_TYPE)

    async def _whose(self, digests: tuple[Digest, ...]) -> tuple[Fingerprint, ...]:
        """Whose these were until a moment ago, or are at a partner; as far as that can be told."""
        if self._recon is None or not digests:
            return ()
        names: dict[Fingerprint, None] = {}
        with suppress(ActorError):
            were = await self._recon.prefix.call(WhoseWere(digests), timeout=WHOSE_S)
            names.update(dict.fromkeys(were))
        with suppress(ActorError):
            are = await self._recon.known.call(WhoseAre(digests), timeout=WHOSE_S)
            names.update(dict.fromkeys(are))
        return tuple(names)


def _given(found: Sequence[Stored]) -> list[bytes]:
    """Each once, and none that may not be among them."""
    given = {one.fingerprint: one.packets for one in found if is_shown(one.fingerprint)}
    return list(given.values())

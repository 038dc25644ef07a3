"""Certificates for other servers, by their digests: POST /pks/hashquery.

What is given is all that is stored of a certificate, so that its digest is the one that was asked
for. Never among it are those of version 5 and later, nor what is held beside a denial: SKS would
throw away all that comes with them (recon.md, T4). Anybody may ask, recon or not.
"""

from collections.abc import Sequence
from typing import Final

import anyio

from keygrove.cluster.router import Router
from keygrove.http.asgi import Request, Response
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


class HashQuery:
    """The handler. `prefix` is None where there is no recon: then nobody remembers digests."""

    def __init__(self, router: Router, prefix: Ref[PrefixApi] | None) -> None:
        self._router = router
        self._prefix = prefix
        self._turns = anyio.Semaphore(AT_ONCE)

    async def answer(self, request: Request) -> Response:
        """POST /pks/hashquery, whatever its media type says."""
        digests = decode_request(await request.body(REQUEST_OCTETS_MAX))
        async with self._turns:
            found = await self._router.fetch_stored(digests, (), ANSWER_OCTETS_MAX)
            lacking = set(digests) - {one.digest for one in found}
            names = await self._whose_were(sorted(lacking))
            if names:
                left = ANSWER_OCTETS_MAX - sum(len(one.packets) for one in found)
                found += await self._router.fetch_stored((), names, left)
            body = encode_response(_given(found), octets_max=ANSWER_OCTETS_MAX)
        return Response(200, body, RESPONSE_TYPE)

    async def _whose_were(self, digests: Sequence[Digest]) -> tuple[Fingerprint, ...]:
        """Whose these were until a moment ago; nobody's, if that cannot be told now."""
        if self._prefix is None or not digests:
            return ()
        try:
            return await self._prefix.call(WhoseWere(tuple(digests)), timeout=WHOSE_S)
        except ActorError:
            return ()


def _given(found: Sequence[Stored]) -> list[bytes]:
    """Each once, and none that may not be among them."""
    given = {one.fingerprint: one.packets for one in found if is_shown(one.fingerprint)}
    return list(given.values())

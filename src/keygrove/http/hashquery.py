"""Certificates for other servers, by their digests: POST /pks/hashquery.

What is given is all that is stored of a certificate, so that its digest is the one that was asked
for. Never among it are those of version 5 and later, nor what is held beside a denial: SKS would
throw away all that comes with them (recon.md, T4). Anybody may ask, recon or not.

No address may ask for so much that others wait for long: not for more at once than a few servers
behind it would, and not for more digests than one that fetches all there is can take in.
"""

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

import anyio

from keygrove.cluster.router import Router
from keygrove.http.asgi import Request, Response
from keygrove.http.errors import TooManyRequestsError
from keygrove.ratelimit.bucket import Buckets
from keygrove.ratelimit.places import place_of
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
"""Answers that are made; others wait. Real servers ask for one batch after the other."""
OF_ONE_AT_ONCE: Final = 8
"""Requests of one address that wait, or whose answer is made or on its way."""
DIGESTS_A_SECOND: Final = 2_000
"""That one address may ask for: more than a server takes in that verifies what it fetches."""
DIGESTS_AT_FIRST: Final = 100_000
"""And so many at once, before that."""
ADDRESSES_MAX: Final = 10_000
AGAIN_S: Final = 1.0
"""After which one may ask again that asked too often at once."""
WHOSE_S: Final = 1.0


class Recon(NamedTuple):
    """Who remembers whose digests were, or are elsewhere."""

    prefix: Ref[PrefixApi]
    known: Ref[KnownApi]


class HashQuery:
    """The handler. `recon` is None where there is none: then nobody remembers digests."""

    def __init__(self, router: Router, recon: Recon | None, elapsed: Callable[[], float]) -> None:
        self._router = router
        self._recon = recon
        self._elapsed = elapsed
        self._quotas = Buckets[str | None](DIGESTS_AT_FIRST, DIGESTS_A_SECOND, ADDRESSES_MAX)
        self._inside = Counter[str | None]()
        self._turns = anyio.Semaphore(AT_ONCE)

    async def answer(self, request: Request) -> Response:
        """POST /pks/hashquery, whatever its media type says."""
        place = place_of(request.client)
        request.hold(self._counted(place))
        digests = decode_request(await request.body(REQUEST_OCTETS_MAX))
        wait_s = self._quotas.take(place, len(digests), self._elapsed())
        if wait_s:
            raise TooManyRequestsError(wait_s)
        async with self._turns:
            body = await self._body(digests)
        return Response(200, body, RESPONSE_TYPE)

    @contextmanager
    def _counted(self, place: str | None) -> Generator[None, None, None]:
        if self._inside[place] >= OF_ONE_AT_ONCE:
            raise TooManyRequestsError(AGAIN_S)
        self._inside[place] += 1
        try:
            yield
        finally:
            self._inside[place] -= 1
            self._inside += Counter()  # only what is not zero stays

    async def _body(self, digests: tuple[Digest, ...]) -> bytes:
        found = await self._router.fetch_stored(digests, (), ANSWER_OCTETS_MAX)
        lacking = set(digests) - {one.digest for one in found}
        names = await self._whose(tuple(sorted(lacking)))
        if names:
            left = ANSWER_OCTETS_MAX - sum(len(one.packets) for one in found)
            found += await self._router.fetch_stored((), names, left)
        return encode_response(_given(found), octets_max=ANSWER_OCTETS_MAX)

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

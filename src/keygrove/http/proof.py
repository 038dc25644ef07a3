"""What the node holds, signed, and proofs of it."""

import hashlib
from typing import assert_never

import msgspec

from keygrove.cluster.prover import Prover
from keygrove.http.asgi import JSON, TEXT, Request, Response, names_state
from keygrove.http.errors import BUG, BUSY, HttpError
from keygrove.storage.messages import Failed, Outdated
from keygrove.storage.proofs import Proof
from keygrove_protocols.hkp.v1 import parse_fingerprint

CACHING = ("cache-control", "no-cache")
"""Caches ask each time: an old proof beside a new certificate would look like a lie."""


class Proofs:
    """The handlers of /pks/proof."""

    def __init__(self, prover: Prover) -> None:
        self._prover = prover

    async def head(self, request: Request) -> Response:
        """GET /pks/proof/head."""
        note = await self._prover.head()
        return _conditional(request, note.encode(), TEXT)

    async def prove(self, request: Request) -> Response:
        """GET /pks/proof."""
        reply = await self._prover.prove(parse_fingerprint(request.query))
        match reply:
            case Proof():
                return _conditional(request, msgspec.json.encode(reply) + b"\n", JSON)
            case Outdated():
                raise HttpError(BUSY.status, BUSY.text)
            case Failed():
                raise HttpError(BUG.status, BUG.text)
            case _:
                assert_never(reply)


def _conditional(request: Request, body: bytes, content_type: str) -> Response:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    caching = (("etag", etag), CACHING)
    if names_state(request.header("if-none-match"), etag):
        return Response(304, b"", content_type, caching)
    return Response(200, body, content_type, caching)

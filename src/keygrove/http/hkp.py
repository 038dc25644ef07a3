"""HKP v1: lookups and submissions."""

from collections.abc import Sequence
from functools import partial
from typing import assert_never
from urllib.parse import quote

import msgspec

from keygrove.cluster.router import Whereis
from keygrove.http.asgi import HTML, JSON, TEXT, Request, Response, Shared, names_state
from keygrove.http.errors import BUG, BUSY, NO_SPACE, READ_ONLY, Failure, HttpError
from keygrove.http.search import Catalogue
from keygrove.http.stats import Statistics
from keygrove.ingest.messages import (
    INGEST,
    ORIGIN_MAX,
    Fate,
    IngestApi,
    Result,
    Submit,
    Submitted,
    Unavailable,
    Unwritable,
)
from keygrove.ingest.reasons import remark
from keygrove.ingest.steps import INLINE_BYTES, TOO_COSTLY
from keygrove.ingest.verdicts import Blame, Rejected
from keygrove.storage.cache import Answer, Form
from keygrove.storage.messages import Failed, NoSpace
from keygrove.storage.space import SPACE, Level, SpaceApi, level_now
from keygrove.web.pages import Pages
from keygrove_protocols.errors import TooLargeError
from keygrove_protocols.hkp.index import write_index, write_json
from keygrove_protocols.hkp.v1 import (
    AddEntry,
    AddRequest,
    AddResult,
    ByFingerprint,
    Lookup,
    Op,
    parse_add,
    parse_lookup,
)
from keygrove_protocols.limits import SUBMISSION
from keygrove_protocols.openpgp.armor import armor
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.summary import Summary

SUBMIT_S = 40.0
GET_MAX = 100
INDEX_MAX = 500
GET_BYTES_MAX = 32 << 20
INDEX_BYTES_MAX = 4 << 20
"""A usual certificate takes half a kilobyte of it."""
MAX_AGE_S = 300
NEWEST_LEGACY = 4
"""Clients of HKP v1 give up on a whole answer for one newer certificate in it."""

ARMORED = "application/pgp-keys"
BINARY = "application/pgp"


class Hkp:
    """The handlers of /pks/lookup and /pks/add."""

    def __init__(
        self,
        catalogue: Catalogue,
        whereis: Whereis,
        statistics: Statistics,
        pages: Pages,
        shared: Shared,
    ) -> None:
        self._catalogue = catalogue
        self._ingest = whereis(INGEST, IngestApi)
        self._space = whereis(SPACE, SpaceApi)
        self._statistics = statistics
        self._pages = pages
        self._clock = shared.clock
        self._compute = shared.compute

    async def lookup(self, request: Request) -> Response:
        """GET /pks/lookup."""
        query = parse_lookup(request.query)
        match query.op:
            case Op.GET | Op.HGET:
                return await self._get(request, query)
            case Op.INDEX | Op.VINDEX:
                return await self._index(request, query)
            case Op.STATS:
                return await self._statistics.page(request)
            case _:
                assert_never(query.op)

    async def add(self, request: Request) -> Response:
        """POST /pks/add."""
        refusal = _REFUSALS.get(await level_now(self._space))
        if refusal is not None:  # before its body is read
            return _failure(refusal)
        body = await request.body(SUBMISSION.body_bytes_max)
        form = await self._read_form(body, request.header("content-type"))
        reply = await self._ingest.call(Submit(form.keytext, _sender(request)), timeout=SUBMIT_S)
        match reply:
            case Submitted(fates):
                options = form.options | request.options
                return self._word_fates(request, fates, as_json=bool(options & {"json", "mr"}))
            case Rejected(blame, _, text):
                raise HttpError(_BLAMES[blame], text)
            case NoSpace():
                return _failure(NO_SPACE)
            case Unwritable():
                return _failure(READ_ONLY)
            case Unavailable():
                return _failure(BUSY)
            case Failed():
                return _failure(BUG)
            case _:
                assert_never(reply)

    async def _read_form(self, body: bytes, content_type: str | None) -> AddRequest:
        read = partial(parse_add, body, content_type)
        return read() if len(body) <= INLINE_BYTES else await self._compute.run(read)

    async def _get(self, request: Request, query: Lookup) -> Response:
        is_binary = "bin" in query.options
        if isinstance(query.search, ByFingerprint) and not is_binary:
            answer = await self._catalogue.get(query.search.fingerprint)
            if answer is not None:
                return _one(request, answer)
        names = await self._catalogue.find(query, GET_MAX)
        form = Form.BINARY if is_binary else Form.LEGACY
        answers = await self._catalogue.fetch(names, form, GET_BYTES_MAX)
        bodies = [answer.body for answer in answers if answer.body]
        if not bodies:
            raise HttpError(404, ONLY_NEW)
        data = b"".join(bodies)
        kind, suffix = (BINARY, "pgp") if is_binary else (ARMORED, "asc")
        headers = (_disposition(request.field("search"), suffix), _results(len(bodies)))
        return Response(200, data if is_binary else armor(data), kind, headers)

    async def _index(self, request: Request, query: Lookup) -> Response:
        names = await self._catalogue.find(query, INDEX_MAX)
        summaries = await self._summaries(names)
        if not summaries:
            raise HttpError(404, ONLY_NEW)
        headers = (_results(len(summaries)),)
        now = self._clock.now()
        if "mr" in query.options:
            return Response(200, write_index(summaries, now), TEXT, headers)
        if "json" in query.options:
            return Response(200, write_json(summaries, now), JSON, headers)
        page = self._pages.index(request.field("search"), summaries, now)
        return Response(200, page, HTML, headers)

    async def _summaries(self, names: Sequence[Fingerprint]) -> list[Summary]:
        """What HKP v1 may list, newest first."""
        answers = await self._catalogue.fetch(names, Form.SUMMARY, INDEX_BYTES_MAX)
        read = [msgspec.msgpack.decode(one.body, type=Summary) for one in answers if one.body]
        listed = [one for one in read if one.version <= NEWEST_LEGACY]
        return sorted(listed, key=lambda one: (-one.created, one.fingerprint))

    def _word_fates(self, request: Request, fates: tuple[Fate, ...], *, as_json: bool) -> Response:
        status = 200
        if all(fate.result is Result.INVALID for fate in fates):
            status = 413 if all(fate.error in _TOO_MUCH for fate in fates) else 422
        if not as_json and "text/html" in (request.header("accept") or ""):
            return Response(status, self._pages.submitted(fates), HTML)
        lists = {
            result.value: tuple(_entry(fate) for fate in fates if fate.result is result)
            for result in Result
        }
        return Response(status, msgspec.json.encode(AddResult(**lists)) + b"\n", JSON)


ONLY_NEW = (
    "only certificates of version 5 or newer were found, which clients of this protocol "
    "cannot read: ask with options=bin"
)
_REFUSALS = {Level.CRITICAL: NO_SPACE, Level.READ_ONLY: READ_ONLY}
_TOO_MUCH = frozenset({TooLargeError.code, TOO_COSTLY})
_BLAMES = {Blame.MALFORMED: 400, Blame.UNACCEPTABLE: 422, Blame.TOO_LARGE: 413}


def _sender(request: Request) -> str:
    """The server that says that it passes this on: nobody has to believe it.

    Source: Hockeypuck, its push to other servers.
    """
    sender = (request.header("pks-sender") or "").strip()
    is_name = sender.isascii() and sender.isprintable() and len(sender) <= ORIGIN_MAX
    return sender if is_name else ""


def _one(request: Request, answer: Answer) -> Response:
    """One armored certificate; clients may keep it for a while and ask whether it changed."""
    if answer.body is None:
        raise HttpError(404, ONLY_NEW)
    etag = f'"{answer.digest.hex()}"'
    caching = (("etag", etag), ("cache-control", f"public, max-age={MAX_AGE_S}"))
    if names_state(request.header("if-none-match"), etag):
        return Response(304, b"", ARMORED, caching)
    headers = (_disposition(answer.fingerprint.hex(), "asc"), _results(1), *caching)
    return Response(200, answer.body, ARMORED, headers)


def _entry(fate: Fate) -> AddEntry:
    name = fate.fingerprint.hex() if fate.fingerprint else ""
    return AddEntry(fate.version or 0, name, remark(fate))


def _disposition(search: str, suffix: str) -> tuple[str, str]:
    name = quote(search[:100], safe="") or "keys"
    return "content-disposition", f'attachment; filename="{name}.{suffix}"'


def _results(number: int) -> tuple[str, str]:
    return "x-hkp-results-count", str(number)


def _failure(failure: Failure) -> Response:
    return Response(failure.status, f"{failure.text}\n".encode(), TEXT, failure.headers)

"""From what a client searches for to the certificates that it means."""

from collections.abc import Sequence

from keygrove.cluster.router import Router
from keygrove.http.errors import BUG, HttpError
from keygrove.settings import HttpSettings
from keygrove.storage.address import text_hash
from keygrove.storage.cache import Answer, Form
from keygrove.storage.messages import Failed
from keygrove.storage.term import Term, TermKind
from keygrove_protocols.hkp.v1 import (
    ByDigest,
    ByFingerprint,
    ByKeyId,
    ByShortId,
    ByText,
    Lookup,
    Unfindable,
)
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.userid import normal_address, normal_text, words

AT_ONCE = 32
"""Certificates fetched together: enough to share a read, few enough to hold."""


class Catalogue:
    """Finds certificates, and fetches what was found."""

    def __init__(self, router: Router, settings: HttpSettings) -> None:
        self._router = router
        self._settings = settings

    async def find(self, query: Lookup, limit: int) -> tuple[Fingerprint, ...]:
        """The certificates meant, by fingerprint.

        Raises:
            HttpError: none (404), or more than `limit` (413).
        """
        found = await self._find(query, limit + 1)
        if not found:
            raise HttpError(404, "no certificate was found")
        if len(found) > limit:
            raise HttpError(413, f"more than {limit} certificates were found: ask for less")
        return found

    async def get(self, fingerprint: Fingerprint) -> Answer | None:
        """The armored certificate with this primary key.

        Raises:
            HttpError: it is held, but cannot be served (503).
        """
        answer = await self._router.fetch(fingerprint, Form.ARMOR)
        return None if answer is None else _checked(answer)

    async def fetch(self, names: Sequence[Fingerprint], form: Form, bytes_max: int) -> list[Answer]:
        """These certificates, less those that have gone meanwhile.

        Raises:
            HttpError: as `get`; or all together are larger than `bytes_max` (413).
        """
        found: list[Answer] = []
        left = bytes_max
        for start in range(0, len(names), AT_ONCE):
            answers = await self._router.fetch_all(names[start : start + AT_ONCE], form)
            some = [_checked(answer) for answer in answers if answer is not None]
            left -= sum(len(answer.body or b"") for answer in some)
            if left < 0:
                raise HttpError(413, "too much was found: ask for one fingerprint")
            found += some
        return found

    async def _find(self, query: Lookup, limit: int) -> tuple[Fingerprint, ...]:
        match query.search:
            case ByFingerprint(fingerprint):
                return await self._by_fingerprint(fingerprint, limit)
            case ByKeyId(key_id):
                return await self._router.find(Term(TermKind.KEY_ID, key_id), limit)
            case ByShortId(short_id) if self._settings.short_ids:
                return await self._router.find(Term(TermKind.SHORT_ID, short_id), limit)
            case ByDigest(digest):
                return await self._router.find(Term(TermKind.DIGEST, digest), limit)
            case ByText(readings):
                return await self._by_text(readings, limit, is_exact=query.exact)
            case ByShortId():
                raise HttpError(404, "short key IDs can be forged: search by fingerprint")
            case Unfindable() | None:
                return ()

    async def _by_fingerprint(
        self, fingerprint: Fingerprint, limit: int
    ) -> tuple[Fingerprint, ...]:
        """A primary key's is answered by its shard alone; any shard may have it as a subkey."""
        if await self._router.fetch(fingerprint, Form.ARMOR) is not None:
            return (fingerprint,)
        return await self._router.find(Term(TermKind.FINGERPRINT, fingerprint), limit)

    async def _by_text(
        self, readings: tuple[str, ...], limit: int, *, is_exact: bool
    ) -> tuple[Fingerprint, ...]:
        """An identity first, in whichever reading of the query; words only without one."""
        for reading in readings:
            found = await self._by_identity(reading, limit)
            if found:
                return found
        if is_exact or not self._settings.word_search:
            return ()
        for reading in readings:
            # Nobody who gives an address means those of others.
            if normal_address(reading) is None:
                found = await self._router.search(words(reading), limit)
                if found:
                    return found
        return ()

    async def _by_identity(self, text: str, limit: int) -> tuple[Fingerprint, ...]:
        address = normal_address(text)
        if address is not None:
            term = Term(TermKind.ADDRESS, address.encode())
            found = await self._router.find(term, limit)
            if found:
                return found
        return await self._router.find(Term(TermKind.TEXT, text_hash(normal_text(text))), limit)


def _checked(answer: Answer | Failed) -> Answer:
    if isinstance(answer, Failed):
        raise HttpError(BUG.status, BUG.text)
    return answer

"""What administrators ask for: /pks/admin, and Hockeypuck's /pks/delete and /pks/replace.

A request is signed by a key that the settings name and whose certificate is held here, so that
what is known of the key counts: whether it is revoked, or has expired. It is read and held
against the time and our name first, then its signature is verified; each shard then sees to it
that it is carried out once.
"""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeAlias

from keygrove.cluster.router import Router
from keygrove.http.administrators import admin_keys
from keygrove.http.asgi import Request, Response, Shared
from keygrove.http.errors import HttpError
from keygrove.http.orders import Job, Outcomes, Result, answer, carry_out, worded
from keygrove.ingest.steps import look_into, named, read
from keygrove.settings import AdminSettings
from keygrove.storage.cache import Answer, Form
from keygrove.storage.candidate import Candidate
from keygrove.storage.derive import read as read_stored
from keygrove.storage.write import Put
from keygrove.telemetry.administration import AdminRefusal
from keygrove_protocols.errors import (
    BadQueryError,
    NotACertificateError,
    OtherCertificateError,
    ProtocolError,
    UnknownSignerError,
)
from keygrove_protocols.hkp.admin import (
    NONCE_OCTETS,
    AdminAction,
    AdminRequest,
    check_certificate,
    check_request,
    parse_hockeypuck,
    parse_request,
)
from keygrove_protocols.hkp.form import parse_form
from keygrove_protocols.hkp.v1 import AddEntry, AddResult
from keygrove_protocols.limits import SUBMISSION
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.detached import Signed, read_detached, verify_detached
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.policy import Policy

Take: TypeAlias = Callable[[Request, dict[bytes, bytes]], Coroutine[Any, Any, Response]]


class Admin:
    """The handlers of administrators' requests."""

    def __init__(
        self, router: Router, settings: AdminSettings, policy: Policy, shared: Shared
    ) -> None:
        self._router = router
        self._keys = admin_keys(settings)
        self._server = settings.server
        self._policy = policy
        self._observer = shared.observer
        self._clock = shared.clock
        self._compute = shared.compute

    async def signed(self, request: Request) -> Response:
        """POST /pks/admin."""
        return await self._watched(request, self._signed)

    async def hockeypuck(self, request: Request) -> Response:
        """POST /pks/delete and POST /pks/replace."""
        return await self._watched(request, self._hockeypuck)

    async def _watched(self, request: Request, take: Take) -> Response:
        """Read the form and take the request, and tell of each that is refused."""
        body = await request.body(SUBMISSION.body_bytes_max)
        try:
            work = partial(parse_form, body, request.header("content-type"))
            return await take(request, await self._compute.run(work))
        except ProtocolError as error:
            self._observer.refused(AdminRefusal(error.code, str(error), request.client))
            raise

    async def _signed(self, _: Request, fields: dict[bytes, bytes]) -> Response:
        text = _field(fields, b"request")
        wanted = parse_request(text)
        check_request(wanted, self._server, self._clock.now())
        signed = await self._verified(_field(fields, b"signature"), text)
        puts: dict[Fingerprint, Put] = {}
        if wanted.action is AdminAction.REPLACE:
            (name,) = wanted.fingerprints
            puts[name] = await self._replacement(wanted, name, _field(fields, b"keytext"))
        job = Job(
            action=wanted.action,
            names=wanted.fingerprints,
            reason=wanted.reason,
            nonce=wanted.nonce,
            by=signed.signer,
            puts=puts,
            user_ids=frozenset(wanted.user_ids),
        )
        return answer(job.action, await carry_out(self._router, job, self._observer))

    async def _hockeypuck(self, request: Request, fields: dict[bytes, bytes]) -> Response:
        text = _field(fields, b"keytext")
        wanted = parse_hockeypuck(text)
        if request.path != f"/pks/{wanted.action.value}":
            raise BadQueryError("the first line of keytext names another path: send it there")
        signed = await self._verified(_field(fields, b"keysig"), text)
        puts: dict[Fingerprint, Put] = {}
        if wanted.action is AdminAction.REPLACE:
            candidates = await self._candidates(wanted.keytext)
            puts = {one.fingerprint: _put(one) for one in candidates}
            names = tuple(puts)
        else:
            names = await self._names(wanted.keytext)
        # Hockeypuck's form has no nonce: what was signed, with the time, stands for one.
        nonce = signed.digest[:NONCE_OCTETS]
        job = Job(wanted.action, names, "", nonce, signed.signer, puts)
        are_held = [source is not None for source in await self._router.sources(names)]
        if wanted.action is AdminAction.DELETE and not any(are_held):
            raise HttpError(404, "nothing of this is held here")
        outcomes = await carry_out(self._router, job, self._observer)
        held = {name for name, is_held in zip(names, are_held, strict=True) if is_held}
        return _hockeypuck_answer(job.action, outcomes, held)

    async def _verified(self, signature: bytes, text: bytes) -> Signed:
        """Who signed this, if that was an administrator."""
        one = read_detached(signature)
        found = await self._router.fetch_all(self._keys, Form.BINARY)
        bodies = [one.body for one in found if isinstance(one, Answer) and one.body is not None]
        signers = [read_stored(body) for body in bodies]
        now = self._clock.now()
        work = partial(verify_detached, one, text, signers, now)
        try:
            return await self._compute.run(work)
        except UnknownSignerError as error:
            if len(signers) == len(self._keys):
                raise
            # Who they are is nobody's business who may not sign.
            raise UnknownSignerError(
                f"{error}; of {len(self._keys)} administrators' certificates {len(signers)} are "
                "held here: if yours is not, submit it, then send the request again"
            ) from error

    async def _replacement(self, wanted: AdminRequest, name: Fingerprint, keytext: bytes) -> Put:
        check_certificate(wanted, dearmor(keytext, SUBMISSION).data)
        candidates = await self._candidates(keytext)
        if [one.fingerprint for one in candidates] != [name]:
            raise OtherCertificateError("the certificate has another fingerprint: send the one")
        return _put(candidates[0])

    async def _candidates(self, keytext: bytes) -> list[Candidate]:
        """What is to be kept of some certificates, by the policy that holds for all."""
        work = partial(_candidates, keytext, self._policy)
        return await self._compute.run(work)

    async def _names(self, keytext: bytes) -> tuple[Fingerprint, ...]:
        certificates = (await self._compute.run(partial(read, keytext))).certificates
        names = [named(one) for one in certificates]
        return tuple(dict.fromkeys(name for name in names if name is not None))


def _hockeypuck_answer(action: AdminAction, outcomes: Outcomes, held: set[Fingerprint]) -> Response:
    entries: dict[str, list[AddEntry]] = {}
    for name, outcome in outcomes.items():
        word, comment = "ignored", outcome.result.value
        if outcome.result is Result.DONE:
            comment = ""
            word = "updated" if name in held else "inserted"
            if action is AdminAction.DELETE:
                word = "deleted"
        version = 4 if len(name) == 20 else 6
        entries.setdefault(word, []).append(AddEntry(version, name.hex(), comment))
    return worded(AddResult(**{word: tuple(some) for word, some in entries.items()}), outcomes)


def _field(fields: dict[bytes, bytes], name: bytes) -> bytes:
    value = fields.get(name, b"")
    if not value.strip():
        raise BadQueryError(f"the form has no {name.decode()}: send it")
    return value


def _candidates(keytext: bytes, policy: Policy) -> list[Candidate]:
    certificates = look_into(read(keytext), policy).ones
    taken = [one for one in certificates if isinstance(one, Candidate)]
    if len(taken) != len(certificates) or not taken:
        raise NotACertificateError("not all of this can be taken: see keygrove inspect")
    return taken


def _put(one: Candidate) -> Put:
    if one.put is None:
        text = f"nothing of this certificate can be kept ({one.error}): see keygrove inspect"
        raise NotACertificateError(text)
    return one.put

"""What an administrator has done to certificates, on whoever's request: each at its shard."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Annotated, Literal, TypeAlias, assert_never

import msgspec

from keygrove.cluster.router import Router
from keygrove.http.asgi import JSON, Observer, Request, Response
from keygrove.http.errors import BUG, NO_SPACE, READ_ONLY, HttpError
from keygrove.settings import HexFingerprint
from keygrove.storage.audit import Effect
from keygrove.storage.messages import Administered, Failed, NoSpace, Order, ReadOnly, Replayed
from keygrove.storage.term import Term, TermKind
from keygrove.storage.write import Put
from keygrove.telemetry.administration import Administered as Told
from keygrove_actors import DeclaredError
from keygrove_protocols.hkp.admin import (
    FINGERPRINTS_MAX,
    NONCE_OCTETS,
    OF_USER_IDS,
    REASON_CHARS_MAX,
    TEXT_BYTES_MAX,
    USER_IDS_MAX,
    AdminAction,
)
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.redaction import PartHash

_AGAIN = "then ask again: what was done is not done twice"
FULL = f"the disk of this server is full, and this was not done: free some space there, {_AGAIN}"
FROZEN = (
    "the disk of this server is read-only, and this was not done: see its system's log for why, "
    f"mount it so that it can be written, {_AGAIN}"
)
"""An administrator can do something about it, other than those who submit."""
PRIMARIES_TOLD = 10
"""Anybody may take anybody's key for a subkey that only encrypts."""


class Result(Enum):
    """What became of a request, for one certificate."""

    DONE = "done"
    BLOCKED = "blocked"
    """It is not replaced, because it is blocked."""
    NOT_BLOCKED = "not-blocked"
    """There is nothing to unblock."""
    AHEAD = "blocked-not-held"
    """It is blocked, and nothing of it was held."""
    BLOCKED_BEFORE = "already-blocked"
    """It was blocked before, for a reason that stands."""
    SUBKEY = "subkey"
    """Only certificates can be blocked, or redacted, and this is a subkey of one or several."""
    NOT_HELD = "redacted-not-held"
    """The user IDs are redacted; they were not held."""
    NOT_REDACTED = "not-redacted"
    """There is nothing to take again."""
    NOTHING_LEFT = "nothing-left"
    """It is not replaced, because without its redacted user IDs nothing of it is left."""
    REPEATED = "repeated"
    """The request was carried out before."""


_RESULTS = {
    Effect.DONE: Result.DONE,
    Effect.DENIED: Result.BLOCKED,
    Effect.NOT_DENIED: Result.NOT_BLOCKED,
    Effect.AHEAD: Result.AHEAD,
    Effect.DENIED_BEFORE: Result.BLOCKED_BEFORE,
    Effect.NOT_HELD: Result.NOT_HELD,
    Effect.NOT_REDACTED: Result.NOT_REDACTED,
    Effect.NOTHING_LEFT: Result.NOTHING_LEFT,
}
_OF_PRIMARIES = frozenset({AdminAction.BLOCK, AdminAction.DELETE, AdminAction.REDACT})
"""What is done ahead, too, and so would not be noticed to miss the certificate that is meant."""
EFFECTIVE = frozenset({Result.DONE, Result.AHEAD, Result.NOT_HELD})
"""Of requests that changed something."""


class Job(msgspec.Struct, frozen=True):
    """What is to be done, for each of these certificates, and on whose behalf.

    `by` is None for whoever works on this machine; `puts` has what replaces which.
    """

    action: AdminAction
    names: tuple[Fingerprint, ...]
    reason: str
    nonce: bytes
    by: Fingerprint | None = None
    puts: Mapping[Fingerprint, Put] = {}
    user_ids: frozenset[PartHash] = frozenset()


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a request for one certificate, as JSON has it."""

    fingerprint: str
    result: Result
    primaries: tuple[str, ...] = ()
    """Of a subkey: the certificates that have it, by their fingerprints."""


class Report(msgspec.Struct, frozen=True):
    """The answer to a request, as JSON has it."""

    action: AdminAction
    results: tuple[Line, ...]


class Outcome(msgspec.Struct, frozen=True):
    """What became of a request for one certificate; of a subkey, who has it."""

    result: Result
    primaries: tuple[Fingerprint, ...] = ()


Outcomes: TypeAlias = dict[Fingerprint, Outcome]


LocalAction: TypeAlias = Literal["block", "unblock", "redact-uid", "unredact-uid"]
"""What whoever works on this machine may ask for."""


class LocalRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What whoever works on this machine asks for, without a signature."""

    action: LocalAction
    fingerprints: Annotated[
        tuple[HexFingerprint, ...], msgspec.Meta(min_length=1, max_length=FINGERPRINTS_MAX)
    ]
    reason: Annotated[str, msgspec.Meta(max_length=REASON_CHARS_MAX)] = ""
    user_ids: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Fa-f]{64}\Z")], ...],
        msgspec.Meta(max_length=USER_IDS_MAX),
    ] = ()
    """The SHA-256 of each in hexadecimal; for the actions that are about user IDs."""


class LocalAdmin:
    """The handler of the control socket. `token` gives random octets."""

    def __init__(self, router: Router, observer: Observer, token: Callable[[int], bytes]) -> None:
        self._router = router
        self._observer = observer
        self._token = token

    async def administer(self, request: Request) -> Response:
        """POST /admin."""
        body = await request.body(TEXT_BYTES_MAX)
        try:
            wanted = msgspec.json.decode(body, type=LocalRequest)
        except msgspec.DecodeError as error:
            raise HttpError(400, f"no request: {error}") from error
        names = tuple(Fingerprint(bytes.fromhex(one)) for one in wanted.fingerprints)
        nonce = self._token(NONCE_OCTETS)
        user_ids = frozenset(PartHash(bytes.fromhex(one)) for one in wanted.user_ids)
        action = AdminAction(wanted.action)
        if (action in OF_USER_IDS) != bool(user_ids):
            raise HttpError(400, "user_ids go with redact-uid and unredact-uid, and only there")
        job = Job(action, names, wanted.reason, nonce, user_ids=user_ids)
        return answer(job.action, await carry_out(self._router, job, self._observer))


async def carry_out(router: Router, job: Job, observer: Observer) -> Outcomes:
    """Do it, one certificate after the other; each is durable, and in the audit log.

    What was done before something went wrong stays, and the same request does the rest.

    Raises:
        ActorError: a shard does not answer.
        HttpError: the disk is full, or read-only, or a bug of ours.
    """
    outcomes: Outcomes = {}
    for name in job.names:
        try:
            outcomes[name] = outcome = await _outcome(router, job, name)
        except DeclaredError as error:
            if isinstance(error.failure, ReadOnly):
                raise HttpError(READ_ONLY.status, FROZEN) from error
            raise
        by = None if job.by is None else _hex(job.by)
        told = Told(job.action.value, outcome.result.value, _hex(name), by, job.nonce.hex())
        observer.administered(told)
    return outcomes


async def _outcome(router: Router, job: Job, name: Fingerprint) -> Outcome:
    """Do it, unless it is asked for a subkey: whoever names one means what is not done by it."""
    if job.action in _OF_PRIMARIES:
        primaries = await _primaries(router, name)
        if primaries:
            return Outcome(Result.SUBKEY, primaries)
    result = _result(await _ask(router, job, name))
    if result in (Result.NOT_BLOCKED, Result.NOT_REDACTED):
        primaries = await _primaries(router, name)
        if primaries:
            return Outcome(Result.SUBKEY, primaries)
    return Outcome(result)


async def _primaries(router: Router, name: Fingerprint) -> tuple[Fingerprint, ...]:
    """The certificates that have this as a subkey; none if there is one of this name itself."""
    (source,) = await router.sources([name])
    if source is not None:
        return ()
    return await router.find(Term(TermKind.FINGERPRINT, name), PRIMARIES_TOLD)


async def _ask(
    router: Router, job: Job, name: Fingerprint
) -> Administered | Replayed | NoSpace | Failed:
    order = Order(job.by, job.reason, job.nonce)
    match job.action:
        case AdminAction.BLOCK | AdminAction.DELETE:
            return await router.deny(name, order)
        case AdminAction.UNBLOCK:
            return await router.allow(name, order)
        case AdminAction.REPLACE:
            return await router.replace(job.puts[name], order)
        case AdminAction.REDACT:
            return await router.redact(name, job.user_ids, order)
        case AdminAction.UNREDACT:
            return await router.unredact(name, job.user_ids, order)
        case _:
            assert_never(job.action)


def _result(reply: Administered | Replayed | NoSpace | Failed) -> Result:
    match reply:
        case Administered(effect):
            return _RESULTS[effect]
        case Replayed():
            return Result.REPEATED
        case NoSpace():
            raise HttpError(NO_SPACE.status, FULL)
        case Failed():
            raise HttpError(BUG.status, BUG.text)
        case _:
            assert_never(reply)


def answer(action: AdminAction, outcomes: Outcomes) -> Response:
    """What to say: 409 where nothing was done."""
    lines = tuple(
        Line(_hex(name), outcome.result, tuple(map(_hex, outcome.primaries)))
        for name, outcome in outcomes.items()
    )
    return worded(Report(action, lines), outcomes)


def _hex(name: Fingerprint) -> str:
    return name.hex().upper()


def worded(value: object, outcomes: Outcomes) -> Response:
    """The same, in another shape."""
    is_done = any(outcome.result in EFFECTIVE for outcome in outcomes.values())
    status = 200 if is_done else 409
    return Response(status, msgspec.json.encode(value) + b"\n", JSON)

"""What an administrator's request does to the user IDs of a certificate: pure, one at a time."""

import msgspec

from keygrove.storage.administration import Ruling, rule
from keygrove.storage.audit import Action, Effect, Record
from keygrove.storage.messages import Administer, Redact, Replace, Unredact
from keygrove.storage.state import findings_of, put_of, stored
from keygrove.storage.version import Whole
from keygrove.storage.write import Cause, Denial, Lift, Put, Redacted, Redaction, Write
from keygrove_protocols.openpgp.policy import Policy
from keygrove_protocols.openpgp.redaction import PartHash, without_parts
from keygrove_protocols.openpgp.rules import keep


class Standing(msgspec.Struct, frozen=True):
    """How it stands with a certificate: held, or denied, or neither; and what is redacted."""

    held: Whole | None
    denial: Denial | None
    redacted: Redacted


def rule_all(message: Administer, standing: Standing, policy: Policy, now: int) -> Ruling:
    """What becomes of any request for a certificate that stands so."""
    match message:
        case Redact():
            return _redact(message, standing, policy, now)
        case Unredact():
            return _unredact(message, standing, now)
        case Replace() if standing.denial is None:
            return _replace(message, standing, policy, now)
        case _:
            return rule(message, standing.held, standing.denial, policy, now)


def _redact(message: Redact, standing: Standing, policy: Policy, now: int) -> Ruling:
    """Take them out of what is held; where nothing is left without them, all of it."""
    held = standing.held
    own = standing.redacted.by_origin.get("", frozenset()) | message.user_ids
    redacted = standing.redacted.parts | own
    # What is held of one that is denied has no user IDs.
    is_whole = held is not None and standing.denial is None
    less = _without(held.packets, held.aside, redacted, policy) if held and is_whole else None
    write: Write | None = None
    match less:
        case Put():
            write = msgspec.structs.replace(less, at=now)
        case _Nothing():
            write = Lift(message.fingerprint, now)
        case None:
            pass
    effect = Effect.DONE if write else Effect.NOT_HELD
    redaction = Redaction(message.fingerprint, own, now)
    return Ruling(_record(message, Action.REDACT, effect, now), write, redaction)


def _unredact(message: Unredact, standing: Standing, now: int) -> Ruling:
    own = standing.redacted.by_origin.get("", frozenset())
    left = own - message.user_ids
    if left == own:
        return Ruling(_record(message, Action.UNREDACT, Effect.NOT_REDACTED, now), None)
    record = _record(message, Action.UNREDACT, Effect.DONE, now)
    return Ruling(record, None, Redaction(message.fingerprint, left, now))


def _replace(message: Replace, standing: Standing, policy: Policy, now: int) -> Ruling:
    """What takes the place of another is without what is redacted, too."""
    put = message.put
    less = _without(put.packets, put.aside, standing.redacted.parts, policy)
    if isinstance(less, _Nothing):
        return Ruling(_record(message, Action.REPLACE, Effect.NOTHING_LEFT, now), None)
    message = msgspec.structs.replace(message, put=less or put)
    return rule(message, standing.held, standing.denial, policy, now)


class _Nothing(msgspec.Struct, frozen=True):
    """Of a certificate without its redacted user IDs there is nothing that may be held."""


def _without(
    packets: bytes, aside: bytes, redacted: frozenset[PartHash], policy: Policy
) -> Put | _Nothing | None:
    """What is stored of a certificate without these user IDs; None if it has none of them."""
    findings = findings_of(packets, aside)
    left = without_parts(findings, redacted)
    if left is findings:
        return None
    kept = keep(left, policy)
    if kept.error == "NoValidSelfSig":
        return _Nothing()
    # Whatever else is wrong with it by today's policy, it is held, and stays.
    return put_of(kept, left, stored(kept, left, policy), cause=Cause.ADMIN, at=0)


def _record(message: Administer, action: Action, effect: Effect, now: int) -> Record:
    order = message.order
    return Record(order.by, action, effect, message.fingerprint, order.reason, now, order.nonce)

"""What an administrator's request does to a certificate: pure, one at a time."""

import msgspec

from keygrove.storage.audit import Action, Effect, Record
from keygrove.storage.denying import revocation_in
from keygrove.storage.messages import Allow, Deny, Replace
from keygrove.storage.version import Whole
from keygrove.storage.write import Cause, Denial, Lift, Put, Redaction, Write
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.policy import Policy


class Ruling(msgspec.Struct, frozen=True):
    """What has to be written for a request: a record always, for it must not be done twice."""

    record: Record
    write: Write | None
    redaction: Redaction | None = None


def rule(
    message: Deny | Allow | Replace,
    held: Whole | None,
    denial: Denial | None,
    policy: Policy,
    now: int,
) -> Ruling:
    """What becomes of a request for a certificate that is held, or denied, or neither."""
    name, order = message.fingerprint, message.order
    effect = Effect.DONE
    write: Write | None = None
    match message:
        case Deny():
            action = Action.DENY
            if denial is not None:
                effect = Effect.DENIED_BEFORE
            else:
                effect = Effect.AHEAD if held is None else Effect.DONE
                left = None if held is None else _left(held, policy, now)
                write = Denial(name, order.reason, now, _digests(held), left)
        case Allow():
            action = Action.ALLOW
            if denial is None:
                effect = Effect.NOT_DENIED
            else:
                write = Lift(name, now, None if held is None else _left(held, policy, now))
        case Replace(_, put):
            action = Action.REPLACE
            if denial is None:
                write = msgspec.structs.replace(put, cause=Cause.ADMIN, at=now)
            else:
                effect = Effect.DENIED
    return Ruling(Record(order.by, action, effect, name, order.reason, now, order.nonce), write)


def _left(held: Whole, policy: Policy, now: int) -> Put | None:
    """What its key says against itself for good."""
    return revocation_in(held.packets, held.aside, policy, now)


def _digests(held: Whole | None) -> tuple[Digest, ...]:
    """The states that are known."""
    return () if held is None else tuple(dict.fromkeys((held.digest, held.sks_digest)))

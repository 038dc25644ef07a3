"""What the actors of push are asked and what they answer."""

from typing import ClassVar, Final

import msgspec

from keygrove.push.outbox import Standing
from keygrove.settings import PushTarget, ReconPartner
from keygrove_actors import Call, CallFailure

PUSH: Final = "push"
"""The supervisor of all of them."""
PLACES: Final = "push.places"
"""The name of the actor that remembers how far each target is."""
TARGETS: Final = "push.targets"
"""The name of the actor that has the others."""


def label_of(to: str) -> str:
    """What a target is called where `/` has another meaning."""
    return to.replace("://", ":")


def target_name(to: str) -> str:
    """The name of a target's actor."""
    return f"push.target.{label_of(to)}"


class PlacesApi:
    """The protocol of whoever remembers."""


class Unreadable(CallFailure, frozen=True, tag=True):
    """It cannot be read now what is remembered."""

    why: str


class LoadStanding(Call[PlacesApi, Standing | None], frozen=True, tag=True):
    """How far a target was; None if nothing is known of it."""

    errors: ClassVar = (Unreadable,)
    target: str


class WhenLost(Call[PlacesApi, int | None], frozen=True, tag=True):
    """When, in the last month, it was lost how far a target was: seconds, UTC."""

    errors: ClassVar = ()
    target: str


class SaveStanding(Call[PlacesApi, None], frozen=True, tag=True):
    """Remember how far a target is."""

    errors: ClassVar = ()
    target: str
    standing: Standing
    is_synced: bool
    """It outlasts a loss of power; else one before it may be what is left."""


class TargetApi:
    """The protocol of a target's actor."""


class TargetStatus(msgspec.Struct, frozen=True, tag=True):
    """How it stands with a target. Figures that only grow count from the actor's last start."""

    to: str
    when: str
    is_standing_by: bool
    """Recon with its partner works, so it is sent nothing."""
    is_ready: bool
    """It is known what it is to be sent."""
    lost_at: int | None
    """When it was lost how far it was, in the last month: what changed before, and had not been
    sent, will not be. Seconds, UTC."""
    lag: int | None
    """Changes of shards that it has not been sent; None: a shard starts, or does not answer."""
    results: dict[str, int]
    """Certificates: taken; refused; failed (attempts); passed over, as they came from it; gone
    from here, or denied, before they were sent."""
    failures: int
    """Attempts in a row that failed."""
    retry_in_s: float | None
    """Until the next attempt, where it is left alone now."""
    last_taken: int | None
    """When it last took one: seconds, UTC."""
    last_error: str
    """Of the last attempt; empty if that went well."""
    last_refused: str
    """The last certificate that it refused, and why."""


class GetTarget(Call[TargetApi, TargetStatus], frozen=True, tag=True):
    """How it stands with it."""

    errors: ClassVar = ()


class TargetsApi:
    """The protocol of whoever has the targets' actors."""


class SetTargets(Call[TargetsApi, None], frozen=True, tag=True):
    """From now on the targets are these, and the partners of recon those."""

    errors: ClassVar = ()
    targets: tuple[PushTarget, ...]
    partners: tuple[ReconPartner, ...]


class GetTargets(Call[TargetsApi, tuple[TargetStatus, ...]], frozen=True, tag=True):
    """How it stands with each that answers."""

    errors: ClassVar = ()

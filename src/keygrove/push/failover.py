"""Whether recon with a target's partner works, and what it is known to have brought there.

As long as it works, the target is held to have all that was changed before the last session that
ended well. So when it fails, what is sent begins there.
"""

from typing import Final

import msgspec

from keygrove.push.outbox import Outbox, Standing
from keygrove.recon.gossip import ANSWER_S, GetPartners, GossipApi, PartnerStatus
from keygrove_actors import ActorError, Ref

LOOK_S: Final = 5.0
"""Between two looks at how recon stands."""


class Look(msgspec.Struct, frozen=True):
    """How it stands."""

    is_failing: bool
    has: Standing | None = None
    """From here on is what the target may lack; None: nothing new is known of that."""


class Failover:
    """Of one target."""

    def __init__(self, partner: str, gossip: Ref[GossipApi], outbox: Outbox) -> None:
        self._partner = partner
        self._gossip = gossip
        self._outbox = outbox
        self._mark: Standing | None = None
        """How the shards stood at a time since which no session has begun, and ended well, yet."""
        self._ended: dict[str, int] = {}
        """When the first one ended since, by who began it."""

    async def look(self, now: int) -> Look:
        """How it stands now.

        Args:
            now: seconds UTC.

        Raises:
            ActorError: a shard does not answer.
        """
        found = await self._found()
        if found is not None and found.failures:
            self._mark = None
            return Look(is_failing=True)
        has = None
        if self._mark is not None and self._mark.as_of > now:
            self._mark = None  # the clock was ahead
        if self._mark is not None and self._has_passed(found, self._mark.as_of):
            has, self._mark = self._mark, None
        if self._mark is None:
            self._mark, self._ended = await self._outbox.present(now), {}
        return Look(is_failing=False, has=has)

    def _has_passed(self, found: PartnerStatus | None, mark: int) -> bool:
        """Whether a session ended well that began after the mark.

        It did if one before it, which the same side began, ended after the mark.
        """
        if found is None or found.peer is None:
            return False
        ends = {"ours": found.peer.last_ours, "theirs": found.peer.last_theirs}
        for side, at in ends.items():
            if at is not None and at > mark and self._ended.setdefault(side, at) != at:
                return True
        return False

    async def _found(self) -> PartnerStatus | None:
        try:
            partners = await self._gossip.call(GetPartners(), timeout=ANSWER_S)
        except ActorError:
            return None  # that is nothing which the partner did
        return next((one for one in partners if one.name == self._partner), None)

"""The set that partners see, brought up from the stores' changes, step by step, or made anew.

Each shard's changes are taken in their order; what one of them takes away has to be there. After
the set was made anew that holds only for what was changed after it had been listed: until then a
step may already be done. What does not fit is a fault of ours, and nobody knows what else is wrong:
the set is made anew.
"""

from typing import Final

import anyio.lowlevel

from keygrove.cluster.router import Router, shard_name
from keygrove.errors import OutOfStepError
from keygrove.points import sometimes
from keygrove.recon.listing import Heads, built, listed
from keygrove.recon.members import Members, shown
from keygrove.recon.superseded import Superseded
from keygrove.recon.treefile import VIEW, Dumped, Place, Standing
from keygrove.storage.messages import Failed
from keygrove.storage.snapshot_messages import GetSteps, NotKept
from keygrove.storage.steps import Step, Steps
from keygrove_actors import DeclaredError
from keygrove_protocols.errors import TreeMismatchError
from keygrove_protocols.recon.prefix import ROOT

PULL: Final = 1_000
"""Changes that a shard is asked for at once."""
SLICE: Final = 16
"""Changes taken in at once: some three milliseconds in a tree of a million."""


class Upkeep:
    """The set of one node, and where in the stores' pasts it is."""

    def __init__(self, router: Router, shards: int, superseded: Superseded) -> None:
        self._router = router
        self._shards = shards
        self._superseded = superseded
        self.members = Members()
        self.places: list[Place] | None = None
        """Of each shard; None: the set has to be made first."""
        self.newest = [0] * shards
        """Of each shard, the newest change that is known of."""
        self.whole: Dumped | None = None
        """The set of a moment, and which: what may be dumped."""
        self.mismatches = self.rebuilds = 0
        self._lenient_until = [0] * shards

    @property
    def changes(self) -> tuple[int, ...]:
        """Of each shard, up to where it is in the set."""
        places = self.places or [Place(0, b"")] * self._shards
        return tuple(one.change for one in places)

    def resume(self, dumped: Dumped) -> None:
        """Go on from there."""
        standing = dumped.standing
        self.members = Members(dumped.tree, dict(standing.shared))
        self.places = list(standing.places)
        self.newest = [one.change for one in standing.places]

    def is_like(self, other: "Upkeep") -> bool | None:
        """Whether both are the same set; None: they are of different moments."""
        if self.places is None or self.places != other.places:
            return None
        mine, others = (one.members for one in (self, other))
        roots = (mine.tree.node(ROOT), others.tree.node(ROOT))
        values = [(root.size, root.samples) for root in roots]
        return values[0] == values[1] and mine.shared == others.shared

    async def make_anew(self) -> None:
        """From what the stores hold.

        Raises:
            ActorError: a shard does not answer.
            StoreError: a shard cannot be read.
        """
        self.places, self.whole = None, None
        heads = Heads()
        gathered = await listed(self._router, self._shards, heads)
        self.members = await built(gathered)
        self.places = [Place(one.change, one.root) for one in heads.before]
        self._lenient_until = [one.change for one in heads.after]
        self.newest = list(self._lenient_until)
        self.rebuilds += 1
        sometimes("recon.rebuilt")

    async def catch_up(self) -> None:
        """Take in all that changed since.

        Raises:
            ActorError: a shard does not answer.
            OutOfStepError: it cannot be done: make the set anew.
        """
        for shard in range(self._shards):
            while await self._pull(shard):
                pass

    async def _pull(self, shard: int) -> bool:
        """Take in some; whether there is more."""
        assert self.places is not None
        found = await self._ask(shard, self.places[shard])
        await self._take_in(shard, found.steps)
        self.places[shard] = Place(found.head.change, found.head.root)
        self.newest[shard] = found.newest
        if all(map(int.__ge__, self.changes, self._lenient_until)):
            standing = Standing(VIEW, tuple(self.places), dict(self.members.shared))
            self.whole = Dumped(self.members.tree.snapshot(), standing)
        return found.head.change < found.newest

    async def _ask(self, shard: int, place: Place) -> Steps:
        try:
            found = await self._router.ask(shard, GetSteps(place.change, place.root, PULL))
        except DeclaredError as error:
            if not isinstance(error.failure, NotKept):
                raise
            raise OutOfStepError(
                f"{shard_name(shard)} does not keep what came after change {place.change}"
            ) from error
        if isinstance(found, Failed):
            raise OutOfStepError(f"the changes of {shard_name(shard)} cannot be read")
        return found

    async def _take_in(self, shard: int, steps: tuple[Step, ...]) -> None:
        for start in range(0, len(steps), SLICE):
            some = steps[start : start + SLICE]
            is_lenient = some[0].change <= self._lenient_until[shard]
            try:
                self.members.follow(some, is_lenient=is_lenient)
            except TreeMismatchError as error:
                self.mismatches += 1
                raise OutOfStepError(f"a change of {shard_name(shard)} does not fit") from error
            for one in some:
                before = shown(one.fingerprint, one.before)
                if before is not None and before != one.after:
                    self._superseded.add(before, one.fingerprint)
            await anyio.lowlevel.checkpoint()

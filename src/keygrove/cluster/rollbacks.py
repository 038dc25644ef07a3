"""Rollbacks of all shards together.

First every shard knows what is to be done, then each begins: what a crash breaks off in between
is prepared here and under way there, and goes on where it is asked for again.
"""

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from keygrove.cluster.placement import Placement
from keygrove.cluster.snapshots import Moment, Shards, Snapshots
from keygrove.errors import DamagedError, DiskFullError, RollbackError, SnapshotError
from keygrove.storage.mark import NOW
from keygrove.storage.messages import (
    Concerns,
    Failed,
    GetRollbacks,
    NoSpace,
    Rehearse,
    Roll,
    Unknown,
)
from keygrove.storage.rollback import Before, Rehearsal, Rollback, Selector, Stage, Toll
from keygrove.storage.write import Cause
from keygrove_protocols.openpgp.keys import Fingerprint


class Selection(msgspec.Struct, frozen=True):
    """Which changes are meant, of all shards: those of which all of this holds."""

    since: str = ""
    """A text as `Snapshots.moment` takes them; empty: since there was nothing."""
    until: str = NOW
    causes: frozenset[Cause] = frozenset()
    origins: frozenset[str] = frozenset()
    names: frozenset[Fingerprint] | None = None
    is_forced: bool = False

    @property
    def is_narrow(self) -> bool:
        """Does it leave anything?"""
        return bool(self.since or self.causes or self.origins or self.names is not None)


class Standing(msgspec.Struct, frozen=True):
    """How a rollback stands."""

    name: str
    stage: Stage
    """The one that the shard is at which is furthest behind."""
    toll: Toll
    """Of all shards."""
    reason: str
    at: int
    """When the last shard came to its stage: seconds, UTC."""
    is_partial: bool
    """Some shard does not know it, or they are not at one stage."""
    before: Before | None
    """Of all shards, how it stood when its undo began."""


class Rollbacks:
    """Every method raises `ActorError` when a shard cannot answer.

    A rollback has a snapshot of the state before it: what retention needs to keep for its undo.
    """

    def __init__(self, shards: Shards, number: int, snapshots: Snapshots) -> None:
        self._shards = shards
        self._placement = Placement(number)
        self._number = number
        self._snapshots = snapshots

    async def rehearse(self, name: str, selection: Selection, at: int) -> Rehearsal:
        """What it would come to if it were carried out now.

        Raises:
            RollbackError: it selects everything, or nothing that is held.
            SnapshotError: a moment means nothing.
        """
        selected = await self._selected(name, selection, "", at)
        await self._ensure_concerned(selected)
        return await self._rehearse(selected)

    async def begin(self, name: str, selection: Selection, reason: str, at: int) -> Standing:
        """Have it carried out: when this returns it will be, whatever happens.

        Raises:
            DiskFullError: it is not begun, or not by all shards: the text says what to do.
            RollbackError: it selects everything, or nothing that is held, or there is one of that
                name.
            SnapshotError: a moment means nothing.
        """
        prepared = await self._selected(name, selection, reason, at)
        if any(one.name == name for one in await self.all()):
            raise RollbackError(f"there is a rollback {name!r}: see keygrove rollback --status")
        await self._ensure_concerned(prepared)
        try:
            await self._snapshots.create(snapshot_of(name))
            for shard, one in enumerate(prepared):
                _rolled(name, await self._shards.ask(shard, Roll(one)))
        except DiskFullError as error:
            advice = "nothing was taken back, so free some, then begin it again"
            raise DiskFullError("the rollback", advice + await self._forget(name)) from error
        return await self.resume(name, at)

    async def _forget(self, name: str) -> str:
        """Drop the snapshot of a rollback that was not begun; or what to say where that fails."""
        snapshot = snapshot_of(name)
        try:
            await self._snapshots.drop(snapshot)
        except SnapshotError:  # no shard has it
            pass
        except DiskFullError:
            return f", and run `keygrove snapshot drop {snapshot}`, which is of no use any more"
        return ""

    async def resume(self, name: str, at: int) -> Standing:
        """Have every shard begin that is prepared, and no more.

        Raises:
            DiskFullError: not all have begun: ask again.
            RollbackError: there is none of that name, or some shard does not know it.
        """
        await self._roll_all(name, Stage.RUNNING, at)
        return await self.one(name)

    async def rehearse_undo(self, name: str, at: int) -> Rehearsal:
        """What the undo would come to if it were carried out now.

        Raises:
            RollbackError: there is none of that name that is done.
        """
        return await self._rehearse([_asked(name, Stage.UNDOING, at)] * self._number)

    async def undo(self, name: str, at: int) -> Standing:
        """Have it undone: when this returns it will be, whatever happens.

        Raises:
            DiskFullError: not all shards have begun: ask again.
            RollbackError: there is none of that name, or it is under way still.
        """
        await self._roll_all(name, Stage.UNDOING, at)
        return await self.one(name)

    async def one(self, name: str) -> Standing:
        """How that one stands.

        Raises:
            RollbackError: there is none of that name.
        """
        found = next((one for one in await self.all() if one.name == name), None)
        if found is None:
            raise _unknown(name)
        return found

    async def all(self) -> list[Standing]:
        """All of them, the oldest first."""
        by_name: defaultdict[str, list[Rollback]] = defaultdict(list)
        for known in await self._known():
            for one in known:
                by_name[one.name].append(one)
        found = [self._standing(name, some) for name, some in by_name.items()]
        return sorted(found, key=lambda one: (one.at, one.name))

    async def _known(self) -> list[tuple[Rollback, ...]]:
        """Those of each shard.

        Raises:
            DamagedError: a shard cannot read them.
        """
        known: list[tuple[Rollback, ...]] = []
        for reply in await self._shards.ask_all(GetRollbacks()):
            if isinstance(reply, Failed):
                raise _damaged()
            known.append(reply.rollbacks)
        return known

    def _standing(self, name: str, some: Sequence[Rollback]) -> Standing:
        stages = {one.stage for one in some}
        return Standing(
            name,
            min(stages, key=lambda stage: stage.value),
            sum((one.toll for one in some), Toll()),
            some[0].reason,
            max(one.at for one in some),
            len(some) < self._number or (len(stages) > 1 and Stage.PREPARED in stages),
            _before([one.before for one in some if one.before is not None]),
        )

    async def _ensure_concerned(self, rollbacks: Sequence[Rollback]) -> None:
        for shard, one in enumerate(rollbacks):
            found = await self._shards.ask(shard, Concerns(one))
            if isinstance(found, Failed):
                raise _damaged()
            if found:
                return
        raise RollbackError(
            "nothing that is held came by these changes, so there is nothing to take back: see "
            "that the load, the partner, the fingerprints and the moments are those that you mean"
        )

    async def _rehearse(self, rollbacks: Sequence[Rollback]) -> Rehearsal:
        whole = Rehearsal(Toll(), (), {})
        for shard, one in enumerate(rollbacks):
            found = await self._shards.ask(shard, Rehearse(one))
            if isinstance(found, Failed):
                raise _damaged()
            if isinstance(found, Unknown):
                raise _unknown(one.name)
            brought = {
                text: whole.brought.get(text, 0) + found.brought.get(text, 0)
                for text in whole.brought | found.brought
            }
            whole = Rehearsal(whole.toll + found.toll, whole.entangled + found.entangled, brought)
        return whole

    async def _roll_all(self, name: str, stage: Stage, at: int) -> None:
        known = [{one.name for one in some} for some in await self._known()]
        if not all(name in names for names in known):
            raise _partial(name) if any(name in names for names in known) else _unknown(name)
        for reply in await self._shards.ask_all(Roll(_asked(name, stage, at))):
            _rolled(name, reply, "undo" if stage is Stage.UNDOING else "resume")

    async def _selected(
        self, name: str, selection: Selection, reason: str, at: int
    ) -> list[Rollback]:
        """What each shard is to do."""
        if not selection.is_narrow:
            raise RollbackError(
                "this would take back everything: say since when, or by which cause, partner or "
                "load, or of which certificates"
            )
        since: Moment = (0,) * self._number
        if selection.since:
            since = await self._snapshots.moment(selection.since)
        until = await self._snapshots.moment(selection.until)
        newest = await self._snapshots.moment(NOW)
        if any(one > last for one, last in zip((*since, *until), newest * 2, strict=True)):
            raise RollbackError("one of the moments is of a change that there never was")
        by_shard: list[set[Fingerprint]] = [set() for _ in range(self._number)]
        for fingerprint in selection.names or ():
            by_shard[self._placement.shard(fingerprint)].add(fingerprint)
        return [
            Rollback(
                name,
                Selector(
                    until=until[shard],
                    after=since[shard],
                    causes=selection.causes,
                    origins=selection.origins,
                    names=None if selection.names is None else frozenset(by_shard[shard]),
                ),
                selection.is_forced,
                reason,
                Stage.PREPARED,
                Toll(),
                at,
            )
            for shard in range(self._number)
        ]


def _before(some: Sequence[Before]) -> Before | None:
    if not some:
        return None
    return Before(sum((one.toll for one in some), Toll()), max(one.at for one in some))


def snapshot_of(name: str) -> str:
    """The snapshot of the state before a rollback."""
    return f"rollback-{name}"


def _asked(name: str, stage: Stage, at: int) -> Rollback:
    """Names one that the shard knows."""
    return Rollback(name, Selector(0), is_forced=False, reason="", stage=stage, toll=Toll(), at=at)


def _damaged() -> DamagedError:
    return DamagedError("a shard met damage in its history: see its log, and run keygrove fsck")


def _rolled(name: str, reply: Rollback | Unknown | NoSpace | Failed, again: str = "resume") -> None:
    match reply:
        case Failed():
            raise _damaged()
        case NoSpace():
            advice = f"free some, then run `keygrove rollback --{again} {name}`"
            raise DiskFullError("the rollback in all shards", advice)
        case Unknown():
            raise RollbackError(f"rollback {name!r} is under way still: wait until it is done")
        case Rollback():
            pass


def _unknown(name: str) -> RollbackError:
    return RollbackError(f"there is no rollback {name[:80]!r}: see keygrove rollback --status")


def _partial(name: str) -> RollbackError:
    return RollbackError(
        f"rollback {name!r} was broken off before all shards knew it, and took nothing back: "
        "begin another"
    )

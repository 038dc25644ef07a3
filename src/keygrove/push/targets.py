"""Who the targets are: their actors are made here, at the start and when settings change."""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Final, TypeAlias

import anyio

from keygrove.push.address import Names, names_of
from keygrove.push.around import Around
from keygrove.push.messages import (
    PUSH,
    GetTarget,
    GetTargets,
    SetTargets,
    TargetApi,
    TargetsApi,
    TargetStatus,
    label_of,
    target_name,
)
from keygrove.push.target import Target
from keygrove.recon.restarts import tenacious
from keygrove.settings import PushTarget, ReconPartner
from keygrove_actors import (
    Actor,
    ActorError,
    ChildSpec,
    Ctx,
    SupSpec,
    on,
)

SENDING: Final = "targets"
"""The supervisor of the targets' actors, below that of push."""
ASK_S: Final = 10.0

Wanted: TypeAlias = tuple[PushTarget, Names]


class Targets(Actor[TargetsApi]):
    """Has the targets' actors."""

    _ctx: Ctx

    def __init__(
        self,
        targets: tuple[PushTarget, ...],
        partners: tuple[ReconPartner, ...],
        around: Around,
    ) -> None:
        self._wanted = {one.to: (one, names_of(one, partners)) for one in targets}
        self._around = around

    async def init(self, ctx: Ctx) -> None:
        """Have them started."""
        self._ctx = ctx
        self._sending = ctx.supervisor(f"{PUSH}/{SENDING}")
        await self._have({})

    @on(SetTargets)
    async def set_targets(self, message: SetTargets) -> None:
        """Those that stay as they are go on."""
        before = self._wanted
        self._wanted = {one.to: (one, names_of(one, message.partners)) for one in message.targets}
        await self._have(before)

    @on(GetTargets)
    async def get_targets(self, _: GetTargets) -> tuple[TargetStatus, ...]:
        """Each is asked; one that does not answer is left out."""
        found: dict[str, TargetStatus] = {}

        async def ask(to: str) -> None:
            with suppress(ActorError):
                ref = self._ctx.whereis(target_name(to), TargetApi)
                found[to] = await ref.call(GetTarget(), timeout=ASK_S)

        async with anyio.create_task_group() as tasks:
            for to in self._wanted:
                tasks.start_soon(ask, to)
        return tuple(found[to] for to in self._wanted if to in found)

    async def _have(self, before: Mapping[str, Wanted]) -> None:
        """Have actors of those that are wanted, and of no others."""
        changed = [to for to, one in self._wanted.items() if before.get(to, one) != one]
        children = tuple(_child(*one, self._around) for one in self._wanted.values())
        await self._sending.replace_spec(SupSpec(children=children))
        for to in changed:
            await self._sending.terminate_child(label_of(to))
            await self._sending.restart_child(label_of(to))
        await self._sending.reconcile()


def _child(target: PushTarget, names: Names, around: Around) -> ChildSpec:
    start = partial(Target, target, names, around)
    return tenacious(ChildSpec(label_of(target.to), start, name=target_name(target.to)))

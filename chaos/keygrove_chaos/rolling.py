"""An operator who takes back what a partner brought, as the manual has it, and restores it.

A rollback of theirs is told from others by its reason, the partner's name. Nothing is asked for
twice: what a crash broke off is looked for, and gone on with.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio

from keygrove.http.rollbacks import Line
from keygrove_chaos.control import CONFLICT, OK, Control, listed
from keygrove_chaos.history import Phase
from keygrove_chaos.servers import Reply
from keygrove_chaos.web import CutError

LOOK_S: Final = 0.25
"""Between two looks whether it is done."""
PATIENCE_S: Final = 12.0
"""Virtual seconds until an operator turns to other things."""
PREPARED: Final = "prepared"
BACKWARDS: Final = frozenset({"undoing", "undone"})


class _Refused(Exception):  # noqa: N818 - never leaves this module
    """The node said no."""


class Rolling:
    """One attempt. What comes of it is `Phase.OK` when all shards are done.

    `Phase.FAIL`: nothing was asked for.
    """

    def __init__(self, control: Control, partner: str) -> None:
        self._control = control
        self._partner = partner
        self._has_asked = False
        self.last: Reply | None = None
        """The last answer."""

    async def roll_back(self) -> Phase:
        """Have it begun, unless it is, and wait until it is done."""
        return await self._attempt(self._roll_back)

    async def undo(self) -> Phase:
        """Have all that was begun undone, and wait until it is."""
        return await self._attempt(self._undo)

    async def _attempt(self, work: Callable[[], Awaitable[Phase]]) -> Phase:
        try:
            with anyio.fail_after(PATIENCE_S):
                return await work()
        except (_Refused, ConnectionRefusedError, TimeoutError, CutError):
            return Phase.INFO if self._has_asked else Phase.FAIL

    async def _roll_back(self) -> Phase:
        there = await self._there()
        if any(one.stage in BACKWARDS for one in there):
            return Phase.FAIL
        is_under_way = any(one.stage != PREPARED for one in there)
        for one in there:
            if one.stage == PREPARED:
                is_under_way |= await self._ask(self._control.resume(one.name))
        if not is_under_way and not await self._ask(self._control.begin(self._partner)):
            raise _Refused
        while not _all(await self._begun(), "done"):  # noqa: ASYNC110 - no time is real
            await anyio.sleep(LOOK_S)
        return Phase.OK

    async def _undo(self) -> Phase:
        asked: set[str] = set()
        while begun := await self._begun():
            if _all(begun, "undone"):
                return Phase.OK
            for one in begun:
                if one.stage == "done" and one.name not in asked:
                    await self._ask(self._control.undo(one.name))
                    asked.add(one.name)
            await anyio.sleep(LOOK_S)
        return Phase.FAIL

    async def _begun(self) -> list[Line]:
        """Those that were not broken off before they began."""
        return [one for one in await self._there() if one.stage != PREPARED]

    async def _there(self) -> list[Line]:
        self.last = await self._control.rollbacks()
        if self.last.status != OK:
            raise _Refused
        return [one for one in listed(self.last) if one.reason == self._partner]

    async def _ask(self, request: Awaitable[Reply]) -> bool:
        """Whether it is done; not where that cannot be."""
        self._has_asked = True
        self.last = await request
        if self.last.status not in {OK, CONFLICT}:
            raise _Refused
        return self.last.status == OK


def _all(lines: Sequence[Line], stage: str) -> bool:
    return bool(lines) and all(one.stage == stage for one in lines)

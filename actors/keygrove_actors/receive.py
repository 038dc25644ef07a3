"""Selective receive within an async handler: wait for one message, leave the others in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keygrove_actors.failures import ReceiveTimeout
from keygrove_actors.mail import WITHDRAWN, Notice, Request, message_of
from keygrove_actors.messages import WrongTask
from keygrove_actors.turns import NO_HANDLERS
from keygrove_actors.wheel import Alarm

if TYPE_CHECKING:
    from keygrove_actors.cell import Cell


class Receiver:
    """Looks at what comes in while its actor's handler waits."""

    __slots__ = ("_cell", "_kind", "_parker", "_where")

    def __init__(self, cell: Cell, kind: type[Any], where: Callable[[Any], bool] | None) -> None:
        self._cell = cell
        self._kind = kind
        self._where = where
        self._parker = cell.hub.backend.parker()

    def matches(self, item: Any) -> bool:
        """Whether it is what is waited for. A cast, or a timer's message; calls stay queued."""
        if isinstance(item, Request):
            return False
        message = getattr(item, "message", None) if isinstance(item, Notice) else item
        return type(message) is self._kind and (self._where is None or self._where(message))

    def take(self) -> Any:
        """The first match in the mailbox, or None; looks at each message once."""
        box, withdrawn = self._cell.box, 0
        for position, item in enumerate(list(box)):
            if self.matches(item):
                del box[position - withdrawn]
                message = message_of(item)
                if message is not WITHDRAWN:
                    return message
                withdrawn += 1
        return None

    def offer(self, item: Any) -> None:
        """A message was queued, the last of all: is it the one?"""
        if self._parker.done():
            return
        try:
            if not self.matches(item):
                return
        except Exception as error:  # noqa: BLE001 - the receiver's own: not for the sender
            self._parker.set_exception(error)
            return
        box = self._cell.box
        del box[len(box) - 1]
        self._parker.set_result(message_of(item))

    async def wait(self, within: float | None) -> Any:
        """The first match to come."""
        cell = self._cell
        alarm = None
        if within is not None:
            alarm = Alarm(cell.hub.wheel, cell.hub.due(within), self._give_up)
        cell.receiver, cell.direct, cell.is_idle = self, NO_HANDLERS, True
        try:
            return await self._parker
        finally:
            if alarm is not None:
                alarm.cancel()
            cell.receiver, cell.is_idle = None, False
            cell.retable()

    def _give_up(self) -> None:
        if not self._parker.done():
            self._parker.set_result(None)


async def receive(
    cell: Cell, kind: type[Any], where: Callable[[Any], bool] | None, within: float | None
) -> Any:
    """The first message of `kind` for which `where` holds, queued already or still to come.

    Raises:
        ReceiveTimeout: none came in time.
        WrongTask: not called from an async handler of a class that is not reentrant.
    """
    if not isinstance(kind, type):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
        raise TypeError(f"{kind!r:.80} is received by nobody: give the class of the casts")
    if cell.hub.calling_cell() is not cell or cell.traits.reentrant or cell.hub.turning is cell:
        raise WrongTask(cell.label, "ctx.receive")
    receiver = Receiver(cell, kind, where)
    found = receiver.take()
    while found is None:
        found = await receiver.wait(within)
        if found is None and within is not None:
            raise ReceiveTimeout(cell.label, kind.__name__, within)
    return found

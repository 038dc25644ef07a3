"""Handlers of one actor that run side by side, where its class says `reentrant`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keygrove_actors.messages import DeclaredError

if TYPE_CHECKING:
    from keygrove_actors.cell import Cell
    from keygrove_actors.host import Work

REENTRANT_TASKS_MAX: Final = 1000
"""Handlers that run side by side; beyond, the actor works in sequence, and mail queues."""


async def interleave(cell: Cell, work: Work) -> None:
    """Run one handler in a task of its own; its failure is the actor's crash."""
    handler, message, request = work
    hosts, task = cell.hub.hosts, cell.hub.backend.current_task()
    if cell.currents is None:
        cell.currents = {}
    hosts[task] = cell
    if request is not None:
        cell.currents[task] = request
    try:
        answer = await handler(cell.actor, message)
    except DeclaredError as error:
        if request is None:
            raise
        cell.declared(request, error)
    else:
        cell.settle(message if request is None else request, answer)
    finally:
        del hosts[task]
    cell.currents.pop(task, None)
    cell.handled += 1
    if cell.reason is not None:
        cell.signalled()

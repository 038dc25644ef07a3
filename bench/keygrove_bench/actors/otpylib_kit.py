"""What probes of otpylib are made of: servers that note what happens to them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from keygrove_bench.actors.peer_otpylib import gen_server, in_process, module, modules, process
from keygrove_bench.actors.sides import Figures
from keygrove_bench.actors.verdicts import Probe

PAUSE_S: Final = 0.1

Handler = Callable[..., Awaitable[Any]]


def server(
    trace: list[Any] | None = None, *, call: Handler | None = None, info: Handler | None = None
) -> Any:
    """A class of servers that note their starts and ends; casts and calls do as they say.

    A message that is an exception is raised; of "stop" and a number, the one ends it
    normally and the other takes so many seconds.
    """
    seen = [] if trace is None else trace

    async def init(_: Any, name: Any) -> Any:
        await _wait_or_raise(getattr(name, "fails", None))
        seen.append(("start", name))
        return name

    async def handle_call(_: Any, message: Any, sender: Any, state: Any) -> Any:
        if call is not None:
            return await call(message, sender, state)
        await _wait_or_raise(message)
        return gen_server.Reply(message), state

    async def handle_cast(_: Any, message: Any, state: Any) -> Any:
        seen.append(("cast", message))
        await _wait_or_raise(message)
        stops = message == "stop"
        return gen_server.Stop("normal") if stops else gen_server.NoReply(), state

    async def handle_info(_: Any, message: Any, state: Any) -> Any:
        if info is not None:
            await info(message)
        return gen_server.NoReply(), state

    async def terminate(_: Any, __: Any, state: Any) -> None:
        seen.append(("stop", state))

    callbacks = (init, handle_call, handle_cast, handle_info, terminate)
    return module("Probe", modules.GEN_SERVER, **{one.__name__: one for one in callbacks})


async def _wait_or_raise(message: Any) -> None:
    if isinstance(message, Exception):
        raise message
    if isinstance(message, float):
        await asyncio.sleep(message)


def probe(main: Callable[[], Awaitable[None]]) -> Probe:
    """`main` in a process of a fresh runtime."""

    async def figures() -> Figures:
        await main()
        return {}

    async def run() -> None:
        await in_process(figures)

    return run


async def pause() -> None:
    """Let everything settle."""
    await asyncio.sleep(PAUSE_S)


async def failure(pending: Awaitable[Any]) -> str:
    """The name of the exception raised soon; "" if none."""
    try:
        await asyncio.wait_for(pending, PAUSE_S * 5)
    except TimeoutError:
        return ""
    except Exception as error:  # noqa: BLE001 - its name is the answer
        return type(error).__name__
    return ""


async def mail() -> list[Any]:
    """All that lies in the prober's mailbox, a little later."""
    await pause()
    found: list[Any] = []
    while True:
        try:
            found.append(await process.receive(timeout=0.01))
        except TimeoutError:
            return found

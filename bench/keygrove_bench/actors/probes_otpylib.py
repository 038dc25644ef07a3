"""The statements tried on otpylib, but those on supervisors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from time import perf_counter
from typing import Any, Final

from keygrove_bench.actors.optional import imported
from keygrove_bench.actors.otpylib_kit import PAUSE_S, failure, mail, pause, probe, server
from keygrove_bench.actors.peer_otpylib import gen_server, module, modules, otp, process
from keygrove_bench.actors.probes_otpylib_sup import SUPERVISORS
from keygrove_bench.actors.verdicts import Probe

gen_statem: Any = imported("otpylib.gen_statem")

_VARIABLE: ContextVar[str] = ContextVar("probe", default="unset")


async def _exit_ends() -> None:
    """A-061."""
    told: list[Any] = []

    async def idle() -> None:
        told.append(await process.receive())

    plain = await process.spawn(idle)
    trapping = await process.spawn(idle, trap_exits=True)
    await pause()
    for pid in (plain, trapping):
        await process.exit(pid, otp.supervisor.atoms.SHUTDOWN)
    await pause()
    assert not process.is_alive(plain)
    assert len(told) == 1


async def _kill() -> None:
    """A-062."""

    async def idle() -> None:
        while True:
            await process.receive()

    pid = await process.spawn(idle, trap_exits=True)
    await pause()
    await process.exit(pid, otp.supervisor.atoms.KILLED)
    await pause()
    assert not process.is_alive(pid)


async def _overtakes() -> None:
    """A-066."""
    seen: list[Any] = []
    pid = await gen_server.start(server(seen), "a", name="a")
    for message in (PAUSE_S, 1, 2):
        await gen_server.cast("a", message)
    await asyncio.sleep(0)
    await process.exit(pid, otp.supervisor.atoms.SHUTDOWN)
    await pause()
    assert ("cast", 2) not in seen


async def _links() -> None:
    """A-067."""
    pid = await gen_server.start(server(), "a", name="a")
    await process.link(pid)
    await process.link(pid)
    await process.unlink(pid)
    await gen_server.cast("a", ValueError("crash"))
    assert not await mail(), "the exit arrives all the same"


async def _link_dead() -> None:
    """A-068."""
    pid = await _dead()
    assert not await failure(process.link(pid)), "raises, though it traps exits"
    assert await mail()


async def _monitors() -> None:
    """A-069."""
    pid = await gen_server.start(server(), "a", name="a")
    first, second = await process.monitor(pid), await process.monitor(pid)
    assert first != second, "two have one id"
    await gen_server.cast("a", ValueError("crash"))
    assert len(await mail()) == 2, "not one Down for each"
    assert not await failure(process.monitor(pid)), "raises for a dead target"


async def _demonitor() -> None:
    """A-070."""
    pid = await gen_server.start(server(), "a", name="a")
    monitor = await process.monitor(pid)
    await gen_server.cast("a", ValueError("crash"))
    await pause()
    await process.demonitor(monitor, flush=True)
    assert not await mail(), "the queued Down is handled"


async def _name_taken() -> None:
    """A-080."""
    first = await gen_server.start(server(), "a", name="a")
    refused = await failure(gen_server.start(server(), "b", name="a"))
    assert refused, "a second start takes the name over"
    assert process.whereis("a") == first


async def _one_life() -> None:
    """A-083."""
    pid = await _dead()
    await gen_server.start(server(), "a", name="a")
    assert not process.is_alive(pid)


async def _default_timeout() -> None:
    """A-090."""
    default = gen_server.call.__defaults__[-1]
    assert default is not None, "none unless given"


async def _dead_at_once() -> None:
    """A-091."""
    await _dead()
    assert await failure(gen_server.call("a", 1, timeout=3.0)), "waits"


async def _pending() -> None:
    """A-092."""
    await gen_server.start(server(), "a", name="a")
    failed = await failure(gen_server.call("a", ValueError("crash"), timeout=3.0))
    assert failed, "only when its timeout is over"


async def _self_call() -> None:
    """A-093."""

    async def handle(_: Any, __: Any, state: Any) -> Any:
        return gen_server.Reply(await gen_server.call("a", 1, timeout=PAUSE_S * 20)), state

    await gen_server.start(server(call=handle), "a", name="a")
    assert await failure(gen_server.call("a", 1, timeout=PAUSE_S * 10)), "waits for its timeout"


async def _late() -> None:
    """A-094."""
    await gen_server.start(server(), "a", name="a")
    started = perf_counter()
    try:
        await gen_server.call("a", PAUSE_S, timeout=PAUSE_S / 4)
    except TimeoutError:
        assert perf_counter() - started < PAUSE_S
    await pause()
    assert not await mail(), "it lands in the caller's mailbox"


async def _deferred() -> None:
    """A-098."""
    kept: list[Any] = []

    async def handle(_: Any, sender: Any, state: Any) -> Any:
        kept.append(sender)
        return gen_server.NoReply(), state

    async def answer() -> None:
        await pause()
        await gen_server.reply(kept[0], 5)
        await gen_server.reply(kept[0], 6)

    await gen_server.start(server(call=handle), "a", name="a")
    await process.spawn(answer)
    assert await gen_server.call("a", 1, timeout=2.0) == 5
    assert not await mail(), "a second reply lands in the caller's mailbox"


async def _crash() -> None:
    """A-099."""
    await gen_server.start(server(), "a", name="a")
    await failure(gen_server.call("a", ValueError("crash"), timeout=1.0))
    assert process.whereis("a") is None, "it lives on"
    names = [name.lower() for name in dir(gen_server)]
    assert any("declared" in name or "failure" in name for name in names), "no declared failures"


async def _one_at_a_time() -> None:
    """A-110."""
    running: list[int] = []
    most: list[int] = []

    async def handle(message: Any) -> None:
        running.append(message)
        await asyncio.sleep(0.01)
        most.append(len(running))
        running.pop()

    pid = await gen_server.start(server(info=handle), "a", name="a")
    for number in range(5):
        await process.send(pid, number)
    await pause()
    assert most == [1] * 5


async def _terminate() -> None:
    """A-114."""
    seen: list[Any] = []
    pid = await gen_server.start(server(seen), "a", name="a")
    await process.exit(pid, otp.supervisor.atoms.SHUTDOWN)
    await pause()
    assert ("stop", "a") in seen, "not at shutdown"


async def _timers() -> None:
    """A-120."""
    got: list[Any] = []

    async def main() -> None:
        got.append(await process.receive())

    await process.send_after(PAUSE_S, await process.spawn(main), "due")
    await pause()
    await pause()
    assert got == ["due"]
    pid = await _dead()
    timer = await process.send_after(PAUSE_S, pid, "late")
    assert await process.read_timer(timer) is None, "a dead receiver's timer goes on"


async def _postpone() -> None:
    """A-131."""
    handled: list[Any] = []
    closed, opened = otp.atom.ensure("closed"), otp.atom.ensure("opened")

    async def callback_mode(_: Any) -> Any:
        return gen_statem.CallbackMode.HANDLE_EVENT_FUNCTION

    async def init(_: Any, __: Any) -> Any:
        return closed, None

    async def handle_event(_: Any, __: Any, event: Any, state: Any, data: Any) -> Any:
        if event == "open":
            return gen_statem.NextState(opened, data)
        if state == closed:
            return gen_statem.KeepState(data, [gen_statem.PostponeAction()])
        handled.append(event)
        return gen_statem.KeepState(data)

    async def terminate(*_: Any) -> None:
        pass

    callbacks = (callback_mode, init, handle_event, terminate)
    named = {one.__name__: one for one in callbacks}
    await gen_statem.start(module("Door", modules.GEN_STATEM, **named), None, name="door")
    for event in ("first", "open", "second"):
        await gen_statem.cast("door", event)
    await pause()
    assert handled == ["first", "second"], f"in the order {handled}"


async def _dead_letters() -> None:
    """A-150."""
    pid = await _dead()
    await process.send(pid, 1)
    counted = [name for name in otp.process.__dict__ if "dead" in name]
    assert counted, "they vanish"


async def _bounded() -> None:
    """A-160."""
    pid = await gen_server.start(server(), "a", name="a")
    for _ in range(100_000):
        await process.send(pid, 1)
    raise AssertionError("100,000 messages wait")


async def _context() -> None:
    """A-176."""
    found: list[str] = []

    async def handle(_: Any) -> None:
        found.append(_VARIABLE.get())

    _VARIABLE.set("starter")
    pid = await gen_server.start(server(info=handle), "a", name="a")
    _VARIABLE.set("sender")
    await process.send(pid, 1)
    await pause()
    assert found != ["sender"]


async def _dead() -> Any:
    """The address of a server `a` that has just crashed."""
    pid = await gen_server.start(server(), "a", name="a")
    await gen_server.cast("a", ValueError("crash"))
    await pause()
    return pid


ACTORS: Final[Mapping[str, Callable[[], Awaitable[None]]]] = {
    "A-061": _exit_ends,
    "A-062": _kill,
    "A-066": _overtakes,
    "A-067": _links,
    "A-068": _link_dead,
    "A-069": _monitors,
    "A-070": _demonitor,
    "A-080": _name_taken,
    "A-083": _one_life,
    "A-090": _default_timeout,
    "A-091": _dead_at_once,
    "A-092": _pending,
    "A-093": _self_call,
    "A-094": _late,
    "A-098": _deferred,
    "A-099": _crash,
    "A-110": _one_at_a_time,
    "A-114": _terminate,
    "A-120": _timers,
    "A-131": _postpone,
    "A-150": _dead_letters,
    "A-160": _bounded,
    "A-176": _context,
}

PROBES: Final[Mapping[str, Probe]] = {
    statement: probe(main) for statement, main in {**ACTORS, **SUPERVISORS}.items()
}

ABSENT: Final[Mapping[str, tuple[str, ...]]] = {
    "A-035": ("max_child",),
    "A-050": ("backoff", "jitter"),
    "A-085": ("group", "join"),
    "A-140": ("suspend", "resume"),
}

NAMES: Final = tuple(
    name
    for part in (
        process,
        gen_server,
        otp.supervisor,
        otp.supervisor.options(),
        otp.dynamic_supervisor,
        otp.dynamic_supervisor.options(),
    )
    for name in dir(part)
)

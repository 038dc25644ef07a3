"""W1 to W3, W6 and W7 on otpylib, OTP's behaviours on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, Final

from keygrove_bench.actors.clock import Watch, quantiles
from keygrove_bench.actors.messages import Inc, Ping
from keygrove_bench.actors.optional import imported
from keygrove_bench.actors.sides import Figures
from keygrove_bench.actors.worker import Program

otp: Any = imported("otpylib")
gen_server: Any = imported("otpylib.gen_server")
supervisor: Any = imported("otpylib.supervisor")
dynamic_supervisor: Any = imported("otpylib.dynamic_supervisor")
modules: Any = imported("otpylib.module")
backends: Any = imported("otpylib.runtime.backends.asyncio_backend")
process: Any = otp.process

MONITOR_S: Final = 0.001
"""Its supervisor monitors a child some time after the start; a crash before is never seen."""


def module(name: str, behavior: Any, **callbacks: Callable[..., Awaitable[Any]]) -> Any:
    """A class of otpylib: coroutine functions that serve a behaviour."""
    return modules.OTPModule(name, (), callbacks, behavior=behavior, version="1.0.0")


async def in_process(main: Callable[[], Awaitable[Figures]]) -> Figures:
    """Run `main` in a process of a fresh runtime, since most of otpylib works only there."""
    backend = backends.AsyncIOBackend()
    await backend.initialize()
    process.use_runtime(backend)
    result: asyncio.Future[Figures] = asyncio.get_running_loop().create_future()

    async def body() -> None:
        try:
            result.set_result(await main())
        except Exception as error:  # noqa: BLE001 - raised where it is awaited
            result.set_exception(error)

    try:
        await process.spawn(body, mailbox=True, trap_exits=True)
        return await result
    finally:
        await backend.shutdown()


async def _init(_: Any, argument: Any) -> int:
    if argument is not None:
        argument()
    return 0


async def _handle_call(_: Any, message: object, __: Any, count: int) -> Any:
    answer = message.number if isinstance(message, Ping) else count
    return gen_server.Reply(answer), count


async def _handle_cast(_: Any, message: object, count: int) -> Any:
    if isinstance(message, Inc):
        return gen_server.NoReply(), count + message.by
    assert callable(message)
    message()
    raise RuntimeError("crash")


async def _handle_info(_: Any, __: Any, count: int) -> Any:
    return gen_server.NoReply(), count


async def _terminate(*_: Any) -> None:
    pass


Counter: Any = module(
    "Counter",
    modules.GEN_SERVER,
    init=_init,
    handle_call=_handle_call,
    handle_cast=_handle_cast,
    handle_info=_handle_info,
    terminate=_terminate,
)


async def cast(count: int) -> Figures:
    """W1."""

    async def main() -> Figures:
        await gen_server.start(Counter, None, name="counter")
        watch = Watch()
        for _ in range(count):
            await gen_server.cast("counter", Inc(1))
        assert await gen_server.call("counter", "count") == count
        return watch.rate(count)

    return await in_process(main)


async def call(count: int) -> Figures:
    """W2."""

    async def main() -> Figures:
        await gen_server.start(Counter, None, name="counter")
        watch = Watch()
        for number in range(count):
            assert await gen_server.call("counter", Ping(number), timeout=5.0) == number
        return watch.rate(count)

    return await in_process(main)


async def callers(count: int, each: int) -> Figures:
    """W3."""

    async def main() -> Figures:
        await gen_server.start(Counter, None, name="counter")
        left, done = count, asyncio.Event()

        async def calling() -> None:
            nonlocal left
            for number in range(each):
                await gen_server.call("counter", Ping(number), timeout=5.0)
            left -= 1
            if not left:
                done.set()

        watch = Watch()
        for _ in range(count):
            await process.spawn(calling, mailbox=True)
        await done.wait()
        return watch.rate(count * each)

    return await in_process(main)


async def spawn(count: int) -> Figures:
    """W6."""

    async def init(_: Any, __: Any) -> Any:
        return [], dynamic_supervisor.options()

    sup = module("Sup", modules.DYNAMIC_SUPERVISOR, init=init, terminate=_terminate)

    async def main() -> Figures:
        watch = Watch()
        pid = await dynamic_supervisor.start_link(sup)
        for number in range(count):
            spec = dynamic_supervisor.child_spec(id=str(number), module=Counter)
            assert (await dynamic_supervisor.start_child(pid, spec))[0].name == "ok"
        await process.send(pid, dynamic_supervisor.SHUTDOWN)
        while len(process.processes()) > 1:  # noqa: ASYNC110 - it tells nobody of the end
            await asyncio.sleep(0)
        return watch.rate(count)

    return await in_process(main)


async def restart(count: int) -> Figures:
    """W7: the start counts when `init` has run, which is a little before it is acknowledged."""
    up = asyncio.Event()
    raised: list[float] = []
    acknowledged: list[float] = []

    def started() -> None:
        acknowledged.append(perf_counter())
        up.set()

    async def init(_: Any, __: Any) -> Any:
        child = supervisor.child_spec(id="child", module=Counter, args=started, name="child")
        return [child], supervisor.options(max_restarts=1_000_000, max_seconds=1)

    sup = module("Sup", modules.SUPERVISOR, init=init, terminate=_terminate)

    async def main() -> Figures:
        await supervisor.start_link(sup)
        acknowledged.clear()
        for _ in range(count):
            up.clear()
            await gen_server.cast("child", lambda: raised.append(perf_counter()))
            await up.wait()
            await asyncio.sleep(MONITOR_S)
        times = [after - before for before, after in zip(raised, acknowledged, strict=True)]
        return quantiles(times, {"p50": 0.5, "p99": 0.99}, 1e6)

    return await in_process(main)


PROGRAMS: Final[dict[str, Program]] = {
    "cast": cast,
    "call": call,
    "callers": callers,
    "spawn": spawn,
    "restart": restart,
}

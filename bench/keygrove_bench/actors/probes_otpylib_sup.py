"""The statements on supervisors tried on otpylib."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from keygrove_bench.actors.otpylib_kit import failure, mail, pause, server
from keygrove_bench.actors.peer_otpylib import (
    dynamic_supervisor,
    gen_server,
    module,
    modules,
    process,
)
from keygrove_bench.actors.peer_otpylib import supervisor as sup

PERMANENT: Final = sup.atoms.PERMANENT
ONE_FOR_ONE: Final = sup.atoms.ONE_FOR_ONE

Trace = list[Any]


class Named(str):
    """The name of a child whose `init` raises `fails`, if that is set."""

    __slots__ = ("fails",)

    fails: Exception | None


async def _tree(
    trace: Trace,
    names: str | list[Any] = "abc",
    *,
    strategy: Any = ONE_FOR_ONE,
    restart: Any = PERMANENT,
    intensity: int = 5,
) -> Any:
    """Start a supervisor with servers of these names; forget the trace of the start."""
    child = server(trace)

    async def init(_: Any, __: Any) -> Any:
        specs = [
            sup.child_spec(id=str(name), module=child, args=name, restart=restart, name=str(name))
            for name in names
        ]
        return specs, sup.options(max_restarts=intensity, max_seconds=5, strategy=strategy)

    async def terminate(*_: Any) -> None:
        pass

    pid = await sup.start_link(module("Sup", modules.SUPERVISOR, init=init, terminate=terminate))
    await pause()
    return pid


async def _after(trace: Trace, name: str, message: Any = None) -> Trace:
    """What happens when the server crashes, or handles `message`."""
    trace.clear()
    await gen_server.cast(name, ValueError("crash") if message is None else message)
    await pause()
    return [one for one in trace if one[0] != "cast"]


async def _watched(names: str) -> dict[str, str]:
    """Monitor these servers; which name each monitor is for."""
    return {await process.monitor(process.whereis(name)): name for name in names}


async def _downs(watched: dict[str, str]) -> str:
    """The names of the watched servers that ended, in order."""
    found = await mail()
    return "".join(watched[one[1]] for one in found if isinstance(one, tuple) and one[1] in watched)


async def _ended_in_order() -> None:
    """A-002."""
    pid = await _tree([])
    watched = await _watched("abc")
    await process.send(pid, sup.atoms.SHUTDOWN)
    ended = await _downs(watched)
    assert ended == "cba", f"of a, b, c they end in the order {ended or 'of none'}"


async def _start_order() -> None:
    """A-001."""
    trace: Trace = []
    await _tree(trace)
    assert trace == [("start", name) for name in "abc"], _short(trace)


async def _failed_start() -> None:
    """A-003."""
    bad = Named("b")
    bad.fails = ValueError("init")
    assert await failure(_tree([], ["a", bad, "c"])), "the start succeeds"
    await pause()
    assert process.whereis("a") is None, "the earlier child lives on"


async def _same_ids() -> None:
    """A-006."""
    trace: Trace = []
    refused = await failure(_tree(trace, ["a", "a"]))
    assert refused, "both are started"
    assert not trace, "one is started before"


async def _permanent() -> None:
    """A-020."""
    trace: Trace = []
    await _tree(trace, "a")
    assert ("start", "a") in await _after(trace, "a", "stop"), "it stays down"


async def _transient() -> None:
    """A-021."""
    trace: Trace = []
    await _tree(trace, "a", restart=sup.atoms.TRANSIENT)
    assert ("start", "a") not in await _after(trace, "a", "stop"), "it is restarted"


async def _temporary() -> None:
    """A-022."""
    trace: Trace = []
    await _tree(trace, "a", restart=sup.atoms.TEMPORARY)
    assert ("start", "a") not in await _after(trace, "a"), "it is restarted"


async def _one_for_one() -> None:
    """A-023."""
    trace: Trace = []
    await _tree(trace)
    found = [one for one in await _after(trace, "b") if one != ("stop", "b")]
    assert found == [("start", "b")], _short(found)


async def _one_for_all() -> None:
    """A-024."""
    trace: Trace = []
    await _tree(trace, strategy=sup.atoms.ONE_FOR_ALL)
    watched = await _watched("ac")
    starts = [one for one in await _after(trace, "b") if one[0] == "start"]
    assert starts == [("start", name) for name in "abc"], _short(starts)
    ended = await _downs(watched)
    assert ended == "ca", f"of a, c they end in the order {ended}"


async def _rest_for_one() -> None:
    """A-025."""
    trace: Trace = []
    await _tree(trace, "abcd", strategy=sup.atoms.REST_FOR_ONE)
    watched = await _watched("cd")
    starts = [one for one in await _after(trace, "b") if one[0] == "start"]
    assert starts == [("start", name) for name in "bcd"], _short(starts)
    ended = await _downs(watched)
    assert ended == "dc", f"of c, d they end in the order {ended}"


def _short(trace: Trace) -> str:
    """A trace in a few letters: `+a` is a start, `-a` an end."""
    return " ".join(("+" if kind == "start" else "-") + str(name) for kind, name in trace)


async def _dynamic(trace: Trace) -> Any:
    async def init(_: Any, __: Any) -> Any:
        return [], dynamic_supervisor.options()

    async def terminate(*_: Any) -> None:
        pass

    callbacks = {"init": init, "terminate": terminate}
    pid = await dynamic_supervisor.start_link(
        module("Dynamic", modules.DYNAMIC_SUPERVISOR, **callbacks)
    )
    spec = dynamic_supervisor.child_spec(id="a", module=server(trace), args="a", name="a")
    await dynamic_supervisor.start_child(pid, spec)
    return pid


async def _children() -> None:
    """A-028."""
    trace: Trace = []
    await _dynamic(trace)
    assert process.whereis("a")
    assert ("start", "a") in await _after(trace, "a"), "not restarted after a crash"


async def _terminated() -> None:
    """A-031."""
    trace: Trace = []
    pid = await _dynamic(trace)
    trace.clear()
    told = await failure(dynamic_supervisor.terminate_child(pid, "a"))
    await pause()
    assert not told, told
    assert process.whereis("a") is None
    assert ("start", "a") not in trace


async def _intensity() -> None:
    """A-041."""
    trace: Trace = []
    pid = await _tree(trace, "a", intensity=1)
    await _after(trace, "a")
    assert process.is_alive(pid)
    await _after(trace, "a")
    assert not process.is_alive(pid), "it goes on"


async def _breach() -> None:
    """A-042."""
    trace: Trace = []
    await _tree(trace, intensity=0)
    found = await _after(trace, "b")
    assert ("start", "b") not in found, "the offender is restarted"
    assert not any(process.whereis(name) for name in "ac"), "the others live on"


async def _group_counts_once() -> None:
    """A-043."""
    trace: Trace = []
    pid = await _tree(trace, strategy=sup.atoms.ONE_FOR_ALL, intensity=2)
    await _after(trace, "b")
    assert process.is_alive(pid), "once for each child"


async def _failing_restart() -> None:
    """A-044."""
    name = Named("a")
    name.fails = None
    pid = await _tree([], [name], intensity=3)
    name.fails = ValueError("init")
    await gen_server.cast("a", ValueError("crash"))
    await asyncio.sleep(1)
    assert not process.is_alive(pid), "one try, and the child stays down without a word"


async def _killed() -> None:
    """A-074."""
    pid = await _tree([])
    await process.exit(pid, sup.atoms.KILLED)
    await pause()
    assert not any(process.whereis(name) for name in "abc"), "they live on"


SUPERVISORS: Final[Mapping[str, Callable[[], Awaitable[None]]]] = {
    "A-001": _start_order,
    "A-002": _ended_in_order,
    "A-003": _failed_start,
    "A-006": _same_ids,
    "A-020": _permanent,
    "A-021": _transient,
    "A-022": _temporary,
    "A-023": _one_for_one,
    "A-024": _one_for_all,
    "A-025": _rest_for_one,
    "A-028": _children,
    "A-031": _terminated,
    "A-041": _intensity,
    "A-042": _breach,
    "A-043": _group_counts_once,
    "A-044": _failing_restart,
    "A-074": _killed,
}

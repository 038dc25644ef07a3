"""Where the runtime's API may not have what a workload needs: asked for here, in one place.

Each function raises `NotRunError` in a runtime without the feature, so that the row says so.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, cast

import keygrove_actors
from keygrove_actors import (
    Actor,
    Cast,
    ChildSpec,
    MailboxSpec,
    Overflow,
    Port,
    PortSpec,
    Ref,
    Report,
    Runtime,
    Strategy,
    SupSpec,
    Zygote,
    run,
    zygote_spec,
)
from keygrove_actors.port_conform import ConformApi, Echo
from keygrove_bench.actors.sides import NotRunError

_RUN: Final = cast("Callable[..., AbstractAsyncContextManager[Runtime]]", run)
_SPEC: Final = cast("Callable[..., SupSpec]", SupSpec)


def running(
    spec: SupSpec, *, direct: bool = False, observe: Callable[[Report], None] | None = None
) -> AbstractAsyncContextManager[Runtime]:
    """`run`, with direct turns or surely without."""
    if "direct" in inspect.signature(run).parameters:
        return _RUN(spec, direct=direct, observe=observe)
    if direct:
        raise NotRunError("this runtime has no direct turn")
    return _RUN(spec, observe=observe)


def dynamic(name: str, start: Callable[[], Actor[Any]]) -> SupSpec:
    """A tree with one dynamic supervisor, `name`, whose children are all alike."""
    if not hasattr(Strategy, "DYNAMIC"):
        raise NotRunError("this runtime has no dynamic supervisor")
    strategy = getattr(Strategy, "DYNAMIC")  # noqa: B009 - not there for checkers yet
    inner = _SPEC(strategy=strategy, template=ChildSpec("child", start))
    return SupSpec(children=(ChildSpec(name, inner, name=name),))


def starter(runtime: Runtime, name: str) -> Callable[[], Any]:
    """A function that starts one more child of the dynamic supervisor, and awaits its start."""
    supervisor: Any = getattr(runtime, "supervisor", None)
    if supervisor is None:
        raise NotRunError("this runtime starts no child at run time")
    return cast("Callable[[], Any]", supervisor(name).spawn)


def mailbox(limit: int, policy: str) -> MailboxSpec:
    """A bounded mailbox with an overflow policy by its name."""
    found: Overflow | None = getattr(Overflow, policy.upper(), None)
    if found is None:
        raise NotRunError(f"this runtime has no overflow policy {policy}")
    return MailboxSpec(limit=limit, overflow=found)


async def send(ref: Ref[Any], message: Cast[Any]) -> None:
    """Cast, waiting for room where the receiver's policy is to block."""
    waiting: Any = getattr(ref, "send", None)
    if waiting is None:
        raise NotRunError("this runtime has no Ref.send")
    await waiting(message)


def feature(name: str) -> Any:
    """A name of the package's root."""
    found = getattr(keygrove_actors, name, None)
    if found is None:
        raise NotRunError(f"this runtime has no {name}")
    return found


class EchoWorker:
    """A port in whose worker octets are echoed."""

    def __init__(self, runtime: Runtime) -> None:
        self._port = runtime.whereis("port", ConformApi)
        self._count = 0

    async def echo(self, octets: bytes) -> bytes:
        """What came back. Each request differs: one at two crashes running is refused."""
        self._count += 1
        mark = self._count.to_bytes(8, "big")
        reply = await self._port.call(Echo(octets[:-8] + mark))
        return octets if reply == octets[:-8] + mark else reply

    async def pid(self) -> int:
        """The worker's."""
        cell = self._port.resolve()
        assert cell is not None
        assert isinstance(cell.actor, Port)
        return cell.actor.pid


@asynccontextmanager
async def echo_port(how: str) -> AsyncGenerator[EchoWorker, None]:
    """A running worker in Python with `echo(octets)` and `pid()`; "warm" is of a zygote."""
    spec = PortSpec(
        api=ConformApi,
        works=(Echo,),
        worker="keygrove_actors.port_conform:table",
        zygote="zygote" if how == "warm" else "",
    )
    children: tuple[ChildSpec, ...] = (Port.child("port", spec, name="port"),)
    if how == "warm":
        warm = zygote_spec("keygrove_actors.port_conform")
        children = (Zygote.child("zygote", warm, name="zygote"), *children)
    tree = SupSpec(children=children, strategy=Strategy.REST_FOR_ONE, intensity=10_000, period=60.0)
    async with run(tree) as runtime:
        yield EchoWorker(runtime)

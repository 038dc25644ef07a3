"""What a zygote can be asked, and how a port gets its worker from one."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import ClassVar

import anyio

from keygrove_actors.ctx import Ctx
from keygrove_actors.descendants import new_mark
from keygrove_actors.messages import Call
from keygrove_actors.port_cgroup import confined
from keygrove_actors.port_pipes import Ends, Pipes
from keygrove_actors.port_process import Birth, OsProcess, Process, Sink
from keygrove_actors.port_spec import PortSpec
from keygrove_actors.work import WorkFailure


class ZygoteApi:
    """The protocol a zygote serves, to ports."""


class Fork(Call[ZygoteApi, None], frozen=True, tag=True):
    """Fork a worker of `spec`, its pipes ending in `ends`.

    `born` is called with it before the reply: a worker must not be lost with a caller who
    is cancelled at that moment.
    """

    errors: ClassVar = (WorkFailure,)

    spec: PortSpec
    ends: Ends
    mark: str
    born: Callable[[Birth], None]


class Refresh(Call[ZygoteApi, bool], frozen=True, tag=True):
    """End the zygote if a file it has imported changed; the answer is whether it does.

    Its supervisor starts it again, and the pools after it, since they are rest_for_one.
    """


@asynccontextmanager
async def forked(ctx: Ctx, spec: PortSpec, sink: Sink) -> AsyncGenerator[Process, None]:
    """Start the worker by asking the zygote named in the spec.

    Raises:
        CallError: the zygote is not there, or did not answer in time.
    """
    zygote = ctx.whereis(spec.zygote, ZygoteApi)
    mark = new_mark()
    async with confined(spec.cgroup, mark) as confine:
        pipes = Pipes()
        births: list[Birth] = []
        try:
            fork = Fork(spec, pipes.ends, mark, births.append)
            await zygote.call(fork, timeout=spec.init_timeout_s)
        except BaseException:
            pipes.close()
            for birth in births:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(birth.pidfd, signal.SIGKILL)
                os.close(birth.pidfd)
            raise
        pipes.hand_over()
        process = OsProcess(ctx, sink, pipes, births[0])
        try:
            confine(births[0].pid)
            yield process
        finally:
            with anyio.CancelScope(shield=True):
                await process.close()

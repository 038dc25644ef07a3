"""What a zygote can be asked, and how a port gets its worker from one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from keygrove_actors.actor import Ctx
from keygrove_actors.port_process import Process, Sink
from keygrove_actors.port_spec import PortSpec


@asynccontextmanager
async def forked(ctx: Ctx, spec: PortSpec, sink: Sink) -> AsyncGenerator[Process, None]:
    """X."""
    raise NotImplementedError
    yield

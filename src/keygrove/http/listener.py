"""The actor that accepts connections. Its socket outlives it, so a restart refuses nobody."""

from collections.abc import Callable
from typing import TypeAlias

from keygrove.cluster.router import Whereis
from keygrove.ports import AsgiApp, Endpoint, HttpServers
from keygrove_actors import Actor, Ctx

MakeApp: TypeAlias = Callable[[Whereis], AsgiApp]


class ListenerApi:
    """The protocol of a listener: it takes no messages, only connections."""


class Listener(Actor[ListenerApi]):
    """Serves an ASGI app, made anew at each start, on some endpoints."""

    def __init__(
        self, servers: HttpServers, make_app: MakeApp, endpoints: tuple[Endpoint, ...]
    ) -> None:
        self._servers = servers
        self._make_app = make_app
        self._endpoints = endpoints

    async def init(self, ctx: Ctx) -> None:
        """Accept; at the end the servers finish the requests that have begun."""
        app = self._make_app(ctx.whereis)
        for endpoint in self._endpoints:
            await ctx.enter(self._servers.serving(app, endpoint))

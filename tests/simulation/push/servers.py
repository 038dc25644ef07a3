"""Whole nodes that push to each other, and servers that answer as they are told, in one world."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import quote_from_bytes

import anyio
import anyio.abc
import msgspec

from keygrove.ports import Receive, Scope, Send
from keygrove.push.messages import TARGETS, GetTargets, TargetsApi, TargetStatus
from keygrove.settings import PushTarget, Settings, StorageSettings
from keygrove_chaos.certificates import armored
from keygrove_chaos.machine import HKP, Machine
from keygrove_chaos.network import Network
from keygrove_chaos.record import Record
from keygrove_chaos.web import WebEndpoint, WebServers
from keygrove_chaos.world import World
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint

LONG_S = 100_000.0
"""Virtual; whatever is waited for comes much sooner."""
LOOK_S = 2.0


def target(host: str, **more: object) -> PushTarget:
    return msgspec.convert({"to": f"hkp://{host}:{HKP}", **more}, PushTarget)


def settings_of(*targets: PushTarget, sender: str = "") -> Settings:
    named = tuple(msgspec.structs.replace(one, sender=one.sender or sender) for one in targets)
    return Settings(storage=StorageSettings(shards=2), push=named)


def form_of(certificate: Certificate) -> bytes:
    """What a server is sent of it."""
    return b"keytext=" + quote_from_bytes(armored(certificate), safe="").encode()


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    while not await is_so():  # noqa: ASYNC110 - no time is real
        await anyio.sleep(LOOK_S)


class Request(msgspec.Struct, frozen=True):
    """What a server was asked."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float


class Server:
    """Answers each request as it is told; without more words it says 200."""

    def __init__(self, network: Network, host: str) -> None:
        network.add_host(host)
        self._network = network
        self._host = host
        self.asked: list[Request] = []
        self.answer: Callable[[Request], tuple[int, dict[str, str]]] = lambda _: (200, {})

    async def serve(self, port: int) -> None:
        endpoint = WebEndpoint(self._network, self._host, port)
        async with WebServers().serving(self._app, endpoint):
            await anyio.sleep_forever()

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, has_more = b"", True
        while has_more:
            message = await receive()
            body += message.get("body", b"")
            has_more = bool(message.get("more_body"))
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        request = Request(scope["path"], headers, body, anyio.current_time())
        self.asked.append(request)
        status, more = self.answer(request)
        head = [(name.encode(), value.encode()) for name, value in more.items()]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": b"as told"})


class Site:
    """Some nodes, and servers of others."""

    def __init__(
        self, world: World, settings: Mapping[str, Settings], others: Iterable[str] = ()
    ) -> None:
        self.world = world
        self.network = Network(world, ["client"])
        self.record = Record(world)
        self.machines = {
            name: Machine(world, self.network, name, one, self.record)
            for name, one in settings.items()
        }
        self.servers = {name: Server(self.network, name) for name in others}
        self._tasks: anyio.abc.TaskGroup

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            for machine in self.machines.values():
                tasks.start_soon(machine.keep)
            with anyio.fail_after(LONG_S):
                for machine in self.machines.values():
                    await until(machine.is_ready)
                await until(self._have_begun)
                yield
            tasks.cancel_scope.cancel()

    def serve(self, name: str, port: int = HKP) -> None:
        """Have a server of others begin to answer."""
        self._tasks.start_soon(self.servers[name].serve, port)

    async def restart(self, name: str, how: str = "stop") -> None:
        machine = self.machines[name]
        machine.hold("restart")
        if how == "stop":
            await machine.stop()
        else:
            machine.crash("power" if how == "power" else "process")
        machine.release("restart")
        await until(machine.is_ready)

    async def submit(self, name: str, *certificates: Certificate, sender: str = "") -> None:
        body = b"keytext=" + b"".join(b"%%%02X" % octet for octet in armored(*certificates))
        headers = {"pks-sender": sender} if sender else {}
        reply = await self.machines[name].door.ask("POST", "/pks/add", body, headers)
        assert reply.status == 200, reply.text

    async def holds(self, name: str, certificate: Certificate) -> bool:
        digits = fingerprint(certificate).hex()
        reply = await self.machines[name].door.ask("GET", f"/pks/lookup?op=get&search=0x{digits}")
        return reply.status == 200

    async def until_held(self, name: str, *certificates: Certificate) -> None:
        for certificate in certificates:
            await until(partial(self.holds, name, certificate))

    async def until_idle(self) -> None:
        """Until every target has all there is."""
        for name in self.machines:
            await until(partial(self._is_idle, name))

    async def status(self, name: str) -> tuple[TargetStatus, ...]:
        runtime = self.machines[name].runtime
        assert runtime is not None
        return await runtime.whereis(TARGETS, TargetsApi).call(GetTargets(), timeout=LONG_S)

    async def _is_idle(self, name: str) -> bool:
        if self.machines[name].runtime is None or not self._pushes(name):
            return True
        return all(one.lag == 0 for one in await self.status(name))

    def _pushes(self, name: str) -> bool:
        runtime = self.machines[name].runtime
        assert runtime is not None
        return any(node.path == "push" for node in runtime.tree().children)

    async def _have_begun(self) -> bool:
        """Whether each target's place is known: what comes from then on is to be sent."""
        pushing = [name for name in self.machines if self._pushes(name)]
        found = [one for name in pushing for one in await self.status(name)]
        return all(one.lag is not None for one in found)

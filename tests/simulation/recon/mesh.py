"""Whole nodes that are partners of each other, in one world."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

import anyio
import msgspec

from keygrove.recon.gossip import GOSSIP, Begin, GetPartners, GossipApi, PartnerStatus, SetPartners
from keygrove.recon.messages import PREFIX, GetPrefixStatus, PrefixApi
from keygrove.settings import ReconPartner, ReconSettings, Settings, StorageSettings
from keygrove.telemetry.partners import Round
from keygrove_chaos.certificates import armored, made
from keygrove_chaos.machine import RECON, Machine
from keygrove_chaos.network import Network
from keygrove_chaos.record import Record
from keygrove_chaos.world import World
from keygrove_protocols.openpgp.certificate import Certificate

LONG_S = 30_000.0
"""Virtual; whatever is waited for comes much sooner."""
LOOK_S = 0.5
CERTIFICATES = [made(number, f"User {number} <u{number}@x.example>") for number in range(1, 41)]


def partner(name: str, **more: object) -> ReconPartner:
    return msgspec.convert({"name": name, "recon": f"{name}:{RECON}", **more}, ReconPartner)


def settings_of(
    name: str, partners: Iterable[ReconPartner], *, interval_s: float = 10.0, **more: object
) -> Settings:
    recon = ReconSettings(
        listen=(f"{name}:{RECON}",), gossip_interval=interval_s, partner=tuple(partners)
    )
    return Settings(
        storage=StorageSettings(shards=2, durability="relaxed"),
        recon=msgspec.structs.replace(recon, **more),
    )


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again, in virtual time."""
    while not await is_so():  # noqa: ASYNC110 - nothing would tell
        await anyio.sleep(LOOK_S)


class Mesh:
    """Some of them."""

    def __init__(
        self, world: World, settings: Mapping[str, Settings], others: Iterable[str] = ()
    ) -> None:
        self.world = world
        self.network = Network(world, ["client", *others])
        record = Record(world)
        self.machines = {
            name: Machine(world, self.network, name, one, record) for name, one in settings.items()
        }

    @asynccontextmanager
    async def running(self, within_s: float = LONG_S) -> AsyncGenerator[None, None]:
        async with anyio.create_task_group() as tasks:
            for machine in self.machines.values():
                tasks.start_soon(machine.keep)
            with anyio.fail_after(within_s):
                for machine in self.machines.values():
                    await until(machine.is_ready)
                yield
            tasks.cancel_scope.cancel()

    async def add(self, name: str, certificates: Iterable[Certificate]) -> None:
        await self.submit(name, *map(armored, certificates))

    async def submit(self, name: str, *armor: bytes) -> None:
        for one in armor:
            body = b"keytext=" + b"".join(b"%%%02X" % octet for octet in one)
            reply = await self.machines[name].door.ask("POST", "/pks/add", body)
            assert reply.status == 200, reply.text

    async def total(self, name: str) -> int:
        reply = await self.machines[name].door.ask("GET", "/pks/stats?options=json")
        total: int = msgspec.json.decode(reply.body)["total"]
        return total

    async def until_total(self, name: str, count: int) -> None:
        """Wait until a node has so many certificates."""

        async def is_so() -> bool:
            return await self.total(name) == count

        await until(is_so)

    async def begin(self, name: str, with_partner: str) -> Round:
        """A session, when both are ready for one."""
        while True:
            told = await self.begin_once(name, with_partner)
            if told.result != "busy":
                return told
            await anyio.sleep(LOOK_S)

    async def begin_once(self, name: str, with_partner: str) -> Round:
        runtime = self.machines[name].runtime
        assert runtime is not None
        gossip = runtime.whereis(GOSSIP, GossipApi)
        told = await gossip.call(Begin(with_partner), timeout=LONG_S)
        assert isinstance(told, Round)
        return told

    async def set_partners(self, name: str, partners: Iterable[ReconPartner]) -> None:
        """As the settings have them when they are read again."""
        runtime = self.machines[name].runtime
        assert runtime is not None
        gossip = runtime.whereis(GOSSIP, GossipApi)
        await gossip.call(SetPartners(tuple(partners)), timeout=LONG_S)

    async def sessions(self, name: str) -> int:
        """How many are under way where the tree is."""
        runtime = self.machines[name].runtime
        assert runtime is not None
        prefix = runtime.whereis(PREFIX, PrefixApi)
        return (await prefix.call(GetPrefixStatus(), timeout=LONG_S)).sessions

    async def partners(self, name: str) -> tuple[PartnerStatus, ...]:
        runtime = self.machines[name].runtime
        assert runtime is not None
        return await runtime.whereis(GOSSIP, GossipApi).call(GetPartners(), timeout=LONG_S)

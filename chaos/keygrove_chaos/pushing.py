"""Nodes that push to each other, and to a server of others, while they are ended and it is away.

Each run draws who pushes to whom, so that whatever one node is sent there is a way to all others.
Certificates are submitted, and grow, while nodes are stopped, killed, or lose their power; the
server of others is there from some time on, and does not answer everything at once. At last, when
nothing is submitted any more:

    I-40   each node, and the server, has been sent all that was acknowledged
    I-41   nobody is sent anything any more, and a submission has cost no target more than what it,
           and the ends of nodes, make necessary
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Final
from urllib.parse import parse_qs

import anyio
import msgspec

from keygrove.ports import Receive, Scope, Send
from keygrove.push.messages import TARGETS, GetTargets, TargetsApi
from keygrove.settings import PushTarget, Settings, StorageSettings
from keygrove_actors import ActorError
from keygrove_chaos.certificates import armored, made
from keygrove_chaos.machine import HKP, HowItEnds, Machine
from keygrove_chaos.network import Network
from keygrove_chaos.record import Record
from keygrove_chaos.servers import NoReplyError
from keygrove_chaos.web import CutError, WebEndpoint, WebServers
from keygrove_chaos.world import World
from keygrove_protocols.limits import SUBMISSION
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint, group
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.packets import split

NAMES: Final = ("a", "b", "c")
OTHER: Final = "other"
ROUNDS: Final = 12
LOOK_S: Final = 5.0
PATIENCE_S: Final = 10_000.0
"""Virtual: some attempts an hour apart."""
QUIET_S: Final = 30.0
ENDS: Final[tuple[HowItEnds, ...]] = ("power", "process")
OK: Final = 200


async def scenario(world: World) -> list[str]:
    """Play a run; what it found wrong, the invariant first."""
    return await _Pushing(world).run()


class _Other:
    """A server of others: keeps the user IDs of what it is sent."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.held: dict[Fingerprint, set[bytes]] = {}
        self.asked: Counter[Fingerprint] = Counter()

    async def app(self, _: Scope, receive: Receive, send: Send) -> None:
        """Takes most of it at once; of the rest it says that it has no time."""
        body, has_more = b"", True
        while has_more:
            message = await receive()
            body += message.get("body", b"")
            has_more = bool(message.get("more_body"))
        status = self._random.choice((OK, OK, OK, 429, 503))
        if status == OK:
            self._keep(body)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def _keep(self, body: bytes) -> None:
        (text,) = parse_qs(body.decode())["keytext"]
        data = dearmor(text.encode(), SUBMISSION).data
        for one in group(split(data, SUBMISSION), SUBMISSION):
            assert isinstance(one, Certificate), "a node sends what it has read"
            name = fingerprint(one)
            self.asked[name] += 1
            self.held.setdefault(name, set()).update(user_ids(one))


def user_ids(certificate: Certificate) -> set[bytes]:
    """The user IDs of a certificate."""
    return {component.packet.body for component in certificate.components}


class _Pushing:
    """One run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = world.stream("pushing")
        self._network = Network(world, ["client", OTHER])
        self._other = _Other(self._random)
        record = Record(world)
        self._machines = {
            name: Machine(world, self._network, name, settings, record)
            for name, settings in self._drawn().items()
        }
        self._wanted: dict[Fingerprint, set[bytes]] = {}
        self._submissions: Counter[Fingerprint] = Counter()
        self._ends = 0

    async def run(self) -> list[str]:
        found: list[str] = []
        async with anyio.create_task_group() as tasks:
            for machine in self._machines.values():
                tasks.start_soon(machine.keep)
            await self._until(self._are_up)
            tasks.start_soon(self._come, self._random.choice((0.0, 50.0, 500.0)))
            for number in range(ROUNDS):
                await self._submit(number)
                await self._befall()
            found += await self._judged()
            tasks.cancel_scope.cancel()
        return found

    def _drawn(self) -> dict[str, Settings]:
        """A ring in either direction, some chords, and one that sends to the server of others."""
        ring = NAMES if self._random.random() < 0.5 else NAMES[::-1]
        edges = {(ring[at - 1], name) for at, name in enumerate(ring)}
        edges |= {(a, b) for a in NAMES for b in NAMES if a != b and self._random.random() < 0.3}
        outward = self._random.choice(NAMES)
        return {
            name: Settings(
                storage=StorageSettings(shards=self._random.choice((1, 2))),
                push=tuple(
                    PushTarget(f"hkp://{to}:{HKP}", sender=name)
                    for to in (*sorted(b for a, b in edges if a == name), OTHER)
                    if to != OTHER or name == outward
                ),
            )
            for name in NAMES
        }

    async def _come(self, after_s: float) -> None:
        await anyio.sleep(after_s)
        async with WebServers().serving(self._other.app, WebEndpoint(self._network, OTHER, HKP)):
            await anyio.sleep_forever()

    async def _submit(self, number: int) -> None:
        """A certificate, or another user ID for one, at a node that may be down."""
        which = self._random.randrange(1, 6)
        certificate = made(which, f"User {which}", f"Name {number}")
        body = b"keytext=" + b"".join(b"%%%02X" % octet for octet in armored(certificate))
        name = self._random.choice(NAMES)
        with suppress(NoReplyError, CutError, KeyError, ConnectionRefusedError):
            reply = await self._machines[name].door.ask("POST", "/pks/add", body)
            if reply.status == OK:
                self._wanted.setdefault(fingerprint(certificate), set()).update(
                    user_ids(certificate)
                )
        self._submissions[fingerprint(certificate)] += 1

    async def _befall(self) -> None:
        """Some time, and perhaps the end of a node."""
        await anyio.sleep(self._random.choice((0.0, 0.3, 3.0, 10.0)))
        machine = self._machines[self._random.choice(NAMES)]
        if self._random.random() < 0.4:
            self._ends += machine.crash(self._random.choice(ENDS))
        elif self._random.random() < 0.1:
            self._ends += await machine.stop()

    async def _judged(self) -> list[str]:
        try:
            with anyio.fail_after(PATIENCE_S):
                await self._until(self._are_up)
                await self._until(self._is_all_sent)
                await self._until(self._have_all)
        except TimeoutError:
            return [f"I-40: not everybody was sent all: {await self._lacking()}"]
        before = await self._taken()
        await anyio.sleep(QUIET_S)
        after = await self._taken()
        if after != before:
            return [f"I-41: {sum(after) - sum(before)} more were sent, though nothing changed"]
        return self._too_often()

    def _too_often(self) -> list[str]:
        """Each change is sent once by the one that pushes there, and once more for each end."""
        return [
            f"I-41: {name.hex()} was sent {count} times to a server"
            for name, count in self._other.asked.items()
            if count > 2 * self._submissions[name] + self._ends + 3 * ROUNDS
        ]

    async def _have_all(self) -> bool:
        return not await self._lacking()

    async def _lacking(self) -> list[str]:
        lacking = [
            f"{name.hex()} at {OTHER}"
            for name, wanted in self._wanted.items()
            if not wanted <= self._other.held.get(name, set())
        ]
        for at, machine in self._machines.items():
            for name, wanted in self._wanted.items():
                if not wanted <= await self._held(machine, name):
                    lacking.append(f"{name.hex()} at {at}")
        return lacking

    async def _held(self, machine: Machine, name: Fingerprint) -> set[bytes]:
        path = f"/pks/lookup?op=get&options=mr&search=0x{name.hex()}"
        with suppress(NoReplyError, CutError, KeyError):
            reply = await machine.door.ask("GET", path)
            if reply.status == OK:
                (one,) = group(split(dearmor(reply.body, SUBMISSION).data, SUBMISSION), SUBMISSION)
                assert isinstance(one, Certificate), "a node serves what can be read"
                return user_ids(one)
        return set()

    async def _are_up(self) -> bool:
        """All of them, and they know from where on their targets are to be sent something."""
        if not all([await machine.is_ready() for machine in self._machines.values()]):
            return False
        return all(one is not None for one in await self._lags())

    async def _is_all_sent(self) -> bool:
        return all(one == 0 for one in await self._lags())

    async def _lags(self) -> Sequence[int | None]:
        return [one.lag for one in await self._statuses()] or [None]

    async def _taken(self) -> list[int]:
        return [one.results.get("taken", 0) for one in await self._statuses()]

    async def _statuses(self) -> list[_Status]:
        found: list[_Status] = []
        for machine in self._machines.values():
            try:
                found += await self._statuses_of(machine)
            except (ActorError, ConnectionRefusedError):
                found.append(_Status(None, {}))
        return found

    async def _statuses_of(self, machine: Machine) -> list[_Status]:
        if machine.runtime is None:
            raise ConnectionRefusedError(machine.name)
        targets = machine.runtime.whereis(TARGETS, TargetsApi)
        some = await targets.call(GetTargets(), timeout=30.0)
        return [_Status(one.lag, one.results) for one in some]

    async def _until(self, is_so: Callable[[], Awaitable[bool]]) -> None:
        while not await is_so():  # noqa: ASYNC110 - no time is real
            await anyio.sleep(LOOK_S)


class _Status(msgspec.Struct, frozen=True):
    lag: int | None
    results: dict[str, int]

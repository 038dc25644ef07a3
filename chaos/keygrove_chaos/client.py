"""Clients: they put, get and search over the network, and write down what they were told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final
from urllib.parse import quote

import anyio

from keygrove.cluster.placement import Placement
from keygrove.cluster.router import shard_name
from keygrove_chaos.clock import EPOCH_S
from keygrove_chaos.control import OK, Asking, Control, Partners, named, shown_then
from keygrove_chaos.crdt import facts
from keygrove_chaos.history import About, Detail, Event, Function, Phase
from keygrove_chaos.network import Network
from keygrove_chaos.plan import Ask, Plan
from keygrove_chaos.record import Record
from keygrove_chaos.rolling import Rolling
from keygrove_chaos.servers import Reply
from keygrove_chaos.submissions import Route, name_of, offered, order, submission
from keygrove_chaos.web import CutError, ask
from keygrove_protocols.hkp.index import parse_index
from keygrove_protocols.limits import SUBMISSION
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.certificate import Certificate, group
from keygrove_protocols.openpgp.packets import split

HKP: Final = 11371
CONTROL: Final = 1
PATIENCE_S: Final = 10.0
"""Virtual seconds after which a client gives up."""
FORM: Final = {"content-type": "application/x-www-form-urlencoded"}


class Hkp:
    """Requests of HKP v1. Raises what the way to the node raises."""

    def __init__(self, asking: Asking) -> None:
        self._ask = asking

    async def put(self, keytext: bytes, operation: str = "") -> Reply:
        """Submit something armored."""
        body = b"keytext=" + quote(keytext).encode()
        return await self._ask("POST", "/pks/add", body, FORM | named(operation))

    async def administer(self, text: bytes, signature: bytes, operation: str = "") -> Reply:
        """Ask for what an administrator signed."""
        fields = {"request": text, "signature": signature}
        body = "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items())
        return await self._ask("POST", "/pks/admin", body.encode(), FORM | named(operation))

    async def get(self, key: str, operation: str = "") -> Reply:
        """Ask for the key of this fingerprint, in hex."""
        target = f"/pks/lookup?op=get&options=mr&search=0x{key}"
        return await self._ask("GET", target, b"", named(operation))

    async def search(self, text: str, operation: str = "") -> Reply:
        """Ask which keys there are for this text."""
        target = f"/pks/lookup?op=index&options=mr&search={quote(text)}"
        return await self._ask("GET", target, b"", named(operation))


def found_certificate(reply: Reply) -> Certificate | None:
    """The certificate of an answer to `get`; None where there is none."""
    if reply.status != 200:
        return None
    (found,) = group(split(dearmor(reply.body, SUBMISSION).data, SUBMISSION), SUBMISSION)
    assert isinstance(found, Certificate), f"served, and refused by who reads it: {found}"
    return found


def found_names(reply: Reply) -> list[str]:
    """The fingerprints of an answer to `search`, in hex."""
    if reply.status != 200:
        return []
    return [entry.fingerprint.hex() for entry in parse_index(reply.body)]


class Client:
    """One client, which does one thing after the other."""

    def __init__(
        self, name: str, network: Network, record: Record, plan: Plan, partners: Partners
    ) -> None:
        self._name = name
        self._partners = partners
        self._offered = offered(plan.program)
        self._record = record
        self._network = network
        self._placement = Placement(plan.shards)
        self._presets = plan.presets

    async def play(self, program: Sequence[Ask]) -> None:
        """Ask all that is asked of this client: when its time has come, or as soon as possible."""
        for one in program:
            await anyio.sleep_until(one.at)
            await self._do(one)

    async def _do(self, one: Ask) -> None:
        name = name_of(one)
        # What is not there is looked for in all shards: it may be a subkey's name.
        is_known = self._record.is_acknowledged(one.node, name.hex())
        shard = shard_name(self._placement.shard(name)) if is_known else None
        hkp, control = Hkp(self._way(one, HKP)), Control(self._way(one, CONTROL))
        key = name.hex()
        match one.verb:
            case "get":
                event = self._record.invoke(self._name, About(one.node, Function.GET, key))
                await self._answer(event, shard, partial(hkp.get, key))
            case "search":
                event = self._record.invoke(self._name, About(one.node, Function.SEARCH, one.text))
                await self._answer(event, None, partial(hkp.search, one.text))
            case "block" | "unblock":
                function = Function.DENY if one.verb == "block" else Function.ALLOW
                event = self._record.invoke(self._name, About(one.node, function, key, (one.text,)))
                text, signature = order(one, EPOCH_S + int(anyio.current_time()))
                await self._answer(event, shard, partial(hkp.administer, text, signature))
            case "snapshot":
                event = self._record.invoke(
                    self._name, About(one.node, Function.SNAPSHOT, one.text)
                )
                await self._answer(event, None, partial(control.take_snapshot, one.text))
            case "past":
                about = About(one.node, Function.PAST, key, (one.text,))
                event = self._record.invoke(self._name, about)
                await self._answer(event, shard, partial(control.look_back, one.text, key))
            case "rollback" | "undo":
                await self._roll(one, Rolling(control, one.origin))
            case _:
                sent = submission(one, self._presets.get(one.node, "verified"))
                function = Function.CONDEMN if one.verb == "condemn" else Function.PUT
                about = About(one.node, function, key, tuple(sorted(sent.shown)))
                detail = Detail(forged=tuple(sorted(sent.forged)), origin=one.origin)
                event = self._record.invoke(self._name, about, detail)
                offer = partial(self._partners, one.node, one.origin)
                ways: dict[Route, Callable[[bytes, str], Awaitable[Reply]]] = {
                    "add": hkp.put,
                    "load": control.load,
                    "offer": offer,
                }
                await self._answer(event, shard, partial(ways[sent.route], sent.octets))

    async def _roll(self, one: Ask, rolling: Rolling) -> None:
        """Have a rollback, or its undo, done: a yes means that it is."""
        function = Function.ROLLBACK if one.verb == "rollback" else Function.UNDO
        about = About(one.node, function, one.origin, self._offered[one.node, one.origin])
        event = self._record.invoke(self._name, about)
        work = rolling.roll_back if one.verb == "rollback" else rolling.undo
        phase = await work()
        last = rolling.last
        detail = Detail() if last is None else _detail(last)
        self._record.close(event, phase, detail=detail)

    def _way(self, one: Ask, port: int) -> Asking:
        return partial(ask, self._network, self._name, one.node, port, timeout=PATIENCE_S)

    async def _answer(
        self, event: Event, shard: str | None, request: Callable[[str], Awaitable[Reply]]
    ) -> None:
        """Ask under the event's number, and close it with what came of it."""
        is_read = event.function in {Function.GET, Function.SEARCH, Function.PAST}
        unknown = Phase.FAIL if is_read else Phase.INFO
        try:
            reply = await request(str(event.index))
        except ConnectionRefusedError:
            self._record.close(event, Phase.FAIL, detail=Detail(shard=shard))
            return
        except (TimeoutError, CutError):
            self._record.close(event, unknown, detail=Detail(shard=shard))
            return
        detail = _detail(reply, shard)
        if reply.status >= 500:
            self._record.close(event, unknown, detail=detail)
        elif reply.status == OK or (reply.status == 404 and is_read):
            self._record.close(event, Phase.OK, _found(event, reply), detail)
        else:
            self._record.close(event, Phase.FAIL, detail=detail)


def _detail(reply: Reply, shard: str | None = None) -> Detail:
    has_retry_after = "retry-after" in reply.headers
    return Detail(status=reply.status, has_retry_after=has_retry_after, shard=shard)


def _found(event: Event, reply: Reply) -> list[str]:
    match event.function:
        case Function.PAST:
            return sorted(shown_then(reply))
        case Function.GET:
            certificate = found_certificate(reply)
            return [] if certificate is None else sorted(facts(certificate))
        case Function.SEARCH:
            return sorted(found_names(reply))
        case _:
            return []

"""Clients: they put, get and search over the network, and write down what they were told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol, TypeAlias, assert_never
from urllib.parse import quote

import anyio
import msgspec

from keygrove.cluster.placement import Placement
from keygrove.cluster.router import shard_name
from keygrove.http.errors import BUG, BUSY, NO_SPACE
from keygrove.ingest.messages import Result, Submitted, Unavailable, Unwritable
from keygrove.ingest.verdicts import Rejected
from keygrove.storage.messages import Failed, NoSpace
from keygrove_chaos.clock import EPOCH_S
from keygrove_chaos.crdt import facts
from keygrove_chaos.history import About, Detail, Event, Function, Phase
from keygrove_chaos.network import Network
from keygrove_chaos.plan import Ask, Plan
from keygrove_chaos.record import Record
from keygrove_chaos.servers import Reply
from keygrove_chaos.submissions import name_of, order, submission
from keygrove_chaos.web import SESSION, CutError, ask
from keygrove_protocols.hkp.index import parse_index
from keygrove_protocols.limits import SUBMISSION
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.certificate import Certificate, group
from keygrove_protocols.openpgp.packets import split

HKP: Final = 11371
CONTROL: Final = 1
OK: Final = 200
UNACCEPTABLE: Final = 422
PATIENCE_S: Final = 10.0
"""Virtual seconds after which a client gives up."""
FORM: Final = {"content-type": "application/x-www-form-urlencoded"}


class Asking(Protocol):
    """A way to a node."""

    def __call__(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str], /
    ) -> Awaitable[Reply]:
        """Make a request."""
        ...


class Hkp:
    """Requests of HKP v1. Raises what the way to the node raises."""

    def __init__(self, asking: Asking) -> None:
        self._ask = asking

    async def put(self, keytext: bytes, session: str = "") -> Reply:
        """Submit something armored."""
        body = b"keytext=" + quote(keytext).encode()
        return await self._ask("POST", "/pks/add", body, FORM | _named(session))

    async def administer(self, text: bytes, signature: bytes, session: str = "") -> Reply:
        """Ask for what an administrator signed."""
        fields = {"request": text, "signature": signature}
        body = "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items())
        return await self._ask("POST", "/pks/admin", body.encode(), FORM | _named(session))

    async def get(self, key: str, session: str = "") -> Reply:
        """Ask for the key of this fingerprint, in hex."""
        target = f"/pks/lookup?op=get&options=mr&search=0x{key}"
        return await self._ask("GET", target, b"", _named(session))

    async def search(self, text: str, session: str = "") -> Reply:
        """Ask which keys there are for this text."""
        target = f"/pks/lookup?op=index&options=mr&search={quote(text)}"
        return await self._ask("GET", target, b"", _named(session))


class Control:
    """Requests of the control socket. Raises what the way to the node raises."""

    def __init__(self, asking: Asking) -> None:
        self._ask = asking

    async def load(self, certificate: bytes, session: str = "") -> Reply:
        """Have one certificate of a dump taken in; the status is as if it had been submitted."""
        body = msgspec.msgpack.encode((certificate,))
        reply = await self._ask("POST", "/load", body, _named(session))
        if reply.status != OK:
            return reply
        status = _status(msgspec.json.decode(reply.body, type=_Loaded))
        again = {"retry-after": "1"} if status == BUSY.status else {}
        return msgspec.structs.replace(reply, status=status, headers=reply.headers | again)


_Loaded: TypeAlias = Submitted | Rejected | NoSpace | Unwritable | Unavailable | Failed


def _status(loaded: _Loaded) -> int:
    match loaded:
        case Submitted(fates):
            return OK if fates[0].result is not Result.INVALID else UNACCEPTABLE
        case Rejected():
            return UNACCEPTABLE
        case NoSpace():
            return NO_SPACE.status
        case Unavailable() | Unwritable():
            return BUSY.status
        case Failed():
            return BUG.status
        case _:
            assert_never(loaded)


def _named(session: str) -> dict[str, str]:
    return {SESSION: session} if session else {}


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

    def __init__(self, name: str, network: Network, record: Record, plan: Plan) -> None:
        self._name = name
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
        hkp = Hkp(self._way(one, HKP))
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
            case _:
                sent = submission(one, self._presets.get(one.node, "verified"))
                about = About(one.node, Function.PUT, key, tuple(sorted(sent.shown)))
                detail = Detail(forged=tuple(sorted(sent.forged)))
                event = self._record.invoke(self._name, about, detail)
                send = hkp.put if sent.route == "add" else Control(self._way(one, CONTROL)).load
                await self._answer(event, shard, partial(send, sent.octets))

    def _way(self, one: Ask, port: int) -> Asking:
        return partial(ask, self._network, self._name, one.node, port, timeout=PATIENCE_S)

    async def _answer(
        self, event: Event, shard: str | None, request: Callable[[str], Awaitable[Reply]]
    ) -> None:
        """Ask in the event's session, and close it with what came of it."""
        is_read = event.function in {Function.GET, Function.SEARCH}
        unknown = Phase.FAIL if is_read else Phase.INFO
        try:
            reply = await request(event.session)
        except ConnectionRefusedError:
            self._record.close(event, Phase.FAIL, detail=Detail(shard=shard))
            return
        except (TimeoutError, CutError):
            self._record.close(event, unknown, detail=Detail(shard=shard))
            return
        detail = Detail(
            status=reply.status, has_retry_after="retry-after" in reply.headers, shard=shard
        )
        if reply.status >= 500:
            self._record.close(event, unknown, detail=detail)
        elif reply.status == OK or (reply.status == 404 and is_read):
            self._record.close(event, Phase.OK, _found(event, reply), detail)
        else:
            self._record.close(event, Phase.FAIL, detail=detail)


def _found(event: Event, reply: Reply) -> list[str]:
    match event.function:
        case Function.GET:
            certificate = found_certificate(reply)
            return [] if certificate is None else sorted(facts(certificate))
        case Function.SEARCH:
            return sorted(found_names(reply))
        case _:
            return []

"""Clients: they put, get and search over the network, and write down what they were told."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol
from urllib.parse import quote

import anyio

from keygrove.cluster.placement import Placement
from keygrove.cluster.router import shard_name
from keygrove_chaos.certificates import armored, made
from keygrove_chaos.crdt import facts
from keygrove_chaos.history import About, Detail, Event, Function, Phase
from keygrove_chaos.network import Network
from keygrove_chaos.plan import Ask
from keygrove_chaos.record import Record
from keygrove_chaos.servers import Reply
from keygrove_chaos.web import SESSION, CutError, ask
from keygrove_protocols.hkp.index import parse_index
from keygrove_protocols.limits import SUBMISSION
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint, group
from keygrove_protocols.openpgp.packets import split

HKP: Final = 11371
PATIENCE_S: Final = 10.0
"""Virtual seconds after which a client gives up."""
FORM: Final = {"content-type": "application/x-www-form-urlencoded"}


def name_of(key: int) -> str:
    """The fingerprint of a key of the program, in hex."""
    return fingerprint(made(key)).hex()


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

    async def put(self, certificate: Certificate, session: str = "") -> Reply:
        """Submit a certificate."""
        body = b"keytext=" + quote(armored(certificate)).encode()
        return await self._ask("POST", "/pks/add", body, FORM | _named(session))

    async def get(self, key: str, session: str = "") -> Reply:
        """Ask for the key of this fingerprint, in hex."""
        target = f"/pks/lookup?op=get&options=mr&search=0x{key}"
        return await self._ask("GET", target, b"", _named(session))

    async def search(self, text: str, session: str = "") -> Reply:
        """Ask which keys there are for this text."""
        target = f"/pks/lookup?op=index&options=mr&search={quote(text)}"
        return await self._ask("GET", target, b"", _named(session))


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

    def __init__(self, name: str, network: Network, record: Record, placement: Placement) -> None:
        self._name = name
        self._record = record
        self._network = network
        self._placement = placement

    async def play(self, program: Sequence[Ask]) -> None:
        """Ask all that is asked of this client: when its time has come, or as soon as possible."""
        for one in program:
            await anyio.sleep_until(one.at)
            await self._do(one)

    async def _do(self, one: Ask) -> None:
        name = fingerprint(made(one.key))
        # What is not there is looked for in all shards: it may be a subkey's name.
        is_known = self._record.is_acknowledged(one.node, name.hex())
        shard = shard_name(self._placement.shard(name)) if is_known else None
        match one.verb:
            case "put":
                certificate = made(one.key, one.text)
                about = About(one.node, Function.PUT, name.hex(), tuple(sorted(facts(certificate))))
                event = self._record.invoke(self._name, about)
                await self._answer(event, shard, certificate)
            case "get":
                event = self._record.invoke(self._name, About(one.node, Function.GET, name.hex()))
                await self._answer(event, shard)
            case "search":
                event = self._record.invoke(self._name, About(one.node, Function.SEARCH, one.text))
                await self._answer(event, None)

    async def _answer(
        self, event: Event, shard: str | None, certificate: Certificate | None = None
    ) -> None:
        """Ask, and close the event with what came of it."""
        unknown = Phase.FAIL if certificate is None else Phase.INFO
        hkp = Hkp(partial(ask, self._network, self._name, event.node, HKP, timeout=PATIENCE_S))
        try:
            if certificate is not None:
                reply = await hkp.put(certificate, event.session)
            elif event.function is Function.GET:
                reply = await hkp.get(event.key, event.session)
            else:
                reply = await hkp.search(event.key, event.session)
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
        elif reply.status == 200 or (reply.status == 404 and certificate is None):
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

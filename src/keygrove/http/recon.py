"""Recon on the control socket.

    GET  /recon                          how it stands with each partner, and the tree
    POST /recon/now?partner=NAME         a session is begun now: how it ended, a Round

Without recon they are 409, and so is a partner that is none.
"""

from typing import Final

import msgspec

from keygrove.cluster.router import Whereis
from keygrove.http.asgi import JSON, Request, Resource, Response
from keygrove.http.errors import HttpError
from keygrove.recon.gossip import (
    ANSWER_S,
    GOSSIP,
    Begin,
    GetPartners,
    GossipApi,
    NoPartner,
    PartnerStatus,
)
from keygrove.recon.messages import PREFIX, GetPrefixStatus, PrefixApi, PrefixStatus
from keygrove.settings import Settings
from keygrove_actors import ActorError, CallTimeout

NOW_S: Final = 150.0
"""Longer than a partner can be silent before, in and after the handshake; less than whoever asks
waits. The session goes on."""
STATUS_S: Final = 10.0


class ReconStatus(msgspec.Struct, frozen=True):
    """How recon stands."""

    tree: PrefixStatus | None
    """None while its owner is down."""
    partners: tuple[PartnerStatus, ...]


class _Recon:
    """The handlers."""

    def __init__(self, whereis: Whereis) -> None:
        self._gossip = whereis(GOSSIP, GossipApi)
        self._prefix = whereis(PREFIX, PrefixApi)

    async def status(self, _: Request) -> Response:
        """GET /recon."""
        try:
            tree = await self._prefix.call(GetPrefixStatus(), timeout=STATUS_S)
        except ActorError:
            tree = None
        partners = await self._gossip.call(GetPartners(), timeout=ANSWER_S)
        return _json(ReconStatus(tree, partners))

    async def now(self, request: Request) -> Response:
        """POST /recon/now."""
        partner = request.field("partner")
        try:
            found = await self._gossip.call(Begin(partner), timeout=NOW_S)
        except CallTimeout as error:
            text = f"after {NOW_S:g} s the session goes on: see `keygrove recon status` later"
            raise HttpError(503, text) from error
        if isinstance(found, NoPartner):
            named = ", ".join(found.names) or "none"
            raise HttpError(409, f"there is no partner {partner!r} in the settings, but {named}")
        return _json(found)


def recon_resources(whereis: Whereis, settings: Settings) -> dict[str, Resource]:
    """The paths."""
    if not settings.recon.is_on:
        absent = Resource(get=_absent, post=_absent)
        return {"/recon": absent, "/recon/now": absent}
    recon = _Recon(whereis)
    return {"/recon": Resource(get=recon.status), "/recon/now": Resource(post=recon.now)}


async def _absent(_: Request) -> Response:
    raise HttpError(
        409,
        "there is no recon, since the server was started without: set recon.listen, or a "
        "[[recon.partner]], and start the server anew",
    )


def _json(value: object) -> Response:
    return Response(200, msgspec.json.encode(value), JSON)

"""Push on the control socket, and for metrics.

    GET  /push                           how it stands with each target, a TargetStatus each

Without targets it is 409.
"""

from typing import Final

import msgspec

from keygrove.cluster.router import Whereis
from keygrove.http.asgi import JSON, Request, Resource, Response
from keygrove.http.errors import HttpError
from keygrove.push.messages import TARGETS, GetTargets, TargetsApi
from keygrove.settings import Settings
from keygrove.telemetry.pushes import PushFigures
from keygrove_actors import ActorError, Ref

STATUS_S: Final = 12.0


def push_resources(whereis: Whereis, settings: Settings) -> dict[str, Resource]:
    """The path."""
    targets = keeper(whereis, settings)
    if targets is None:
        return {"/push": Resource(get=_absent)}

    async def status(_: Request) -> Response:
        found = await targets.call(GetTargets(), timeout=STATUS_S)
        return Response(200, msgspec.json.encode(found), JSON)

    return {"/push": Resource(get=status)}


def keeper(whereis: Whereis, settings: Settings) -> Ref[TargetsApi] | None:
    """Who has the targets' actors, where there are any."""
    return whereis(TARGETS, TargetsApi) if settings.push else None


async def push_figures(targets: Ref[TargetsApi] | None) -> tuple[PushFigures, ...]:
    """Of the targets whose actors answer."""
    if targets is None:
        return ()
    try:
        found = await targets.call(GetTargets(), timeout=STATUS_S)
    except ActorError:
        return ()
    return tuple(
        PushFigures(
            target=one.to,
            results=one.results,
            is_ready=one.is_ready,
            lost_at=one.lost_at,
            lag=one.lag,
            failures=one.failures,
            last_taken=one.last_taken,
        )
        for one in found
    )


async def _absent(_: Request) -> Response:
    raise HttpError(
        409,
        "nothing is pushed, since the server was started without a [[push]]: set one, and start "
        "the server anew",
    )

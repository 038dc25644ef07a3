"""What a worker may ask of its host: the calls that go the other way."""

from __future__ import annotations

from typing import Final

import msgspec

from keygrove_actors import port_wire as wire
from keygrove_actors.ctx import Ctx
from keygrove_actors.messages import DeclaredError
from keygrove_actors.port_link import Link
from keygrove_actors.port_spec import Offer
from keygrove_actors.work import WorkFailure, codec_of

OFFERS_MAX: Final = 64
"""Calls of one worker's that are served at once; more are refused, to be tried again."""


class Offers:
    """The operations of one port's host, each call served in a task of the port."""

    __slots__ = ("_ctx", "_link", "_offers", "_open")

    def __init__(self, ctx: Ctx, link: Link, offers: tuple[Offer, ...]) -> None:
        self._ctx = ctx
        self._link = link
        self._offers = by_op(offers)
        self._open = 0

    def begin(self, call: wire.Call) -> None:
        """Serve a call of the worker's."""
        if self._open >= OFFERS_MAX:
            self._link.session.answer(wire.Error(call.id, "overloaded", "", retryable=True))
            return
        self._open += 1
        self._ctx.start_soon(self._serve, self._offers[call.op], call)

    async def _serve(self, offer: Offer, call: wire.Call) -> None:
        codec = codec_of(offer.request)
        answer: wire.Reply | wire.Error
        try:
            message = codec.decode(call.payload)
            answer = wire.Reply(call.id, codec.encode_reply(await offer.serve(message)))
        except msgspec.MsgspecError as error:
            answer = wire.Error(call.id, "bad_request", str(error)[:400], retryable=False)
        except DeclaredError as error:
            failure = error.failure
            if not isinstance(failure, WorkFailure):
                raise
            answer = wire.Error(call.id, failure.code, failure.text, failure.is_retryable)
        self._open -= 1
        self._link.session.answer(answer)
        self._link.flush()


def by_op(offers: tuple[Offer, ...]) -> dict[str, Offer]:
    """Each under the name the wire has for it."""
    return {codec_of(offer.request).op: offer for offer in offers}

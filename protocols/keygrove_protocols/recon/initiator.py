"""The side that connected: it answers.

    ReconRqstPoly   Elements, what the asker lacks; SyncFail where that cannot be told
    ReconRqstFull   Elements
    Elements        nothing
    Flush           all answers since the last one, in the order of their requests, at once
    Done            the end

SKS and we ourselves may answer FullElements to a ReconRqstPoly. It is never done here: Hockeypuck
does not send the Elements that should come in return, and we would learn nothing. A prefix below
one of our leaves is answered from what the leaf has of it.

Source: sks-keyserver, server.ml; Hockeypuck, conflux/recon/gossip.go.
"""

from keygrove_protocols.recon.frames import Decoder
from keygrove_protocols.recon.messages import (
    Done,
    Elements,
    Flush,
    FullRequest,
    Message,
    PolyRequest,
    SyncFail,
    encode,
    in_order,
)
from keygrove_protocols.recon.session import Ending, Session, SessionLimits
from keygrove_protocols.recon.solve import solve
from keygrove_protocols.recon.view import View


class Initiator(Session):
    """Answers what an acceptor asks about the same set, which may change meanwhile."""

    def __init__(self, view: View, decoder: Decoder, limits: SessionLimits | None = None) -> None:
        super().__init__(view, decoder, limits or SessionLimits())
        self._answers = bytearray()
        self._unanswered = 0

    def _on(self, message: Message) -> None:
        match message:
            case PolyRequest() | FullRequest():
                self._answer(message)
            case Elements(digests):
                self._learn(digests)
            case Flush():
                self.statistics.rounds += 1
                self._flush()
            case Done():
                self._finish(Ending.DONE)
            case _:
                self._unexpected(message)

    def _answer(self, request: PolyRequest | FullRequest) -> None:
        self.statistics.requests += 1
        self._unanswered += 1
        most = self._limits.unanswered_max
        if self._unanswered > most:
            self._break_off(Ending.LIMIT, f"it asked for more than {most} answers at once")
            return
        if isinstance(request, PolyRequest):
            self._answer_poly(request)
        else:
            self._answer_full(request)

    def _answer_poly(self, request: PolyRequest) -> None:
        node = self._view.node(request.prefix)
        difference = solve(self._view, node, request.size, request.samples)
        if difference is None:
            self._answers += encode(SyncFail())
            return
        self.statistics.solved += 1
        self._answers += encode(Elements(self._give(difference.local_only)))
        self._learn(in_order(difference.remote_only))

    def _answer_full(self, request: FullRequest) -> None:
        theirs = set(request.digests)
        self._answers += encode(Elements(self._lacking(request.prefix, theirs)))
        self._learn(request.digests)

    def _stop(self, text: str) -> None:
        self._flush()
        self._finish(Ending.LIMIT, text)

    def _flush(self) -> None:
        self._outgoing += self._answers
        self._answers.clear()
        self._unanswered = 0

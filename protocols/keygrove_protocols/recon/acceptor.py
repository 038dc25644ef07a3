"""The side that accepted the connection: it asks, from the root of its tree down.

A batch of requests and a Flush are written at once, and then as many answers are read, in their
order. What SyncFail was answered to is asked again by its children in a later batch; in return for
FullElements come the Elements that the answerer lacks, before the next batch or before Done.
So each batch is answered before the next one is sent, and there is no end that waits with full
buffers for one that does, too. Each node of our tree is asked about once at most.

Source: sks-keyserver, client.ml; Hockeypuck, conflux/recon/peer.go.
"""

from collections import deque
from typing import Final

from keygrove_protocols.recon.frames import Decoder
from keygrove_protocols.recon.messages import (
    Done,
    Elements,
    Flush,
    FullElements,
    FullRequest,
    Message,
    PolyRequest,
    SyncFail,
    encode,
    in_order,
)
from keygrove_protocols.recon.prefix import ROOT, Prefix
from keygrove_protocols.recon.session import Ending, Session, SessionLimits
from keygrove_protocols.recon.view import View

BATCH: Final = 100
"""Requests before a Flush, as SKS and Hockeypuck have it."""
FULL_BELOW: Final = 150
"""Digests of a node that is asked about by its values; all digests of a smaller one are sent. Of
SKS; there is nothing to agree on."""


class Acceptor(Session):
    """Asks an initiator about the whole set, which may change meanwhile.

    It has the first batch to be taken from the beginning.
    """

    def __init__(
        self,
        view: View,
        decoder: Decoder,
        limits: SessionLimits | None = None,
        full_below: int = FULL_BELOW,
    ) -> None:
        super().__init__(view, decoder, limits or SessionLimits())
        self._full_below = full_below
        self._todo: deque[Prefix] = deque((ROOT,))
        self._asked: deque[PolyRequest | FullRequest] = deque()
        self._owed = bytearray()
        self._begin()

    def _begin(self) -> None:
        self._ask()

    def _on(self, message: Message) -> None:
        assert self._asked, "else it would have said Done"
        request = self._asked.popleft()
        match message:
            case Elements(digests):
                self._learn(digests)
            case SyncFail() if isinstance(request, PolyRequest):
                self._todo += request.prefix.children()
            case FullElements(digests) if isinstance(request, PolyRequest):
                theirs = set(digests)
                self._owed += encode(Elements(self._lacking(request.prefix, theirs)))
                self._learn(digests)
            case _:
                self._unexpected(message)

    def _go_on(self) -> None:
        if not self._asked:
            self._ask()

    def _ask(self) -> None:
        """Send the next batch, or say that it is done."""
        if not self._todo:
            self._say_done(Ending.DONE)
            return
        room = self._limits.requests_max - self.statistics.requests
        count = min(BATCH, room, len(self._todo))
        if not count:
            self._stop(f"{self._limits.requests_max} requests were not enough")
            return
        self._asked += (self._request(self._todo.popleft()) for _ in range(count))
        self.statistics.requests += count
        self.statistics.rounds += 1
        self._pay()
        self._outgoing += b"".join(map(encode, (*self._asked, Flush())))

    def _request(self, prefix: Prefix) -> PolyRequest | FullRequest:
        node = self._view.node(prefix)
        if node.is_leaf or node.size < self._full_below:
            return FullRequest(prefix, in_order(self._view.digests(prefix)))
        return PolyRequest(prefix, node.size, node.samples)

    def _stop(self, text: str) -> None:
        self._say_done(Ending.LIMIT, text)

    def _say_done(self, ending: Ending, text: str = "") -> None:
        self._pay()
        self._say(Done())
        self._finish(ending, text)

    def _pay(self) -> None:
        self._outgoing += self._owed
        self._owed.clear()

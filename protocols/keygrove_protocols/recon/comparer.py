"""The side that connected, and only wants to know what differs: its partner learns nothing.

It answers as an initiator does, but every answer is empty. So the partner has nothing to fetch, and
asks about no other nodes than it would else: SyncFail alone sends it further down. Whether all of
the set was asked about is seen here, and not left to the partner's Done, which Hockeypuck says,
too, when it gave up.
"""

from collections.abc import Set as AbstractSet

from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.frames import Decoder
from keygrove_protocols.recon.initiator import Initiator
from keygrove_protocols.recon.messages import FullRequest, PolyRequest
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.session import Ending, SessionLimits
from keygrove_protocols.recon.view import View


class Comparer(Initiator):
    """Answers an acceptor, and tells it nothing."""

    def __init__(self, view: View, decoder: Decoder, limits: SessionLimits | None = None) -> None:
        super().__init__(view, decoder, limits)
        self._untold = {ROOT}

    @property
    def is_whole(self) -> bool:
        """Whether each part of the set was asked about, in a way that tells what differs."""
        is_cut = self.end is not None and self.end.ending is Ending.LIMIT
        return not self._untold and not is_cut

    def _answer(self, request: PolyRequest | FullRequest) -> None:
        solved = self.statistics.solved
        super()._answer(request)
        is_told = isinstance(request, FullRequest) or self.statistics.solved > solved
        if request.prefix in self._untold:
            self._untold.remove(request.prefix)
            self._untold.update(() if is_told else request.prefix.children())

    def _give(self, digests: AbstractSet[Digest]) -> tuple[Digest, ...]:
        super()._give(digests)
        return ()

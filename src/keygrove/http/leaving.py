"""How answers leave: in pieces, each when the client has taken those before, and not too many.

An answer is held until its last piece is on its way, or the client is gone. Whoever asks for much
and reads nothing holds that much memory, so no address may hold more than is left for all others:
one that is alone has half of it, a tenth one a tenth, and there is always something left.
"""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from keygrove.http.errors import TooManyAnswersError, TooManyRequestsError
from keygrove.ratelimit.places import place_of

PIECE_OCTETS: Final = 64 << 10
"""As much as the operating system and the event loop take anyway; such answers do not count."""
LEAVING_OCTETS_MAX: Final = 256 << 20
"""Of the answers of a listener that clients are still taking."""
AGAIN_S: Final = 1.0
"""After which one may ask again that holds too much."""


class Leaving:
    """What is on its way to clients."""

    def __init__(self, octets_max: int) -> None:
        self._left = octets_max
        self._held = Counter[str | None]()

    @contextmanager
    def counted(self, client: str | None, octets: int) -> Generator[None, None, None]:
        """While a client takes an answer.

        Raises:
            TooManyRequestsError: this address is taking too much already.
            TooManyAnswersError: others are.
        """
        if octets <= PIECE_OCTETS:
            yield
            return
        place = place_of(client)
        if self._held[place] + octets > self._left:
            raise TooManyRequestsError(AGAIN_S) if self._held[place] else TooManyAnswersError
        self._left -= octets
        self._held[place] += octets
        try:
            yield
        finally:
            self._left += octets
            self._held[place] -= octets
            self._held += Counter()  # only what is not zero stays


def pieces(body: bytes) -> Generator[bytes, None, None]:
    """A body, cut up; at least one."""
    yield body[:PIECE_OCTETS]
    for at in range(PIECE_OCTETS, len(body), PIECE_OCTETS):
        yield body[at : at + PIECE_OCTETS]

"""How long one actor works before the event loop's others get their turn."""

import anyio.lowlevel

SLICE_BYTES = 256 * 1024
"""How much is parsed or merged before others get a turn: a few milliseconds. A certificate
that is larger is worked on elsewhere."""


class Turn:
    """Lets others run after every few milliseconds of work."""

    def __init__(self) -> None:
        self._spent_bytes = 0

    async def spend(self, size: int) -> None:
        """Count `size` bytes of work done."""
        self._spent_bytes += size
        if self._spent_bytes > SLICE_BYTES:
            self._spent_bytes = 0
            await anyio.lowlevel.checkpoint()

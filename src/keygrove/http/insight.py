"""What the running tree of a node tells of itself, to whoever asks over HTTP."""

from collections.abc import Sequence
from typing import Final, Protocol

from keygrove_actors import Node
from keygrove_actors.census import Snapshot
from keygrove_actors.meter import Metric

STARTING: Final = "the server is starting: try again shortly"


class Insight(Protocol):
    """The tree while it runs. Until `is_up`, there are no samples, and the rest is a 503."""

    def is_up(self) -> bool:
        """Whether all of it has started."""
        ...

    def outline(self) -> Node:
        """Who is there, and in which state: at once."""
        ...

    def failed(self) -> Sequence[str]:
        """The actors that spent their restarts and stay down for that, by their paths."""
        ...

    async def tree(self) -> Snapshot:
        """All that is known of each actor; the event loop goes on meanwhile."""
        ...

    async def samples(self) -> Sequence[Metric]:
        """Figures for a monitoring system."""
        ...

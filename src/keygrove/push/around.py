"""What the actors of push need of their node."""

from typing import Protocol

import msgspec

from keygrove.ports import Ports
from keygrove.telemetry.pushes import Pushed


class Watcher(Protocol):
    """Told what happens with targets."""

    def pushed(self, told: Pushed) -> None:
        """A certificate was sent to one, or could not be."""
        ...

    def places_lost(self, why: str) -> None:
        """It is not known any more how far some are: they begin anew."""
        ...

    def places_unreadable(self, why: str) -> None:
        """It cannot be read how far each is: they wait until it can."""
        ...


class Around(msgspec.Struct, frozen=True):
    """One node's."""

    ports: Ports
    watcher: Watcher
    shards: int
    sender: str
    """What it calls itself where a target's settings do not say; empty: nothing."""

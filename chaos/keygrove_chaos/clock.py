"""A node's clocks: wall time that can be wrong in every way, and a stopwatch that never runs back.

Wall time is `true · (1 + drift) + offset`, the stopwatch `true · (1 + its own drift)`; true time
is the world's. Faults are data and stack: each is felt for as long as it is in force, save a
jump, which stays as it would on a machine whose clock was set.
"""

from math import copysign, floor
from typing import Annotated, TypeAlias

import msgspec

from keygrove_chaos.checked import Checked
from keygrove_chaos.timeline import Timeline

EPOCH_S = 1_800_000_000
"""Wall time when the world begins."""
EDGES_S = {"1970": 0, "2038": 1 << 31, "2106": 1 << 32}
"""Where clocks and their readers go wrong: before Unix, after a signed 32 bits, and after
OpenPGP's unsigned ones (RFC 9580 §3.5)."""
SLEW = 500e-6
"""The fastest that a clock is usually brought right (adjtime: 500 µs a second)."""


Rate: TypeAlias = Annotated[float, msgspec.Meta(gt=-1)]
"""How much faster than true time; no clock runs backwards."""


class _Fault(Checked, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """What is wrong with a clock."""


class Offset(_Fault, frozen=True, tag="clock.offset"):
    """Wall time is wrong by so many seconds while this is in force."""

    offset_s: float


class Jump(_Fault, frozen=True, tag="clock.jump"):
    """Wall time is set: by so many seconds, forward or back, for good; or to a moment."""

    by_s: float = 0.0
    to_s: float | None = None
    """Seconds since 1970, in place of `by_s`."""


class Drift(_Fault, frozen=True, tag="clock.drift"):
    """Wall time and stopwatch run at other rates while this is in force; what they gain stays."""

    wall: Rate = 0.0
    """500e-6 gains half a millisecond a second."""
    elapsed: Rate = 0.0


class Freeze(_Fault, frozen=True, tag="clock.freeze"):
    """Wall time stands still; afterwards it is right again, at once.

    With `is_pause` (a machine that was suspended) the stopwatch stands, too, and catches up.
    """

    is_pause: bool = False


class Slew(_Fault, frozen=True, tag="clock.slew"):
    """What jumps have left is brought right again, slowly, while this is in force."""

    rate: Annotated[float, msgspec.Meta(gt=0)] = SLEW


ClockFault: TypeAlias = Offset | Jump | Drift | Freeze | Slew


class SimulatedClock:
    """See `ports.Clock`: one node's own. It may be wrong from the start, and drift."""

    def __init__(
        self, timeline: Timeline, *, offset_s: float = 0.0, drift: Drift | None = None
    ) -> None:
        self._timeline = timeline
        self._drift = drift or Drift()
        self._faults: dict[str, ClockFault] = {}
        self._frozen: dict[str, tuple[float, float]] = {}  # wall and stopwatch of each freeze
        self._looks: dict[str, int] = {}
        # What was the case at the last change; between changes everything runs evenly.
        self._since_s = timeline.now()
        self._error_s = offset_s
        self._elapsed_s = 0.0

    def now(self) -> int:
        """See `ports.Clock`. Rounded down, before 1970 as well."""
        return floor(self.wall_s())

    def wall_s(self) -> float:
        """Seconds since 1970, as the node believes."""
        self._looked()
        return self._wall_s()

    def elapsed(self) -> float:
        """See `ports.Clock`. It never runs back."""
        self._looked()
        return self._stopwatch_s()

    def push(self, fault_id: str, fault: ClockFault) -> None:
        """Put a fault in force, beside those that are."""
        assert fault_id not in self._faults, f"{fault_id} is in force already"
        self._settle()
        if isinstance(fault, Freeze):
            self._frozen[fault_id] = (self._wall_s(), self._stopwatch_s())
        if isinstance(fault, Jump):
            to_s = self._wall_s() + fault.by_s if fault.to_s is None else fault.to_s
            self._error_s += to_s - self._wall_s()
        self._faults[fault_id] = fault
        self._looks[fault_id] = 0

    def pop(self, fault_id: str) -> int:
        """Take a fault out of force; what effect it had."""
        self._settle()
        del self._faults[fault_id]
        self._frozen.pop(fault_id, None)
        return self._looks.pop(fault_id)

    def effect(self, fault_id: str) -> int:
        """How often anybody looked at the clock under a fault; 0 means that it is inert so far."""
        return self._looks[fault_id]

    def _wall_s(self) -> float:
        for wall_s, _ in self._frozen.values():  # the first one that still holds it
            return wall_s
        offsets = (fault.offset_s for fault in self._faults.values() if isinstance(fault, Offset))
        return EPOCH_S + self._timeline.now() + self._wrong_s() + sum(offsets)

    def _stopwatch_s(self) -> float:
        for fault_id, (_, elapsed_s) in self._frozen.items():
            fault = self._faults.get(fault_id)
            if isinstance(fault, Freeze) and fault.is_pause:
                return elapsed_s
        return self._ran_s()

    def _ran_s(self) -> float:
        rate = 1 + sum(drift.elapsed for drift in self._drifts())
        return self._elapsed_s + rate * self._passed_s()

    def _wrong_s(self) -> float:
        """By how much wall time is wrong, offsets apart."""
        error_s = self._error_s + self._passed_s() * sum(drift.wall for drift in self._drifts())
        for fault in self._faults.values():
            if isinstance(fault, Slew):
                step_s = min(abs(error_s), fault.rate * self._passed_s())
                error_s -= copysign(step_s, error_s)
        return error_s

    def _drifts(self) -> list[Drift]:
        active = (fault for fault in self._faults.values() if isinstance(fault, Drift))
        return [self._drift, *active]

    def _passed_s(self) -> float:
        return self._timeline.now() - self._since_s

    def _settle(self) -> None:
        """Sum up what was, because something is about to change."""
        self._error_s, self._elapsed_s = self._wrong_s(), self._ran_s()
        self._since_s = self._timeline.now()

    def _looked(self) -> None:
        for fault_id in self._looks:
            self._looks[fault_id] += 1

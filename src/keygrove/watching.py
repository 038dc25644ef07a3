"""What happens in a node, told to the log, to the metrics, and to who looks on."""

from collections.abc import Callable

from keygrove.errors import DamagedError, NodeStopError
from keygrove.http.asgi import Observer
from keygrove.ports import Ports
from keygrove.storage.space import SpaceStatus
from keygrove.storage.store import Progress
from keygrove.telemetry.administration import Administered, AdminRefusal
from keygrove.telemetry.exchange import Exchange
from keygrove.telemetry.intake import Intake
from keygrove.telemetry.log import Log, NodeLog
from keygrove.telemetry.metrics import Metrics
from keygrove.telemetry.partner_watch import PartnerWatch
from keygrove.telemetry.pushes import Pushed
from keygrove.tree import STORAGE
from keygrove_actors import (
    ChildStarted,
    Killed,
    Report,
    ShutdownError,
    SlowTurn,
    StartError,
)
from keygrove_actors.meter import Meter
from keygrove_actors.repeats import Repeats

STALL_TOLD_S = 60.0
"""How often the log tells of the same handler that holds up the loop; the metric counts all."""


class Telemetry(Observer):
    """What happens, told to the log and to the metrics."""

    def __init__(
        self, log: Log, ports: Ports, metrics: Metrics, observe: Callable[[Report], None] | None
    ) -> None:
        self._log = NodeLog(log, ports.entropy.token(32))
        self._metrics = metrics
        self._observe = observe
        self._clock = ports.clock
        self._stalls: dict[tuple[str, str], float] = {}
        self.partners = PartnerWatch(self._log, metrics.partners, self._clock)
        self.meter = Meter()
        self.repeats = Repeats(self._log.report)
        self.failed_start: StartError | None = None
        """The first start that failed: the others fail because of it."""
        self._killed: dict[str, None] = {}
        """Who had to be killed and is not up again, in order."""

    def exchange(self, exchange: Exchange) -> None:
        """See `Observer`."""
        self._metrics.exchange(exchange)
        self._log.exchange(exchange)

    def fault(self, where: str, error: Exception) -> None:
        """See `Observer`, and `watcher.Watcher`."""
        self._metrics.fault(where, error)
        self._log.fault(where, error)

    def intake(self, intake: Intake) -> None:
        """See `tree.Watcher`."""
        self._metrics.intake(intake)
        self._log.intake(intake)

    def pushed(self, told: Pushed) -> None:
        """See `push.around.Watcher`."""
        self._log.pushed(told)

    def places_lost(self, why: str) -> None:
        """See `push.around.Watcher`."""
        self._log.places_lost(why)

    def places_unreadable(self, why: str) -> None:
        """See `push.around.Watcher`."""
        self._log.places_unreadable(why)

    def administered(self, done: Administered) -> None:
        """See `Observer`."""
        self._metrics.administered(done)
        self._log.administered(done)

    def refused(self, refusal: AdminRefusal) -> None:
        """See `Observer`."""
        self._metrics.refused(refusal)
        self._log.refused(refusal)

    def damaged(self, shard: str, error: DamagedError) -> None:
        """See `watcher.Watcher`."""
        self._log.damaged(shard, error)

    def progress(self, shard: str, progress: Progress | None) -> None:
        """See `watcher.Watcher`."""
        if progress is None:
            self._log.brought_up(shard)
        else:
            self._log.bringing_up(shard, str(progress), lacks_room=progress.lacks_room)

    def space(self, space: SpaceStatus) -> None:
        """See `space.Watcher`."""
        self._log.disk(space.level.value, space.free_bytes, space.total_bytes)

    def synced_too_fast(self, sync_s: float) -> None:
        """See `space.Watcher`."""
        self._log.synced_too_fast(sync_s)

    def tree_made_anew(self, why: str) -> None:
        """See `recon.watcher.Watcher`."""
        self._log.tree_made_anew(why)

    def tree_up(self, digests: int) -> None:
        """See `recon.watcher.Watcher`."""
        self._log.tree_up(digests)

    def tree_not_dumped(self, why: str) -> None:
        """See `recon.watcher.Watcher`."""
        self._log.tree_not_dumped(why)

    def report(self, report: Report) -> None:
        """What the runtime says of its actors."""
        if isinstance(report, StartError) and self.failed_start is None:
            self.failed_start = report
        if isinstance(report, ShutdownError | StartError) and isinstance(report.reason, Killed):
            self._killed[report.path] = None
        elif isinstance(report, ChildStarted):
            self._killed.pop(report.path, None)
        self.meter.observe(report)
        if not isinstance(report, SlowTurn):  # told already, if there is anybody who looks
            self.repeats.observe(report)
        if self._observe is not None:
            self._observe(report)

    def raise_if_late(self) -> None:
        """Raise NodeStopError if shards were killed because they did not stop in time."""
        late = [path for path in self._killed if path.startswith(f"{STORAGE}/")]
        if late:
            raise NodeStopError(late)

    def stalled(self, slow: SlowTurn) -> None:
        """Something holds up the loop, perhaps for ever: the thread that looks says so at once."""
        now = self._clock.elapsed()
        self._stalls = {who: at for who, at in self._stalls.items() if now - at < STALL_TOLD_S}
        if (slow.path, slow.message) not in self._stalls:
            self._stalls[slow.path, slow.message] = now
            self._log.report(slow)

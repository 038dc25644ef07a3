"""The figures of the actor runtime, as Prometheus takes them: scraped, never counted here."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from keygrove_actors.meter import Metric as Sample

_FAMILIES = {
    "actor_up": ("gauge", "Actors of this class and child that are up."),
    "actor_mailbox_length": ("gauge", "Messages that wait in their mailboxes."),
    "actor_mailbox_high_water": ("gauge", "The most that ever waited in one of them."),
    "actor_memory_bytes": ("gauge", "Estimate of their own memory, without what they refer to."),
    "actor_messages": ("counter", "Messages handled."),
    "actor_turn_seconds": ("summary", "Time in handlers, of actors whose statistics are on."),
    "actor_restarts": ("counter", "Restarts that supervisors decided."),
    "actor_given_up": ("counter", "Actors left down because they spent their restarts."),
    "actor_dead_letters": ("counter", "Messages that no handler saw."),
    "actor_mailbox_dropped": ("counter", "Messages that a full mailbox did not take."),
    "actor_call_errors": ("counter", "Calls whose caller got an error in place of a reply."),
    "actor_late_replies": ("counter", "Replies that came after their caller had gone."),
    "actor_expired": ("counter", "Calls whose deadline passed while they waited."),
    "actor_abandoned": ("counter", "Calls whose caller had gone while they waited."),
    "actor_unhandled": ("counter", "Messages of a type that the actor does not handle."),
    "actor_timers_dropped": ("counter", "Timers that found a full mailbox."),
    "actor_zombies": ("counter", "Actors that outlived their kill."),
    "loop_stalls": ("counter", "Times that something held up the event loop for 0.1 s or more."),
    "loop_lag_seconds": ("histogram", "How late the event loop is, looked at twice a second."),
}
_SUFFIXES = {
    "gauge": ("",),
    "counter": ("_total",),
    "summary": ("_count", "_sum"),
    "histogram": ("_bucket", "_count", "_sum"),
}
"""What the names of a family's samples end with."""


class ActorFigures(Collector):
    """The figures that the runtime gave last."""

    def __init__(self) -> None:
        self.samples: Sequence[Sample] = ()

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client. A family without samples is shown by its name."""
        families: dict[str, Metric] = {}
        by_sample: dict[str, Metric] = {}
        for name, (kind, text) in _FAMILIES.items():
            family = families[name] = Metric(f"keygrove_{name}", text, kind)
            by_sample |= {f"{family.name}{suffix}": family for suffix in _SUFFIXES[kind]}
        for sample in self.samples:
            by_sample[sample.name].add_sample(sample.name, dict(sample.labels), sample.value)
        yield from families.values()

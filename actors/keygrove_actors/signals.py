"""Exit signals: who hears them, who dies of them, and what becomes of those who will not.

Signals do not queue: they set `reason`, which is looked at before each message, and
interrupt the task. The first reason stays; only a kill puts itself in its place. An
actor that traps exits gets all but kills as mail instead.

A kill cancels the task. If that is still there after the runtime's grace, the actor is
*fenced*: announced dead, so that its supervisor can go on, and from then on whatever it
sends, answers or sets is discarded (A-172).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from keygrove_actors.host import Host, TaskSet
from keygrove_actors.hub import Hub
from keygrove_actors.mail import WITHDRAWN, Notice
from keygrove_actors.messages import ORDERLY, GoneReason, Killed, Normal, Reason
from keygrove_actors.outcomes import Exit
from keygrove_actors.reports import TerminateError, Zombie
from keygrove_actors.specs import ChildSpec
from keygrove_actors.turns import Turns
from keygrove_actors.wheel import Alarm

if TYPE_CHECKING:
    from typing import Any

    from keygrove_actors.ref import Ref


class Link(Notice):
    """One end of a link. When it breaks it is itself the mail, so that it can be withdrawn."""

    __slots__ = ("_owner", "_peer", "_reason")

    def __init__(self, owner: Signals, peer: Signals) -> None:
        self._owner = owner
        self._peer = peer
        self._reason: Reason | None = None

    def fire(self, reason: Reason) -> None:
        """The peer ended: become mail, behind what it had sent (A-073)."""
        self._reason = reason
        self._owner.post_signal(self)

    def unwrap(self) -> Exit | object:
        """The `Exit`, unless the link was taken back meanwhile."""
        links = self._owner.links
        if links is None or links.get(self._peer) is not self:
            return WITHDRAWN
        del links[self._peer]
        assert self._reason is not None
        return Exit(self._owner.ref_of(self._peer), self._reason)


class Signals(Turns):
    """A mailbox with an actor that others can link to, stop and kill."""

    __slots__ = ("host", "is_killed", "is_started", "links", "tasks", "traps")

    def __init__(self, hub: Hub, spec: ChildSpec, path: str) -> None:
        super().__init__(hub, spec, path)
        self.is_started = self.is_killed = self.traps = False
        self.host: Host | None = None
        self.tasks: TaskSet | None = None
        self.links: dict[Signals, Link] | None = None

    @abstractmethod
    def ref_of(self, cell: Signals) -> Ref[Any]:
        """An address of `cell`, as mail carries it."""

    @abstractmethod
    def announce(self) -> None:
        """Be dead."""

    def exit_signal(self, reason: Reason, *, by: Signals | None) -> None:
        """An exit signal from anywhere but the supervisor (A-060 to A-065)."""
        if self.is_dead:
            return
        if self.traps:
            self.post_signal(Exit(None if by is None else self.ref_of(by), reason))
        elif by is self or not isinstance(reason, Normal):
            self.stop(reason)

    def link(self, peer: Signals | None) -> None:
        """Link both ways; with nobody there, as if it had just died (A-068)."""
        if peer is self:
            return
        if peer is None or peer.is_dead:
            self.exit_signal(GoneReason(), by=peer)
            return
        mine, its = self.links or {}, peer.links or {}
        if peer not in mine:
            mine[peer] = Link(self, peer)
            its[self] = Link(peer, self)
        self.links, peer.links = mine, its

    def unlink(self, peer: Signals) -> None:
        """Undo `link`, however often it was called; no `Exit` of it is handled any more."""
        for owner, other in ((self, peer), (peer, self)):
            if owner.links is not None:
                owner.links.pop(other, None)

    def break_links(self, reason: Reason) -> None:
        """Tell all who are linked that this one ended."""
        links, self.links = self.links or {}, None
        for peer in list(links):
            peer.link_broken(self, reason)

    def link_broken(self, peer: Signals, reason: Reason) -> None:
        """A linked actor ended."""
        link = (self.links or {}).get(peer)
        if link is None or self.is_dead:
            return
        if self.traps:
            link.fire(reason)
            return
        assert self.links is not None
        del self.links[peer]
        if isinstance(reason, Killed):
            self.kill()
        elif not isinstance(reason, Normal):
            self.stop(reason)

    def stop(self, reason: Reason) -> None:
        """End with `reason` before the next message (A-066)."""
        if self.reason is None:
            self.ends(reason)
            self.signalled()

    def kill(self, reason: Reason = Killed()) -> None:  # noqa: B008 - frozen
        """Kill signal: end now, without `terminate`."""
        if self.is_dead:
            return
        if not self.is_killed and (self.host is not None or self.tasks):
            due = self.hub.backend.now() + self.hub.kill_grace
            self.hub.fences[self] = Alarm(self.hub.wheel, due, self._fence)
        self.is_killed = self.halted = True
        self.reason = reason
        if self.host is not None:
            self.host.kill()
        self.signalled()

    def _fence(self) -> None:
        """The grace is over: declare it dead, whatever its task still does."""
        hub = self.hub
        hub.counters.zombies += 1
        hub.report(Zombie(self.spec.id, self.path, hub.kill_grace))
        self.announce()
        hub.taps[self] = None

    def task_failed(self, error: BaseException) -> None:
        """A child task raised: crash, or report it if already ending."""
        if self.reason is None:
            self.crashed(error)
            self.signalled()
        else:
            self.report_unclean(error)

    def crashed(self, error: BaseException) -> None:
        """End with the crash that `error` is, unless already ending."""
        if self.reason is None:
            self.ends(self.hub.crash(error, self.path))

    def unfence(self) -> None:
        """It is dead now, as it should be: forget the grace, and the cut."""
        self.hub.taps.pop(self, None)
        fence = self.hub.fences.pop(self, None)
        if fence is not None:
            fence.cancel()

    def cleanup_deadline(self) -> float:
        """When cleaning up has to be over, on the loop's clock."""
        limit = self.spec.shutdown_limit
        return self.hub.backend.now() + limit if isinstance(limit, float | int) else float("inf")

    def overran(self) -> None:
        """Cleaning up took too long, and was cut off: no orderly end, then."""
        self.report_unclean(TimeoutError("cleaning up took longer than the shutdown time"))
        if isinstance(self.reason, ORDERLY):
            self.reason = Killed()

    def report_unclean(self, error: BaseException) -> None:
        """Report that cleaning up failed; the reason stays what it was."""
        crash = self.hub.crash(error, self.path)
        self.hub.report(TerminateError(self.spec.id, self.path, crash))

    def signalled(self) -> None:
        """See to it that `reason` is acted on."""
        if self.host is not None:
            # No direct turn from now on: it would be handled after the signal.
            self.is_idle = False
            self.host.interrupt()
        elif self.is_idle or self.is_suspended:
            self.schedule()

"""The rules of restarting, told once more: which action of a supervisor was wrong.

The model is fed with a runtime's reports and knows the tree as it was specified. It plans for
each supervisor what must be stopped and started next, and says so when something else happens.
It shares no code with the runtime's decisions.

What it cannot see it takes as given: an actor that ends by itself with `Shutdown` just when
its supervisor stops others looks as if it were stopped; and requests by operators
(`SupRef.terminate` and the like) are not reported, so a tree under test gets none, and no
child in it may ignore its start.

Source: actors reference §1.1 to 1.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from keygrove_actors.messages import ORDERLY, Killed, Reason, Shutdown
from keygrove_actors.reports import (
    Breach,
    ChildGivenUp,
    ChildRestarting,
    ChildStarted,
    ChildTerminated,
    Report,
    ShutdownError,
    StartError,
)
from keygrove_actors.specs import AutoShutdown, OnBudget, Restart, SupSpec
from keygrove_chaos.family import Child, Family, Life
from keygrove_chaos.history import NANOSECONDS

SLACK_S: Final = 1e-6
"""How far a report's time may be from that of the decision: rounding, in virtual time."""


class SupervisionModel:
    """What a tree of supervisors must do next, judged report by report.

    `slack_s` is how late reports may be; more than the default where time is real.
    """

    def __init__(self, tree: SupSpec, slack_s: float = SLACK_S) -> None:
        self._slack_s = slack_s
        self._families = {"": Family(tree, 0.0)}
        self._is_stopping = False

    def stop(self) -> None:
        """The whole tree was asked to stop."""
        self._is_stopping = True

    def hear(self, time_ns: int, report: Report) -> str | None:
        """What is wrong about what was just reported; None if nothing is. Amortised O(1).

        One wrong action is told once: the model goes on from what did happen.
        """
        now = time_ns / NANOSECONDS
        wrong = ""
        match report:
            case ChildStarted(path=path):
                wrong = self._started(path, report.incarnation, now)
            case ChildTerminated(path=path):
                wrong = self._ended(path, report.reason, now)
            case StartError(path=path):
                wrong = self._not_started(path, now)
            case ChildRestarting(path=path):
                wrong = self._restarting(path, report, now)
            case Breach(path=path):
                wrong = self._broke(path, report, now)
            case ChildGivenUp(path=path):
                wrong = self._given_up(path, now)
            case ShutdownError(path=path, reason=Shutdown()):
                wrong = f"{path} ended as it was told, and that was reported as an error"
            case _:
                pass
        return wrong or None

    def late(self, now_ns: int, bound_s: float) -> list[str]:
        """The paths of what should have been up, or gone, for longer than `bound_s`.

        Linear in the tree.
        """
        now = now_ns / NANOSECONDS
        paths: list[str] = []
        for path, family in self._families.items():
            if path and family.broken_s is not None and now > family.broken_s + bound_s:
                paths.append(path)
            if not self._is_leaving(path):
                for child in family.children.values():
                    backoff = child.spec.backoff
                    due = child.down_s + bound_s + (0.0 if backoff is None else backoff.cap)
                    if child.life in {Life.FALLEN, Life.DUE} and now > due:
                        paths.append(_join(path, child.id))
        return paths

    # ---- where

    def _family(self, path: str, now: float) -> tuple[str, Family]:
        """The family of the supervisor at `path`, begun if need be; what is wrong about that."""
        family = self._families.get(path)
        if family is not None:
            return "", family
        above, child_id = _split(path)
        wrong, parents = self._family(above, now)
        child = parents.children.get(child_id) or parents.spawn(child_id, now)
        spec = child.spec.start
        assert isinstance(spec, SupSpec), f"{path} is no supervisor, and has a child"
        family = self._families[path] = Family(spec, now)
        if child.life is not Life.UP and not parents.is_dynamic:
            wrong = wrong or _may_start(parents, child, path)
        return wrong, family

    def _find(self, path: str, now: float) -> tuple[str, Family, Child]:
        above, child_id = _split(path)
        wrong, family = self._family(above, now)
        child = family.children.get(child_id) or family.spawn(child_id, now)
        return wrong, family, child

    def _is_leaving(self, path: str) -> bool:
        """Whether the supervisor at `path` ends: by itself, or because one above stops it."""
        if self._is_stopping or self._families[path].is_leaving:
            return True
        if not path:
            return False
        above, child_id = _split(path)
        parents = self._families.get(above)
        return parents is not None and (
            child_id in parents.to_stop or child_id in parents.may_stop or self._is_leaving(above)
        )

    # ---- starts

    def _started(self, path: str, incarnation: int, now: float) -> str:
        wrong, family, child = self._find(path, now)
        is_spawned = family.is_dynamic and child.lives == 0 and not family.to_start
        if child.life is Life.UP:
            wrong = wrong or f"{path} was started while it was up"
        elif family.broken_s is not None:
            wrong = wrong or f"{path} was started after its supervisor had given up"
        elif incarnation <= child.lives:
            wrong = wrong or f"{path} started life {incarnation} after life {child.lives}"
        elif not is_spawned:
            wrong = wrong or _may_start(family, child, path)
        own = self._families.get(path)
        if own is not None and not own.is_ready:
            missing = own.to_start[0] if own.to_start else "that failed to start"
            wrong = wrong or f"{path} was called up before its child {missing} was"
            own.to_start, own.is_ready = [], True
        family.start(child, incarnation, now)
        return wrong

    def _not_started(self, path: str, now: float) -> str:
        wrong, family, child = self._find(path, now)
        if not family.is_dynamic and not self._is_leaving(_split(path)[0]):
            wrong = wrong or _may_start(family, child, path)
        wrong = wrong or self._buried(path)
        if family.is_dynamic and child.lives == 0:
            del family.children[child.id]
        else:
            family.fail(child, now)
        return wrong

    # ---- ends

    def _ended(self, path: str, reason: Reason, now: float) -> str:
        wrong, family, child = self._find(path, now)
        if child.life is not Life.UP:
            wrong = wrong or f"{path} ended and had not been up"
        own = self._families.get(path)
        is_orderly = isinstance(reason, Shutdown) and (own is None or not own.is_leaving)
        wrong = wrong or self._wrong_end(path, reason) or self._buried(path)
        is_told = family.is_leaving or child.id in family.to_stop
        # a supervisor above that ends tells this one only in its turn; until then it goes on
        may_be_told = child.id in family.may_stop or self._is_leaving(_split(path)[0])
        is_stopped = is_orderly and (is_told or may_be_told)
        if is_stopped and not family.is_dynamic:
            later = family.later_that_is_up(child)
            if later is not None:
                wrong = wrong or f"{path} was stopped before {later.id}, which started after it"
        family.end(child, now)
        if not is_told and not is_stopped:
            if _is_restarted(child, reason):
                family.fall(child, now)
            elif child.id not in family.may_stop:
                _shut_down_for(family, child)
        if family.is_dynamic and child.life is Life.OVER:
            del family.children[child.id]
        return wrong

    def _wrong_end(self, path: str, reason: Reason) -> str:
        """What is wrong about why a supervisor ended."""
        own = self._families.get(path)
        if own is None:
            return ""
        is_orderly = isinstance(reason, Shutdown)
        if is_orderly and not self._is_leaving(path):
            return f"{path} gave up, and had no reason to"
        if own.broken_s is not None and not isinstance(reason, Shutdown | Killed):
            return f"{path} gave up, and did not end in order: it {reason}"
        return ""

    def _buried(self, path: str) -> str:
        """Forget what was below a supervisor that ended; what is wrong about that."""
        below = [p for p in self._families if p == path or p.startswith(f"{path}/")]
        orphans = [
            _join(one, child.id)
            for one in below
            for child in self._families[one].children.values()
            if child.life is Life.UP
        ]
        for one in below:
            del self._families[one]
        return f"{path} ended before its child {orphans[-1]} did" if orphans else ""

    # ---- decisions

    def _restarting(self, path: str, report: ChildRestarting, now: float) -> str:
        wrong, family, child = self._find(path, now)
        limit, period = family.limit_of(child)
        least, most = family.spend(child, now, self._slack_s)
        if family.broken_s is not None:
            wrong = wrong or f"{path} is restarted after its supervisor had given up"
        elif child.life is not Life.FALLEN:
            wrong = wrong or f"{path} is restarted, and had not fallen"
        elif least > limit:
            wrong = wrong or (
                f"{path} is restarted for the {least}th time in {period:g} s, of {limit} allowed"
            )
        elif not least <= report.used <= most or report.intensity != limit:
            wrong = wrong or (
                f"{path} is restarted with {report.used} of {report.intensity} restarts spent; "
                f"it were {most} of {limit}"
            )
        group = family.group(child)
        for one in group:
            family.forgive(one, now)
            waited = now - one.down_s
            # of those that fell after it, some are not known to the supervisor yet
            is_known = one is child or one.down_s < child.down_s
            if one.life is Life.FALLEN and is_known and waited < one.delay_s - self._slack_s:
                wrong = wrong or (
                    f"{path} is restarted {waited:g} s after {one.id} fell, "
                    f"before the {one.delay_s:g} s that its backoff takes at least"
                )
        family.plan(child, group, now)
        return wrong

    def _broke(self, path: str, report: Breach, now: float) -> str:
        wrong, family, child = self._find(path, now)
        limit, period = family.limit_of(child)
        _, most = family.spend(child, now, self._slack_s)
        if family.broken_s is not None:
            wrong = wrong or f"the supervisor of {path} gave up twice"
        elif child.life is not Life.FALLEN:
            wrong = wrong or f"the supervisor of {path} gave up because of it; it had not fallen"
        elif child.spec.on_budget is OnBudget.GIVE_UP:
            wrong = wrong or f"the supervisor of {path} gave up, where {path} was to be given up"
        elif most <= limit or (report.intensity, report.period) != (limit, period):
            wrong = wrong or (
                f"the supervisor of {path} gave up at restart {most} in {period:g} s, "
                f"of {limit} allowed"
            )
        family.break_off(now)
        return wrong

    def _given_up(self, path: str, now: float) -> str:
        wrong, family, child = self._find(path, now)
        limit, period = family.limit_of(child)
        first_due = now + child.delay_s
        most = 1 + sum(stamp >= first_due - period - self._slack_s for stamp in child.stamps)
        if child.spec.budget is None or child.spec.on_budget is not OnBudget.GIVE_UP:
            wrong = wrong or f"{path} was given up, and its spec does not say so"
        elif child.life is not Life.FALLEN or most <= limit:
            wrong = wrong or f"{path} was given up at restart {most}, of {limit} allowed"
        child.life = Life.FAILED
        family.may_stop.clear()
        family.to_start, family.stalled = family.stalled, []
        _shut_down_for(family, child)
        return wrong


def _join(path: str, child_id: str) -> str:
    return f"{path}/{child_id}" if path else child_id


def _split(path: str) -> tuple[str, str]:
    above, _, child_id = path.rpartition("/")
    return above, child_id


def _may_start(family: Family, child: Child, path: str) -> str:
    """Whether it is the child's turn, and if not, why."""
    if family.to_stop:
        return f"{path} was started before {family.to_stop[0]} was stopped"
    if not family.to_start:
        return f"{path} was started, and nothing had asked for it"
    if family.to_start[0] != child.id:
        return f"{path} was started when it was {family.to_start[0]}'s turn"
    return ""


def _is_restarted(child: Child, reason: Reason) -> bool:
    match child.spec.restart:
        case Restart.PERMANENT:
            return True
        case Restart.TRANSIENT:
            return not isinstance(reason, ORDERLY)
        case Restart.TEMPORARY:
            return False


def _shut_down_for(family: Family, child: Child) -> None:
    """Leave, if the supervisor ends with its significant children (A-048).

    It does so when it comes to know of the end: what is being started is started first.
    """
    if child.spec.significant:
        over = {Life.OVER, Life.FAILED}
        significant = [one for one in family.children.values() if one.spec.significant]
        auto = family.spec.auto_shutdown
        if auto is AutoShutdown.ANY_SIGNIFICANT or (
            auto is AutoShutdown.ALL_SIGNIFICANT and all(one.life in over for one in significant)
        ):
            family.is_leaving, family.leaves_for = True, child


def expected_paths(tree: SupSpec, above: str = "") -> Iterator[str]:
    """The paths of all children that are up when nothing is wrong, in start order.

    Dynamic children are not foretold, nor are those that may end, or be given up.
    """
    for child in tree.children:
        path = _join(above, child.id)
        if child.restart is Restart.PERMANENT and child.on_budget is OnBudget.ESCALATE:
            yield path
            if isinstance(child.start, SupSpec):
                yield from expected_paths(child.start, path)

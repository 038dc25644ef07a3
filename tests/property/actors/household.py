"""The oracle's children: how a supervisor of the model starts, stops, loses and kills them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tests.property.actors.world import Entry, Plan, Rule, Until, World

Steps: TypeAlias = Generator[Until, None, Any]


@dataclass(eq=False)
class Kid:
    rule: Rule
    id: str
    key: str
    state: str = "down"
    """down, starting, up, dying (by itself, slowly), dead (its exit is news), restarting, failed"""
    incarnation: int = 0
    lived: list[int] = field(default_factory=list[int])
    """The incarnations that were up."""
    life: int = 0
    reason: str = ""
    dies_at: float = 0.0
    is_stuck: bool = False
    """It opens a resource, and can be killed but not stopped."""
    gone: Until = field(default_factory=Until)
    hang: Until | None = None
    """Its init hangs until this fires."""
    is_cut: bool = False
    """Its supervisor had no more time for its init."""
    sub: Household | None = None
    token: int = 0
    due: float | None = None
    tries: int = 0
    up_since: float | None = None
    stamps: list[float] = field(default_factory=list[float])


def unheard(_: str) -> None:
    """Nobody is there to be told."""


class LeavingError(Exception):
    """The supervisor is to stop its children and end."""


class Household:
    """A supervisor as a process with children; deriving it says what it does with news."""

    def __init__(self, world: World, plan: Plan, path: str, told: Callable[[str], None]) -> None:
        self.world, self.plan, self.path, self.told = world, plan, path, told
        self.is_dynamic = plan.strategy == "dynamic"
        rules = () if self.is_dynamic else plan.rules
        self.kids = {r.id: Kid(r, r.id, f"{path}/{r.id}") for r in rules}
        self.stamps: list[float] = []
        self.news: deque[tuple[Any, ...]] = deque()
        self.mail: deque[tuple[Any, ...]] = deque()
        self.wakes = Until()
        self.leaving: str | None = None
        self.is_idle = self.is_dead = False
        self.spawned = 0
        self.asked: tuple[Kid, Callable[[str], None]] | None = None
        self.trace = world.traces.setdefault(path, [])
        self.steps = self.main()

    # ---- being a process

    def resume(self) -> None:
        if self.is_dead:
            return
        try:
            until = next(self.steps)
        except StopIteration:
            return
        if until.is_fired:
            self.world.at(self.world.now, self.resume)
        else:
            until.waiters.append(lambda: self.world.at(self.world.now, self.resume))

    def wake(self) -> None:
        wakes, self.wakes = self.wakes, Until()
        wakes.fire()

    def note(self, kind: str, child: str, detail: str = "") -> None:
        self.trace.append((self.world.now, (kind, child, detail)))

    def main(self) -> Steps:
        """Its whole life."""
        raise NotImplementedError

    def check(self) -> None:
        if self.leaving is not None:
            raise LeavingError

    def end(self, reason: str) -> None:
        self.is_dead = True
        self.told(reason)

    def answer(self, outcome: str) -> None:
        if self.asked is not None:
            (_, tell), self.asked = self.asked, None
            tell(outcome)

    # ---- what others do to it

    def stop_asked(self) -> None:
        if self.leaving is None:
            self.cut_short()
        self.leaving = self.leaving or "shutdown"
        self.dismiss()
        self.wake()

    def cut_short(self) -> None:
        """A child that is starting has as long as it would have to stop, and no more."""
        for kid in [k for k in self.kids.values() if k.state == "starting"]:
            if kid.sub is not None:
                kid.sub.stop_asked()
                continue
            hang, shutdown = kid.hang, kid.rule.shutdown

            def cut(kid: Kid = kid, hang: Until | None = hang) -> None:
                if hang is not None and not hang.is_fired:
                    kid.is_cut = True
                    hang.fire()

            assert isinstance(shutdown, int), "only those with a task hang"
            self.world.at(self.world.now + shutdown, cut)

    def kill(self) -> None:
        """Its children die with it, in any order."""
        self.is_dead = True
        ended = [k for k in self.kids.values() if k.state in {"starting", "up", "dying"}]
        for kid in list(self.kids.values()):
            if kid in ended and kid.sub is not None and not kid.sub.is_dead:
                kid.sub.told = unheard
                kid.sub.kill()
        kinds = {k.id: "start_error" if k.state == "starting" else "ended" for k in ended}
        self.trace_any(frozenset((kinds[k.id], k.id, "killed") for k in ended))
        self.dismiss()
        self.answer("CalleeExit")
        self.told("killed")

    def dismiss(self) -> None:
        """Nobody will take the mail."""
        for _, tell in self.mail:
            tell("ShuttingDown")
        self.mail.clear()

    def ask(self, request: tuple[Any, ...], tell: Callable[[str], None]) -> None:
        if self.is_dead:
            tell("NoProc")
        elif self.leaving is not None:
            tell("ShuttingDown")
        else:
            self.mail.append((request, tell))
            self.wake()

    def ends(self, kid: Kid, how: str) -> None:
        """A child that is up ends by itself: at once, or cut off while it cleans up."""
        kid.reason = how
        if self.hangs(kid) and how != "killed":
            assert isinstance(kid.rule.shutdown, int)
            kid.state, life = "dying", kid.life
            kid.reason = how if how == "boom" else "killed"
            kid.dies_at = self.world.now + kid.rule.shutdown
            self.world.at(kid.dies_at, lambda: self.died(kid, life))
        else:
            self.died(kid, kid.life)

    def died(self, kid: Kid, life: int) -> None:
        if self.is_dead or kid.life != life or kid.state not in {"up", "dying"}:
            return
        kid.state = "dead"
        self.note("ended", kid.id, kid.reason)
        kid.gone.fire()
        self.news.append(("exit", kid, kid.life))
        self.wake()

    # ---- starting and stopping one child

    def start(self, kid: Kid) -> Steps:
        kid.state, kid.gone = "starting", Until()
        kid.incarnation += 1
        kid.life += 1
        kid.is_stuck = False
        outcome = yield from self.start_sub(kid) if kid.rule.sub else self.start_worker(kid)
        if outcome == "up":
            kid.state, kid.up_since = "up", self.world.now
            kid.lived.append(kid.incarnation)
        else:
            kid.state = "down"
        if outcome == "ignored" and not self.keeps(kid):
            del self.kids[kid.id]
        if self.asked is not None and self.asked[0] is kid:
            self.answer("ok" if outcome in {"up", "ignored"} else "StartFailed")
        return outcome

    def start_worker(self, kid: Kid) -> Steps:
        faults = self.world.inits.get(kid.key, [])
        fault = faults.pop(0) if faults else ""
        if fault == "hang" and kid.rule.has_task:
            kid.is_cut, kid.hang = False, self.world.sleep(2)
            yield kid.hang
            how = "killed" if kid.is_cut else "init_timeout"
            self.note("start_error", kid.id, how)
            return how
        if fault == "ignore":
            return "ignored"
        if fault == "fail":
            self.note("start_error", kid.id, "boom")
            return "boom"
        self.note("started", kid.id, str(kid.incarnation))
        return "up"

    def start_sub(self, kid: Kid) -> Steps:
        assert kid.rule.sub is not None
        heard: list[str] = []
        until = Until()
        life = kid.life

        def told(what: str) -> None:
            if not heard:
                heard.append(what)
                until.fire()
            elif kid.sub is not None and kid.life == life:
                kid.reason = what
                self.died(kid, life)

        kid.sub = type(self)(self.world, kid.rule.sub, f"{self.path}/{kid.id}", told)
        kid.sub.resume()
        if not heard:
            yield until
        if heard == ["up"]:
            self.note("started", kid.id, str(kid.incarnation))
            return "up"
        self.note("start_error", kid.id, heard[0])
        return heard[0]

    def stop(self, group: Sequence[Kid]) -> Steps:
        """In reverse order, one at a time."""
        for kid in reversed(group):
            yield from self.stop_one(kid)
            self.put_down(kid)

    def stop_one(self, kid: Kid) -> Steps:
        reason = kid.reason if kid.state == "dead" else None
        if kid.state == "up" and kid.rule.shutdown == "brutal_kill":
            reason = kid.reason = "killed"
            self.note("ended", kid.id, "killed")
        elif kid.state == "up" and kid.sub is not None:
            kid.sub.stop_asked()
            yield kid.gone
            reason = kid.reason
        elif kid.state in {"up", "dying"}:
            if kid.state == "up":
                self.ends(kid, "shutdown")
            if not kid.gone.is_fired:
                yield kid.gone
            reason = kid.reason
        self.news = deque(n for n in self.news if n[0] != "exit" or n[1] is not kid)
        if reason is not None:
            self.mourn(kid, reason)

    def mourn(self, kid: Kid, reason: str) -> None:
        """A child that was told to stop may not end in any way it likes."""
        fine = {"shutdown"} if kid.rule.kind == "permanent" else {"shutdown", "normal"}
        if kid.rule.shutdown == "brutal_kill":
            fine.add("killed")
        if reason not in fine:
            self.note("shutdown_error", kid.id, reason)

    def put_down(self, kid: Kid) -> None:
        kid.state, kid.due = "down", None
        if not self.keeps(kid):
            del self.kids[kid.id]

    def keeps(self, kid: Kid) -> bool:
        return not self.is_dynamic and kid.rule.kind != "temporary"

    def stop_all(self) -> Steps:
        """Dynamic children at once, with one deadline."""
        kids = list(self.kids.values())
        soon = [k for k in kids if self.goes_soon(k)]
        late = [k for k in kids if k.state in {"up", "dying"} and k not in soon]
        for kid in kids:
            kid.life += 1
            if kid.state == "dead":
                self.mourn(kid, kid.reason)
        self.trace_any(frozenset(("ended", k.id, k.rule.ends_as) for k in soon))
        for kid in soon:
            kid.state = "down"
        for kid in [k for k in late if k.state == "up"]:
            assert isinstance(kid.rule.shutdown, int)
            kid.state, kid.reason = "dying", "killed"
            kid.dies_at = self.world.now + kid.rule.shutdown
        yield from self.lose(late)

    def lose(self, late: list[Kid]) -> Steps:
        """Wait for those that do not end when told."""
        for when in sorted({k.dies_at for k in late}):
            if when > self.world.now:
                yield self.world.sleep(when - self.world.now)
            dead = [k for k in late if k.dies_at == when]
            for kid in dead:
                kid.state = "dead"
            kinds = ("ended", "shutdown_error")
            self.trace_any(frozenset((kind, k.id, k.reason) for k in dead for kind in kinds))

    def goes_soon(self, kid: Kid) -> bool:
        """Whether a dynamic child ends as soon as it is told to."""
        return kid.state == "up" and not self.hangs(kid)

    def hangs(self, kid: Kid) -> bool:
        """Whether a child has to be killed because it does not end when told."""
        is_slow = self.world.ends.get(kid.key) == "hang"
        return kid.rule.has_task and (is_slow or kid.is_stuck)

    def trace_any(self, entries: frozenset[Entry]) -> None:
        if entries:
            self.trace.append((self.world.now, entries))

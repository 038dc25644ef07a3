"""OTP's supervisor told a second time: processes that wait in a world with its own clock.

Appendix A of the actors reference, extended by time, nesting, requests, dynamic children,
backoff and budgets. Written straight down, as `supervisor.erl` is: a supervisor is one
generator that takes news and mail in turn, and simply waits where it must wait. It shares
nothing with `strategy.step`, which never waits.

A trace holds what each supervisor did, by its path: `(kind, child, detail)` and the time. A
set of entries in place of one: they may come in any order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tests.property.actors.world import Entry, Plan, Rule, Until, World

ABNORMAL = ("boom", "killed", "init_timeout", "start_failed")
Steps: TypeAlias = Generator[Until, None, Any]


@dataclass(eq=False)
class Kid:
    rule: Rule
    id: str
    key: str
    state: str = "down"
    """down, starting, up, dying (by itself, slowly), dead (its exit is news), restarting, failed"""
    incarnation: int = 0
    life: int = 0
    reason: str = ""
    dies_at: float = 0.0
    gone: Until = field(default_factory=Until)
    sub: Sup | None = None
    token: int = 0
    due: float | None = None
    tries: int = 0
    up_since: float | None = None
    stamps: list[float] = field(default_factory=list[float])


def unheard(_: str) -> None:
    """Nobody is there to be told."""


class LeavingError(Exception):
    """The supervisor is to stop its children and end."""


class Sup:
    """One incarnation of a supervisor."""

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
        try:
            for kid in list(self.kids.values()):
                if (yield from self.start(kid)) not in {"up", "ignored"}:
                    raise LeavingError  # noqa: TRY301 - the one way out
                self.check()
            self.told("up")
            while True:
                self.check()
                if self.news:
                    yield from self.hear(self.news.popleft())
                elif self.mail:
                    yield from self.take(self.mail.popleft())
                else:
                    if self.asked is not None:
                        self.answer("Restarting")
                    self.is_idle = True
                    yield self.wakes
                    self.is_idle = False
        except LeavingError:
            self.stop_asked()
        yield from self.stop_all() if self.is_dynamic else self.stop(list(self.kids.values()))
        self.answer("ShuttingDown")
        self.end("shutdown")

    def check(self) -> None:
        if self.leaving is not None:
            raise LeavingError

    def end(self, reason: str) -> None:
        self.is_dead = True
        self.told(reason)

    # ---- what others do to it

    def stop_asked(self) -> None:
        self.leaving = self.leaving or "shutdown"
        self.dismiss()
        self.wake()

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
        hangs = kid.rule.has_task and self.world.ends.get(kid.key) == "hang"
        kid.reason = how
        if hangs and how != "killed":
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
        outcome = yield from self.start_sub(kid) if kid.rule.sub else self.start_worker(kid)
        if outcome == "up":
            kid.state, kid.up_since = "up", self.world.now
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
            yield self.world.sleep(2)
            self.note("start_error", kid.id, "init_timeout")
            return "init_timeout"
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

        kid.sub = Sup(self.world, kid.rule.sub, f"{self.path}/{kid.id}", told)
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
        soon = frozenset(("ended", k.id, k.rule.ends_as) for k in kids if self.goes_soon(k))
        late = [k for k in kids if k.state in {"up", "dying"} and not self.goes_soon(k)]
        for kid in kids:
            kid.life += 1
            if kid.state == "dead":
                self.mourn(kid, kid.reason)
        for kid in late:
            if kid.state == "up":
                assert isinstance(kid.rule.shutdown, int)
                kid.state, kid.reason = "dying", "killed"
                kid.dies_at = self.world.now + kid.rule.shutdown
        self.trace_any(soon)
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
        hangs = kid.rule.has_task and self.world.ends.get(kid.key) == "hang"
        return kid.state == "up" and not hangs

    def trace_any(self, entries: frozenset[Entry]) -> None:
        if entries:
            self.trace.append((self.world.now, entries))

    # ---- news

    def hear(self, news: tuple[Any, ...]) -> Steps:
        kid: Kid = news[1]
        if kid.id not in self.kids:
            return
        if news[0] == "retry":
            if kid.state == "restarting" and kid.token == news[2]:
                yield from self.restart(kid)
            return
        kid.state = "down"
        kind, reason = kid.rule.kind, kid.reason
        if kind == "permanent" or (kind == "transient" and reason in ABNORMAL):
            yield from self.again(kid, is_retry=False)
        else:
            self.ended_for_good(kid)

    def ended_for_good(self, kid: Kid) -> None:
        if kid.state != "failed" and not self.keeps(kid):
            del self.kids[kid.id]
        left = [k for k in self.kids.values() if k.state not in {"down", "failed"}]
        is_last = not any(k.rule.is_significant for k in left)
        if kid.rule.is_significant and (self.plan.auto == "any" or is_last):
            raise LeavingError

    def again(self, kid: Kid, *, is_retry: bool) -> Steps:
        """Restart now, or when the delay is over; whether the round of a retry goes on."""
        now = self.world.now
        due = now + self.delay_of(kid)
        if kid.rule.budget and kid.rule.gives_up:
            n, period = kid.rule.budget
            if sum(t >= due - period for t in kid.stamps) >= n:
                kid.state, kid.due = "failed", None
                self.note("given_up", kid.id)
                self.ended_for_good(kid)
                return True
        order = list(self.kids.values())
        waiting = [k for k in order if k.due is not None and k is not kid]
        if waiting and self.plan.strategy in {"one_for_all", "rest_for_one"}:
            other = waiting[0]
            due = max(due, other.due or 0.0)
            kid = min(kid, other, key=order.index)
        if due <= now and not is_retry:
            yield from self.restart(kid)
            return False
        others = [k for k in self.group(kid) if k is not kid] if due > now else []
        kid.state, kid.due = "restarting", due if due > now else None
        kid.token += 1
        token = kid.token

        def retry() -> None:
            self.news.append(("retry", kid, token))
            self.wake()

        self.world.at(due, retry)
        for other in reversed(others):
            yield from self.stop_one(other)
            self.put_down(other)
            self.check()
        return False

    def delay_of(self, kid: Kid) -> int:
        delay = kid.rule.delay
        if delay is None:
            return 0
        if kid.up_since is not None and self.world.now - kid.up_since >= delay.reset_after:
            kid.tries = 0
        kid.up_since = None
        kid.tries += 1
        if kid.tries == 1:
            return min(delay.first, delay.cap)
        return min(delay.base * int(delay.factor ** (kid.tries - 2)), delay.cap)

    def group(self, kid: Kid) -> list[Kid]:
        kids = list(self.kids.values())
        if self.plan.strategy in {"one_for_one", "dynamic"}:
            return [kid]
        if self.plan.strategy == "rest_for_one":
            kids = kids[kids.index(kid) :]
        return [k for k in kids if k is kid or k.state != "failed"]

    def restart(self, kid: Kid) -> Steps:
        now = self.world.now
        n, period = kid.rule.budget or (self.plan.intensity, self.plan.period)
        stamps = kid.stamps if kid.rule.budget else self.stamps
        stamps[:] = [t for t in stamps if t >= now - period] + [now]
        if len(stamps) > n:
            self.note("breach", kid.id)
            raise LeavingError
        self.note("restarting", kid.id, str(len(stamps)))
        kid.due = None
        group = self.group(kid)
        for other in reversed(group):
            if other is not kid:
                yield from self.stop_one(other)
                self.put_down(other)
                self.check()
        for one in group:
            if one.rule.kind != "temporary":
                outcome = yield from self.start(one)
                self.check()
                if outcome not in {"up", "ignored"}:
                    goes_on = yield from self.again(one, is_retry=True)
                    if not goes_on:
                        return

    # ---- mail

    def answer(self, outcome: str) -> None:
        if self.asked is not None:
            (_, tell), self.asked = self.asked, None
            tell(outcome)

    def take(self, mail: tuple[Any, ...]) -> Steps:
        (verb, subject), tell = mail
        if verb == "add":
            yield from self.add(subject, tell)
        elif verb == "spawn":
            yield from self.spawn(tell)
        elif (kid := self.kids.get(subject)) is None:
            tell("NotFound")
        elif verb == "terminate":
            self.asked = (kid, tell)
            yield from self.stop_one(kid)
            self.put_down(kid)
            self.answer("ok")
        elif verb == "restart":
            yield from self.start_again(kid, tell)
        elif kid.state in {"up", "dying"}:
            tell("Running")
        else:
            del self.kids[kid.id]
            tell("ok")

    def add(self, rule: Rule, tell: Callable[[str], None]) -> Steps:
        present = self.kids.get(rule.id)
        if present is not None:
            is_up = present.state in {"up", "dying"}
            tell("AlreadyStarted" if is_up else "AlreadyPresent")
            return
        yield from self.start_new(Kid(rule, rule.id, f"{self.path}/{rule.id}"), tell)

    def spawn(self, tell: Callable[[str], None]) -> Steps:
        self.spawned += 1
        rule, most = self.plan.rules[0], self.plan.max_children
        if most is not None and len(self.kids) >= most:
            tell("TooManyChildren")
            return
        name = f"{rule.id}-{self.spawned}"
        yield from self.start_new(Kid(rule, name, f"{self.path}/{rule.id}"), tell)

    def start_new(self, kid: Kid, tell: Callable[[str], None]) -> Steps:
        self.kids[kid.id] = kid
        self.asked = (kid, tell)
        outcome = yield from self.start(kid)
        if outcome not in {"up", "ignored"}:
            del self.kids[kid.id]

    def start_again(self, kid: Kid, tell: Callable[[str], None]) -> Steps:
        if kid.state in {"up", "dying"}:
            tell("Running")
        elif kid.state == "restarting" and kid.due is None:
            tell("Restarting")
        else:
            kid.stamps.clear()
            self.asked = (kid, tell)
            if kid.state == "restarting":
                yield from self.restart(kid)
            else:
                yield from self.start(kid)

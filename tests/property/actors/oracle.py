"""OTP's supervisor told a second time: processes that wait in a world with its own clock.

Appendix A of the actors reference, extended by time, nesting, requests, dynamic children,
backoff and budgets. Written straight down, as `supervisor.erl` is: a supervisor is one
generator that takes news and mail in turn, and simply waits where it must wait. It shares
nothing with `strategy.step`, which never waits.

A trace holds what each supervisor did, by its path: `(kind, child, detail)` and the time. A
set of entries in place of one: they may come in any order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.property.actors.household import Household, Kid, LeavingError, Steps, unheard
from tests.property.actors.world import Rule

ABNORMAL = ("boom", "killed", "init_timeout", "start_failed")


class Sup(Household):
    """One incarnation of a supervisor."""

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

    # ---- news

    def hear(self, news: tuple[Any, ...]) -> Steps:
        kid: Kid = news[1]
        if kid.id not in self.kids:
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
            self.mail.append((("retry", (kid, token)), unheard))
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

    def take(self, mail: tuple[Any, ...]) -> Steps:
        (verb, subject), tell = mail
        if verb == "retry":
            yield from self.retry(*subject)
        elif verb == "add":
            yield from self.add(subject, tell)
        elif verb == "spawn":
            yield from self.spawn(tell)
        elif (kid := self.addressed(subject)) is None:
            tell("NotFound")
        elif verb == "terminate":
            self.asked = (kid, tell)
            yield from self.stop_one(kid)
            self.put_down(kid)
            self.answer("ok")
        elif verb == "restart":
            yield from self.start_again(kid, tell)
        else:
            self.delete(kid, tell)

    def addressed(self, subject: str | tuple[str, int]) -> Kid | None:
        """By id; or by id and incarnation, which finds none once a later one has been up."""
        child, incarnation = (subject, None) if isinstance(subject, str) else subject
        kid = self.kids.get(child)
        return kid if kid is not None and incarnation in {None, *kid.lived[-1:]} else None

    def retry(self, kid: Kid, token: int) -> Steps:
        if self.kids.get(kid.id) is kid and (kid.state, kid.token) == ("restarting", token):
            yield from self.restart(kid)

    def delete(self, kid: Kid, tell: Callable[[str], None]) -> None:
        if kid.state in {"up", "dying"}:
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

"""Random trees through the real runtime, against the oracle, in virtual time.

The state machine lets the oracle live through what hypothesis thinks of; then the runtime
lives through the same, on asyncio or on trio, and must have done the same to every child, in
the same order and at the same times, and have given the same answers.

Times are chosen so that nothing but causes decides who comes first: waits are whole
seconds, each step begins 0.08 s later within a second than the one before, and periods end
in .52, between the steps.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from keygrove_actors import SpecWarning
from tests.property.actors.household import Household, Kid
from tests.property.actors.oracle import Sup
from tests.property.actors.stage import Op, Stick, Trace, played
from tests.property.actors.world import Delay, Entry, Plan, Rule, World
from tests.unit.actors.lives import End

STEPS = 12
"""As many fit into a second."""
BEGIN = 50.0
"""When the first step is taken: the slowest tree is up by then."""
SLACK = 0.045
"""A timer is up to 10 ms late, and a few may follow from each other."""


# ---- random trees

delays = st.builds(Delay, first=st.integers(0, 2), base=st.integers(1, 2), cap=st.integers(2, 3))
budgets = st.tuples(st.integers(0, 3), st.sampled_from([4.52, 9000.52]))
SHUTDOWNS: dict[bool, list[int | str]] = {True: [1, 2], False: [1, "brutal_kill"]}
kinds = st.sampled_from(["permanent", "transient", "temporary"])


@st.composite
def workers(draw: st.DrawFn, names: str, auto: str) -> Rule:
    kind = draw(kinds)
    is_lasting = kind != "temporary"
    budget = draw(st.none() | st.none() | budgets) if is_lasting else None
    has_task = draw(st.sampled_from([True, True, False]))
    return Rule(
        draw(st.sampled_from(names)),
        kind,
        is_significant=auto != "never" and kind != "permanent" and draw(st.booleans()),
        shutdown=draw(st.sampled_from(SHUTDOWNS[has_task])),
        delay=draw(st.none() | delays) if is_lasting else None,
        budget=budget,
        gives_up=budget is not None and draw(st.booleans()),
        has_task=has_task,
    )


@st.composite
def plans(draw: st.DrawFn, depth: int) -> Plan:
    dynamic = ["dynamic"] * 2 if depth else []
    strategy = draw(st.sampled_from(["one_for_one", "rest_for_one", "one_for_all", *dynamic]))
    auto = draw(st.sampled_from(["never", "never", "any", "all"])) if depth else "never"
    names = "abcd" if depth else "vwxyz"
    if strategy == "dynamic":
        rules = (draw(workers("w", auto)),)
    else:
        children: Any = workers(names, auto)
        if not depth:
            subs = st.builds(
                Rule, st.sampled_from("st"), kinds.filter("transient".__ne__), sub=plans(1)
            )
            children = st.one_of(children, subs, subs)
        rules = tuple(
            draw(st.lists(children, max_size=4, min_size=2 - depth, unique_by=lambda r: r.id))
        )
    return Plan(
        strategy,
        rules,
        intensity=draw(st.sampled_from([0, 1, 2, 5, 9])),
        period=draw(st.sampled_from([1.52, 4.52, 9000.52])),
        auto=auto,
        max_children=draw(st.none() | st.integers(0, 3)) if strategy == "dynamic" else None,
    )


faults = st.lists(st.sampled_from(["fail", "fail", "hang", "ignore"]), max_size=4)


class Tree(RuleBasedStateMachine):
    """Thinks of a life, and lets the oracle live it."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.ops: list[tuple[float, Op]] = []
        self.answers: dict[int, str] = {}
        self.views: dict[int, list[tuple[str, str]]] = {}
        self.second, self.taken = int(BEGIN), 0

    @initialize(plan=plans(0), is_on_trio=st.booleans())
    def boot(self, plan: Plan, *, is_on_trio: bool) -> None:
        self.plan, self.is_on_trio = plan, is_on_trio
        self.root = Sup(self.world, plan, "root", lambda _: None)
        self.root.resume()
        self.world.run_until(BEGIN)

    @rule(pick=st.integers(0, 99), how=st.sampled_from(["normal", "shutdown", "boom", "boom"]))
    def end(self, pick: int, how: str) -> None:
        self.pass_time(1 + pick % 2)
        if found := self.pick(self.workers(), pick):
            sup, kid = found
            self.end_now(sup, kid, how)

    @rule(pick=st.integers(0, 99), faults=faults, how=st.sampled_from(["boom", "killed"]))
    def end_and_fail(self, pick: int, faults: list[str], how: str) -> None:
        """End a child whose next inits go wrong."""
        self.pass_time(pick % 2)
        if found := self.pick(self.workers(), pick):
            sup, kid = found
            self.plan_inits(kid.key, faults)
            self.end_now(sup, kid, how)

    @rule(pick=st.integers(0, 99), fault=st.sampled_from(["hang", "hang", "fail", ""]))
    def fall(self, pick: int, fault: str) -> None:
        """End several children of one supervisor, faster than it can deal with."""
        workers = sorted(self.workers(), key=lambda one: not one[1].rule.has_task)
        busy = [s for s in self.sups() if sum(one is s for one, _ in workers) > 1]
        chosen = self.pick(busy, pick)
        for sup, kid in [(s, k) for s, k in workers if s is chosen][:3]:
            self.pass_time(0)
            if kid.state == "up" and not sup.is_dead:
                self.plan_inits(kid.key, [fault])
                self.end_now(sup, kid, "boom")

    @rule(pick=st.integers(0, 99))
    def stick(self, pick: int) -> None:
        """Let a child open a resource, for ever: it can be killed then, but not stopped."""
        self.pass_time(0)
        if found := self.pick([(s, k) for s, k in self.workers() if k.rule.has_task], pick):
            sup, kid = found
            self.ops.append((self.world.now, ("cast", f"{sup.path}/{kid.id}", Stick())))
            kid.is_stuck = True

    @rule(pick=st.integers(0, 99))
    def kill(self, pick: int) -> None:
        self.pass_time(pick % 2)
        if found := self.pick(self.kids(), pick):
            sup, kid = found
            self.end_now(sup, kid, "killed")

    @rule(pick=st.integers(0, 99), faults=faults)
    def inits_fail(self, pick: int, faults: list[str]) -> None:
        self.pass_time(0)
        key = self.pick(self.keys(), pick)
        self.plan_inits(str(key), faults)

    @rule(pick=st.integers(0, 99), fault=st.sampled_from(["hang", "crash", ""]))
    def ends_fail(self, pick: int, fault: str) -> None:
        self.pass_time(0)
        key = self.pick(self.keys(), pick)
        self.ops.append((self.world.now, ("ends", key, fault)))
        self.world.ends[str(key)] = fault

    @rule(
        pick=st.integers(0, 99),
        verb=st.sampled_from(["terminate", "restart", "delete", "add"]),
        other=st.integers(0, 99),
        data=st.data(),
    )
    def ask(self, pick: int, verb: str, other: int, data: st.DataObject) -> None:
        self.pass_time(pick % 3)
        sup = self.pick([s for s in self.sups() if not s.is_dynamic], pick)
        if sup is None:
            return
        subject: Any = self.pick(sorted([*sup.kids, "nobody"]), other)
        if verb == "add":
            subject = data.draw(workers("abcdvw", "never"))
        self.request(sup, verb, subject)

    @rule(pick=st.integers(0, 99), number=st.integers(1, 3))
    def spawn(self, pick: int, number: int) -> None:
        """Ask for dynamic children, all at once."""
        self.pass_time(pick % 2)
        sup = self.pick([s for s in self.sups() if s.is_dynamic], pick)
        for _ in range(number if sup else 0):
            self.request(sup, "spawn", None)

    @rule(pick=st.integers(0, 99), other=st.integers(0, 99))
    def dismiss(self, pick: int, other: int) -> None:
        """Terminate a dynamic child, by the ref of its present or a former incarnation."""
        self.pass_time(pick % 3)
        sup = self.pick([s for s in self.sups() if s.is_dynamic], pick)
        known = [(k.id, n) for k in sup.kids.values() for n in k.lived] if sup else []
        if sup is not None and known:
            self.request(sup, "terminate", self.pick(known, other))

    @rule(pick=st.integers(0, 99), faults=faults, seconds=st.integers(0, 3))
    def fail_and_dismiss(self, pick: int, faults: list[str], seconds: int) -> None:
        """Terminate a dynamic child by a ref from before it crashed."""
        self.pass_time(0)
        if found := self.pick([(s, k) for s, k in self.workers() if s.is_dynamic], pick):
            sup, kid = found
            former = kid.id, kid.lived[-1]
            self.plan_inits(kid.key, faults)
            self.end_now(sup, kid, "boom")
            self.pass_time(seconds)
            if sup in self.sups():
                self.request(sup, "terminate", former)

    @rule(pick=st.integers(0, 99), seconds=st.integers(0, 7))
    def look(self, pick: int, seconds: int) -> None:
        self.pass_time(seconds)
        sup = self.pick([s for s in self.sups() if s.is_idle], pick)
        if sup is not None:
            kids = sup.kids.values()
            view = [(k.id, "up" if k.state == "dying" else k.state) for k in kids]
            self.views[len(self.ops)] = view
            self.ops.append((self.world.now, ("view", sup.path)))

    def teardown(self) -> None:
        if not hasattr(self, "root"):
            return  # hypothesis ran out of bytes while it drew the tree
        self.pass_time(1)
        self.ops.append((self.world.now, ("stop",)))
        self.root.stop_asked()
        self.world.run_until(self.world.now + 100.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SpecWarning)  # a long backoff is what some want
            stage = played(self.plan, self.ops, is_on_trio=self.is_on_trio)
        assert sorted(stage.traces) == sorted(p for p, t in self.world.traces.items() if t)
        for path, trace in self.world.traces.items():
            compare(path, trace, stage.traces.get(path, []))
        assert stage.answers == self.answers
        assert stage.views == self.views

    def plan_inits(self, key: str, faults: list[str]) -> None:
        """Have the next inits of a child go wrong."""
        self.ops.append((self.world.now, ("inits", key, faults)))
        self.world.inits[key] = list(faults)

    def end_now(self, sup: Household, kid: Kid, how: str) -> None:
        path = f"{sup.path}/{kid.id}"
        op = ("kill", path) if how == "killed" else ("cast", path, End(how))
        self.ops.append((self.world.now, op))
        if kid.sub is not None:
            kid.sub.kill()
        else:
            sup.ends(kid, how)

    def request(self, sup: Household, verb: str, subject: Any) -> None:
        number = len(self.ops)

        def tell(outcome: str) -> None:
            self.answers[number] = outcome

        self.ops.append((self.world.now, ("ask", sup.path, verb, subject)))
        sup.ask((verb, subject), tell)

    def pass_time(self, seconds: int) -> None:
        if self.taken == STEPS:  # let all settle, so that the fractions may begin anew
            self.taken, seconds = 0, 60
        self.second += seconds
        self.taken += 1
        self.world.run_until(self.second + 0.08 * self.taken)

    def pick(self, choices: Any, number: int) -> Any:
        return choices[number % len(choices)] if choices else None

    def sups(self) -> list[Household]:
        subs = [k.sub for k in self.root.kids.values() if k.sub and k.state in {"up", "starting"}]
        return [s for s in [self.root, *subs] if not s.is_dead]

    def kids(self) -> list[tuple[Household, Kid]]:
        return [(s, k) for s in self.sups() for k in s.kids.values() if k.state == "up"]

    def workers(self) -> list[tuple[Household, Kid]]:
        return [(s, k) for s, k in self.kids() if not k.sub and not k.is_stuck]

    def keys(self) -> list[str]:
        return [
            f"root/{r.id}/{sub.id}" if r.sub else f"root/{r.id}"
            for r in self.plan.rules
            for sub in (r.sub.rules if r.sub and r.sub.rules else (r,))
        ]


def compare(path: str, expected: list[tuple[float, Entry | frozenset[Entry]]], seen: Trace) -> None:
    """Hold what a supervisor did to what it should have done."""
    at = 0
    for when, what in expected:
        some = seen[at : at + (len(what) if isinstance(what, frozenset) else 1)]
        at += len(some)
        done = [e for _, e in some]
        assert frozenset(done) == what if isinstance(what, frozenset) else done == [what], (
            f"{path} at {when:.2f}: expected {what}, not {done}"
        )
        assert all(when - 0.001 <= t <= when + SLACK for t, _ in some), (
            f"{path}: {what} came at {some[0][0]:.2f}, expected at {when:.2f}"
        )
    assert seen[at:] == [], f"{path}: nothing more was expected"


@pytest.mark.parametrize("is_on_trio", [False, True])
@pytest.mark.parametrize("other", [0, 1], ids=["restart failed", "restarted"])
def test_a_ref_is_good_until_a_later_incarnation_was_up(other: int, *, is_on_trio: bool) -> None:
    dynamic = Plan("dynamic", (Rule("w", has_task=True),), period=1.52)
    tree = Tree()
    tree.boot(Plan("one_for_one", (Rule("s", sub=dynamic),)), is_on_trio=is_on_trio)
    tree.spawn(pick=0, number=2)
    tree.end_and_fail(pick=0, faults=["hang"], how="boom")
    tree.dismiss(pick=0, other=other)  # waits until the init that hangs is given up
    tree.kill(pick=1)
    tree.teardown()
    assert set(tree.answers.values()) == ({"ok"} if other == 0 else {"ok", "NotFound"})


LIVED = settings(
    stateful_step_count=11,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestTree = Tree.TestCase
TestTree.settings = LIVED


@pytest.mark.slow
class TestManyTrees(Tree.TestCase):  # type: ignore[misc,valid-type] # pyright: ignore[reportGeneralTypeIssues, reportUntypedBaseClass] - hypothesis makes the base
    settings = settings(LIVED, max_examples=2000)

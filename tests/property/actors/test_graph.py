"""Random links, monitors and ends, against a model that computes who dies of whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import anyio
from hypothesis import given
from hypothesis import strategies as st

from keygrove_actors import (
    Actor,
    Cast,
    ChildSpec,
    ChildTerminated,
    Crash,
    Ctx,
    Down,
    Exit,
    GoneReason,
    Killed,
    MonitorId,
    Normal,
    Reason,
    Ref,
    Report,
    Restart,
    Runtime,
    Shutdown,
    Stop,
    SupSpec,
    on_cast,
)
from tests.property.actors.play import Loop, loops, played

BOOM = Crash("Boom", "as told")
KILL = Killed()
Op: TypeAlias = tuple[Any, ...]


class ManApi:
    pass


class Do(Cast[ManApi], frozen=True, tag=True):
    what: Callable[[Man], Any]


class Man(Actor[ManApi]):
    def __init__(self, log: list[Any], *, traps: bool) -> None:
        self.log, self.traps = log, traps
        self.monitors: list[MonitorId] = []

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx
        ctx.trap_exit(on=self.traps)

    @on_cast(Do)
    def do(self, message: Do) -> Any:
        return message.what(self)

    def monitor(self, ref: Ref[Any]) -> None:
        self.monitors.append(self.ctx.monitor(ref))

    def demonitor(self) -> None:
        fired = {entry[1] for entry in self.log if entry[0] == "down"}
        if armed := [m for m in self.monitors if m not in fired]:
            self.ctx.demonitor(armed[-1])
            self.monitors.remove(armed[-1])

    def on_exit(self, exit: Exit) -> None:  # noqa: A002 - OTP's word
        self.log.append(("exit", exit.reason))

    def on_down(self, down: Down) -> None:
        self.log.append(("down", down.id, down.reason))


class Model:
    """Who lives, who is linked, who watches whom; what each living one was told."""

    def __init__(self, traps: list[bool]) -> None:
        self.traps = traps
        self.ends: dict[int, Reason] = {}
        self.links: set[frozenset[int]] = set()
        self.watches: list[tuple[int, int]] = []
        self.exits: list[Counter[Reason]] = [Counter() for _ in traps]
        self.downs: list[Counter[Reason]] = [Counter() for _ in traps]

    def end(self, who: int, reason: Reason) -> None:
        """One ends, and all who die of it: breadth first, each once."""
        dying = [(who, reason)]
        while dying:
            who, reason = dying.pop(0)
            if who in self.ends:
                continue
            self.ends[who] = reason
            for link in [link for link in self.links if who in link]:
                self.links.remove(link)
                (peer,) = link - {who}
                dying += self.signal(peer, reason)
            for watcher, _ in [w for w in self.watches if w[1] == who]:
                self.downs[watcher][reason] += 1
            self.watches = [w for w in self.watches if w[1] != who]

    def signal(self, peer: int, reason: Reason) -> list[tuple[int, Reason]]:
        """An exit over a link, as A-060 to A-063 have it."""
        if self.traps[peer]:
            self.exits[peer][reason] += 1
        elif not isinstance(reason, Normal):
            return [(peer, reason)]
        return []

    def link(self, one: int, other: int) -> None:
        """Both ways; with the dead, as if they had just died."""
        if other in self.ends:
            for who, reason in self.signal(one, GoneReason()):
                self.end(who, reason)
        elif one != other:
            self.links.add(frozenset({one, other}))

    def unlink(self, one: int, other: int) -> None:
        """However often they were linked."""
        self.links.discard(frozenset({one, other}))

    def monitor(self, one: int, other: int) -> None:
        """One more, whether or not there are others."""
        if other in self.ends:
            self.downs[one][GoneReason()] += 1
        else:
            self.watches.append((one, other))

    def demonitor(self, one: int) -> None:
        """The last one that has not fired."""
        mine = [at for at, watch in enumerate(self.watches) if watch[0] == one]
        if mine:
            del self.watches[mine[-1]]

    def do(self, op: Op) -> None:
        """Live through one step; the dead do nothing."""
        verb, one, *rest = op
        if one not in self.ends:
            getattr(self, verb)(one, *rest)


MEN = 5
men = st.integers(0, MEN - 1)
steps = st.one_of(
    st.tuples(st.just("link"), men, men),
    st.tuples(st.just("link"), men, men),
    st.tuples(st.just("unlink"), men, men),
    st.tuples(st.just("monitor"), men, men),
    st.tuples(st.just("demonitor"), men),
    st.tuples(st.just("end"), men, st.sampled_from([Normal(), Shutdown("why"), BOOM])),
    st.tuples(st.just("end"), men, st.just(KILL)),
)


@given(st.lists(st.booleans(), min_size=MEN, max_size=MEN), st.lists(steps, max_size=25), loops)
def test_a061_a067_a069_links_and_monitors_do_as_the_model(
    traps: list[bool], ops: list[Op], loop: Loop
) -> None:
    model = Model(traps)
    logs: list[list[Any]] = [[] for _ in traps]
    reports: list[Report] = []
    specs = [
        ChildSpec(f"m{i}", partial(Man, logs[i], traps=traps[i]), restart=Restart.TEMPORARY)
        for i in range(MEN)
    ]

    async def scenario(runtime: Runtime) -> list[list[Any]]:
        infos = runtime.supervisor("", ManApi).which_children()
        refs: list[Ref[Any]] = [c.ref for c in infos if c.ref is not None]
        for op in ops:
            act(refs, op)
            model.do(op)
            await anyio.sleep(0.001)
        for i, ref in enumerate(refs):
            assert ref.alive() == (i not in model.ends), f"{i} after {ops}"
        return [log.copy() for log in logs]

    told = played(scenario, SupSpec(children=tuple(specs)), loop, reports)
    ends = {r.child: r.reason for r in reports if isinstance(r, ChildTerminated)}
    assert {i: ends[f"m{i}"] for i in model.ends} == model.ends
    for i in set(range(MEN)) - set(model.ends):
        assert Counter(entry[1] for entry in told[i] if entry[0] == "exit") == model.exits[i]
        downs = [entry for entry in told[i] if entry[0] == "down"]
        assert Counter(reason for _, _, reason in downs) == model.downs[i]
        assert len({number for _, number, _ in downs}) == len(downs), "one Down for each monitor"


def act(refs: list[Ref[Any]], op: Op) -> None:
    verb, who, *rest = op
    ref: Ref[Any] = refs[int(who)]
    if verb == "end" and rest[0] is KILL:
        ref.kill()
    else:
        ref.cast(Do(partial(do, verb, *(refs[r] if isinstance(r, int) else r for r in rest))))


def do(verb: str, *args: Any) -> Any:
    """What the actor, which comes last, does for one step."""
    *what, man = args
    match verb:
        case "end":
            return Stop(*what)
        case "monitor" | "demonitor":
            return getattr(man, verb)(*what)
        case _:
            return getattr(man.ctx, verb)(*what)

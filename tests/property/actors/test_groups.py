"""Names and groups against a model, and what a group's monitor is told."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any, TypeAlias

import anyio
from hypothesis import given
from hypothesis import strategies as st

from keygrove_actors import (
    Ctx,
    Joined,
    Left,
    NameTaken,
    Ref,
    Runtime,
    SupSpec,
)
from tests.property.actors.play import Loop, loops, played
from tests.unit.actors.club import ClubApi, Do, member

Op: TypeAlias = tuple[str, int, str]


MEMBERS, GROUPS, ALIASES = 4, "gh", "xyz"


class Model:
    """Who has which name, and who is how often in which group."""

    def __init__(self) -> None:
        self.names = {f"m{i}": i for i in range(MEMBERS)}
        self.groups: dict[str, Counter[int]] = {g: Counter() for g in GROUPS}
        self.alive = set(range(MEMBERS))

    def do(self, op: Op) -> Any:
        """Live through one step; what the asked one says."""
        verb, who, what = op
        if who not in self.alive:
            return None
        return getattr(self, verb)(who, what)

    def join(self, who: int, group: str) -> None:
        self.groups[group][who] += 1

    def leave(self, who: int, group: str) -> bool:
        was_in = self.groups[group][who] > 0
        self.groups[group][who] -= was_in
        return was_in

    def alias(self, who: int, name: str) -> bool:
        """Whether it got the name, which its own is no more than another's."""
        is_free = name not in self.names
        self.names.setdefault(name, who)
        return is_free

    def kill(self, who: int, _: str) -> None:
        self.alive.discard(who)
        self.names = {name: i for name, i in self.names.items() if i != who}
        for members in self.groups.values():
            del members[who]


members = st.integers(0, MEMBERS - 1)
steps = st.one_of(
    st.tuples(st.sampled_from(["join", "join", "leave"]), members, st.sampled_from(GROUPS)),
    st.tuples(st.just("alias"), members, st.sampled_from(ALIASES)),
    st.tuples(st.just("kill"), members, st.just("")),
)


def alias(name: str, ctx: Ctx) -> bool:
    try:
        ctx.alias(name)
    except NameTaken:
        return False
    return True


async def act(ref: Ref[ClubApi], op: Op) -> Any:
    match op:
        case "kill", _, _:
            ref.kill()
            await anyio.sleep(0.001)
        case "alias", _, name:
            return await ref.call(Do(partial(alias, name)))
        case verb, _, group:
            return await ref.call(Do(lambda ctx: getattr(ctx, verb)(group)))
    return None


async def compare(runtime: Runtime, model: Model) -> None:
    """Whom each name leads to, and who is in which group."""
    for name in (*ALIASES, *(f"m{i}" for i in range(MEMBERS))):
        ref = runtime.whereis(name, ClubApi)
        assert ref.alive() == (name in model.names)
        if name in model.names:
            assert await ref.call(Do(lambda ctx: ctx.name)) == f"m{model.names[name]}"
    for group in GROUPS:
        expected = Counter({f"m{i}": n for i, n in (+model.groups[group]).items()})
        assert Counter(ref.label for ref in runtime.members(group)) == expected


@given(st.lists(steps, max_size=30), st.integers(0, 30), loops)
def test_a080_a085_a087_names_and_groups_do_as_the_model(
    ops: list[Op], watched_from: int, loop: Loop
) -> None:
    model = Model()
    told: list[Joined | Left] = []

    async def scenario(runtime: Runtime) -> None:
        refs = [runtime.whereis(f"m{i}", ClubApi) for i in range(MEMBERS)]
        watcher = runtime.whereis("watcher", ClubApi)
        known: Counter[str] | None = None
        for at, op in enumerate([*ops, None]):
            if at == min(watched_from, len(ops)):
                found = await watcher.call(Do(lambda ctx: ctx.monitor_group("g")))
                known = Counter(ref.label for ref in found)
            if op is not None and op[1] in model.alive:
                assert await act(refs[op[1]], op) == model.do(op)
        await compare(runtime, model)
        await anyio.sleep(0.001)
        assert known is not None
        for change in told:
            known[change.ref.label] += 1 if isinstance(change, Joined) else -1
        assert +known == Counter(ref.label for ref in runtime.members("g")), "no gap, no duplicate"

    specs = [member(f"m{i}") for i in range(MEMBERS)]
    played(scenario, SupSpec(children=(*specs, member("watcher", told))), loop)

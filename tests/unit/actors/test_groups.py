"""Aliases and groups."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from keygrove_actors import (
    Ctx,
    Joined,
    Left,
    NameTaken,
    Ref,
)
from tests.unit.actors.club import ClubApi, Do, member
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


def names(refs: list[Ref[Any]]) -> list[str]:
    return [ref.label for ref in refs]


async def test_a080_aliases_go_with_their_actor(running: Running) -> None:
    async with running(member("a"), member("b")) as runtime:
        a, b = runtime.whereis("a", ClubApi), runtime.whereis("b", ClubApi)
        await a.call(Do(lambda ctx: ctx.alias("leader")))
        leader = runtime.whereis("leader", ClubApi)
        assert leader.alive()

        def taken(ctx: Ctx) -> str:
            with pytest.raises(NameTaken) as error:
                ctx.alias("leader")
            return error.value.name

        assert await b.call(Do(taken)) == "leader"
        a.kill()
        await anyio.sleep(0.1)
        assert not leader.alive()
        await b.call(Do(lambda ctx: ctx.alias("leader")))
        assert leader.alive()


async def test_a085_an_actor_is_listed_as_often_as_it_joined(running: Running) -> None:
    async with running(member("a"), member("b")) as runtime:
        a, b = runtime.whereis("a", ClubApi), runtime.whereis("b", ClubApi)
        for ref in (a, b, a):
            await ref.call(Do(lambda ctx: ctx.join("g")))
        assert names(await a.call(Do(lambda ctx: ctx.members("g")))) == ["a", "a", "b"]
        assert await a.call(Do(lambda ctx: ctx.leave("g")))
        assert names(runtime.members("g")) == ["a", "b"]
        assert not await a.call(Do(lambda ctx: ctx.leave("h")))
        a.kill()
        await anyio.sleep(0.1)
        assert names(await b.call(Do(lambda ctx: ctx.local_members("g")))) == ["b"]


async def test_a086_a_group_without_members_does_not_exist(running: Running) -> None:
    async with running(member("a")) as runtime:
        a = runtime.whereis("a", ClubApi)
        await a.call(Do(lambda ctx: ctx.join("g")))
        await a.call(Do(lambda ctx: ctx.leave("g")))
        assert runtime.leftovers()["groups"] == 0
        assert runtime.members("g") == []


async def test_a087_a_monitor_of_a_group_misses_and_doubles_nothing(running: Running) -> None:
    told: list[Joined | Left] = []
    async with running(member("w", told), member("a"), member("b")) as runtime:
        w, a, b = (runtime.whereis(name, ClubApi) for name in "wab")
        await a.call(Do(lambda ctx: ctx.join("g")))
        assert names(await w.call(Do(lambda ctx: ctx.monitor_group("g")))) == ["a"]
        await b.call(Do(lambda ctx: ctx.join("g")))
        await a.call(Do(lambda ctx: ctx.join("g")))
        a.kill()
        await anyio.sleep(0.1)
        await w.call(Do(lambda ctx: ctx.demonitor_group("g")))
        await b.call(Do(lambda ctx: ctx.leave("g")))
        assert runtime.leftovers()["groups"] == 0
    assert [(type(c).__name__, c.ref.label) for c in told] == [
        ("Joined", "b"),
        ("Joined", "a"),
        ("Left", "a"),
        ("Left", "a"),
    ]

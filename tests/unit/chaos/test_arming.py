"""Points of the product, armed: nothing without them, the same at each seed with them."""

import pytest

from keygrove import points
from keygrove.points import ARMED, BUGGIFIED, buggify, crash_point, sometimes
from keygrove_chaos.arming import Arming
from keygrove_chaos.fence import NodeDeadError
from keygrove_chaos.plan import CrashAt
from keygrove_chaos.running import run
from keygrove_chaos.world import HOST, World

VISITS = 200


def fired(seed: int, name: str, *, is_buggified: bool = True) -> list[bool]:
    """What a point says at each visit, in the world of a seed."""

    async def main(world: World) -> list[bool]:
        ARMED.set(Arming(world, print, is_buggified=is_buggified))
        return [buggify(name) for _ in range(VISITS)]

    return run(main, seed=seed).result


def test_unarmed_points_do_nothing() -> None:
    assert not buggify("shard.commit")
    crash_point("store.open")
    sometimes("shard.full")


@pytest.mark.slow
def test_a_point_is_active_in_some_runs_and_fires_at_some_visits_there() -> None:
    runs = [fired(seed, "shard.commit") for seed in range(100)]
    active = [one for one in runs if any(one)]
    assert 10 <= len(active) <= 45
    assert all(not all(one) for one in active)
    assert runs == [fired(seed, "shard.commit") for seed in range(100)]


def test_no_point_fires_where_the_plan_has_none_of_it() -> None:
    assert not any(any(fired(seed, "shard.commit", is_buggified=False)) for seed in range(30))


@pytest.mark.slow
def test_c005_a_point_more_changes_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [fired(seed, "shard.commit") for seed in range(40)]
    more = {"a.point.before": "all others", **BUGGIFIED}
    monkeypatch.setattr(points, "BUGGIFIED", more)
    monkeypatch.setattr("keygrove_chaos.arming.BUGGIFIED", more)
    assert [fired(seed, "shard.commit") for seed in range(40)] == before


def test_a_crash_point_kills_its_node_at_the_visit_that_was_asked_for() -> None:
    async def main(world: World) -> tuple[list[str], int, dict[str, int]]:
        killed: list[str] = []
        arming = Arming(world, killed.append, is_buggified=False)
        ARMED.set(arming)
        arming.arm("f", "n1", CrashAt(point="store.open", visit=2))
        for host in ("n0", "n1", "n0"):
            HOST.set(host)
            crash_point("store.open")
        HOST.set("n1")
        crash_point("shard.commit.after")
        with pytest.raises(NodeDeadError):
            crash_point("store.open")
        crash_point("store.open")
        return killed, arming.disarm("f"), world.counts

    killed, effect, counts = run(main, seed=1).result
    assert (killed, effect) == (["n1"], 1)
    assert counts == {"visit:store.open": 5, "visit:shard.commit.after": 1, "crash:store.open": 1}


def test_a_crash_point_that_was_never_visited_had_no_effect() -> None:
    async def main(world: World) -> int:
        arming = Arming(world, print, is_buggified=False)
        arming.arm("f", "n1", CrashAt(point="store.open"))
        return arming.disarm("f")

    assert run(main, seed=1).result == 0


def test_a_point_that_nobody_described_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match=r"keygrove\.points"):
        fired(1, "shard.unheard.of")

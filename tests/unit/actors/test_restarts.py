"""Who is restarted with whom, one rule at a time. How lives are written is told in `lives`."""

from typing import Protocol

import pytest

from keygrove_actors import Report
from tests.unit.actors.conftest import Running
from tests.unit.actors.lives import Plain, Tasked, lived


class Live(Protocol):
    async def __call__(
        self, strategy: str, children: str, events: str, intensity: int = 9
    ) -> str: ...


pytestmark = pytest.mark.anyio

STRATEGIES = ["one_for_one", "rest_for_one", "one_for_all"]


@pytest.fixture(params=[Plain, Tasked])
def live(running: Running, reports: list[Report], request: pytest.FixtureRequest) -> Live:
    async def live(strategy: str, children: str, events: str, intensity: int = 9) -> str:
        kind: type[Plain] = request.param
        return await lived(running, reports, kind, strategy, intensity, children, events)

    return live


@pytest.mark.parametrize("how", ["normal", "shutdown", "boom"])
async def test_a020_a_permanent_child_is_restarted_after_any_end(live: Live, how: str) -> None:
    end = "-a" if how == "shutdown" else f"-a({how})"
    assert await live("one_for_one", "aP", f"a:{how}") == f"+a {end} +a"


@pytest.mark.parametrize("how", ["normal", "shutdown", "boom"])
async def test_a021_a_transient_child_is_restarted_after_an_abnormal_end_only(
    live: Live, how: str
) -> None:
    trace = {"normal": "+a -a(normal)", "shutdown": "+a -a", "boom": "+a -a(boom) +a"}[how]
    assert await live("one_for_one", "aT", f"a:{how}") == trace


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a022_a_temporary_child_is_never_restarted_by_whomever_it_ended(
    live: Live, strategy: str
) -> None:
    assert await live(strategy, "aM bM", "b:boom a:boom") == "+a +b -b(boom) -a(boom)"
    together = await live(strategy, "aP tM", "a:boom")
    assert together.count("+t") == 1


async def test_a023_one_for_one_touches_no_sibling(live: Live) -> None:
    trace = await live("one_for_one", "aP bT cM dP", "b:boom")
    assert trace == "+a +b +c +d -b(boom) +b"


async def test_a024_one_for_all_stops_the_others_in_reverse_and_starts_all_in_order(
    live: Live,
) -> None:
    trace = await live("one_for_all", "aP bP tM dP", "b:boom")
    assert trace == "+a +b +t +d -b(boom) -d -t -a +a +b +d"


async def test_a025_rest_for_one_takes_only_those_started_after(live: Live) -> None:
    trace = await live("rest_for_one", "aP bP tM dP", "b:boom")
    assert trace == "+a +b +t +d -b(boom) -d -t +b +d"


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a026_an_end_without_a_restart_touches_no_sibling(live: Live, strategy: str) -> None:
    trace = await live(strategy, "aP bT tM dP", "b:normal t:boom")
    assert trace == "+a +b +t +d -b(normal) -t(boom)"


@pytest.mark.parametrize("strategy", STRATEGIES[1:])
async def test_a027_a_group_restart_revives_a_transient_child_that_was_done(
    live: Live, strategy: str
) -> None:
    trace = await live(strategy, "aP bT", "b:normal a:boom")
    assert trace == "+a +b -b(normal) -a(boom) +a +b"


@pytest.mark.parametrize("strategy", STRATEGIES[1:])
async def test_a043_a_group_restart_counts_once(live: Live, strategy: str) -> None:
    trace = await live(strategy, "aP bP cP", "a:boom", 1)
    assert trace == "+a +b +c -a(boom) -c -b +a +b +c"


async def test_a042_a_breach_stops_the_others_in_reverse_and_restarts_nobody(live: Live) -> None:
    trace = await live("one_for_one", "aP bP cP", "b:boom", 0)
    assert trace == "+a +b +c -b(boom) -c -a EXIT"


async def test_a044_an_init_that_always_fails_is_tried_as_often_as_intensity_allows(
    live: Live,
) -> None:
    trace = await live("one_for_one", "fP", "fail(f,99) f:boom", 3)
    assert trace == "+f -f(boom) xf xf xf EXIT"


async def test_a046_a_round_ends_at_the_child_that_fails_and_is_taken_up_there(
    live: Live,
) -> None:
    children, events = "aP bP cP", "fail(b,1) a:boom"
    rest = await live("rest_for_one", children, events)
    assert rest == "+a +b +c -a(boom) -c -b +a xb +b +c"


async def test_a046_one_for_all_begins_its_round_anew(live: Live) -> None:
    trace = await live("one_for_all", "aP bP cP", "fail(b,1) a:boom")
    assert trace == "+a +b +c -a(boom) -c -b +a xb -a +a +b +c"

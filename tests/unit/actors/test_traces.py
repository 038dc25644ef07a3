"""What OTP 25 did with the same children and events, replayed through the real runtime.

How lives are written is told in `lives`.
"""

import pytest

from keygrove_actors import Report
from tests.unit.actors.conftest import Running
from tests.unit.actors.lives import Plain, Tasked, lived

ROWS = [
    ("one_for_one", 5, "aP bT tM dP", "b:boom b:normal a:normal stop",
     "+a +b +t +d -b(boom) +b -b(normal) -a(normal) +a -d -t -a EXIT"),
    ("rest_for_one", 5, "aP bT tM dP", "b:boom b:normal a:normal stop",
     "+a +b +t +d -b(boom) -d -t +b +d -b(normal) -a(normal) -d +a +b +d -d -b -a EXIT"),
    ("one_for_all", 5, "aP bT tM dP", "b:boom b:normal a:normal stop",
     "+a +b +t +d -b(boom) -d -t -a +a +b +d -b(normal) -a(normal) -d +a +b +d -d -b -a EXIT"),
    ("one_for_one", 1, "aP bP", "a:boom b:boom", "+a +b -a(boom) +a -b(boom) -a EXIT"),
    ("one_for_one", 3, "fP", "fail(f,99) f:boom", "+f -f(boom) xf xf xf EXIT"),
    ("rest_for_one", 8, "aP bP cM dP", "fail(a,2) c:boom fail(b,2) a:shutdown c:normal",
     "+a +b +c +d -c(boom) -a -d -b xa xa +a xb xb +b +d"),
    ("rest_for_one", 8, "aP bM cP", "a:shutdown b:shutdown fail(b,2) c:shutdown a:boom",
     "+a +b +c -a -c -b +a +c -c +c -a(boom) -c +a +c"),
    ("one_for_one", 8, "aP bP cT dP",
     "fail(d,1) d:boom fail(b,3) d:boom d:shutdown d:normal c:normal d:boom",
     "+a +b +c +d -d(boom) xd +d -d(boom) +d -d +d -d(normal) +d -c(normal) -d(boom) +d"),
    ("one_for_all", 5, "aT bM cM dP", "b:boom a:boom fail(c,2) b:boom fail(a,2) a:normal c:boom",
     "+a +b +c +d -b(boom) -a(boom) -d -c +a +d -a(normal)"),
    ("one_for_one", 5, "aP bM cP", "b:normal c:normal a:boom fail(a,2) a:boom",
     "+a +b +c -b(normal) -c(normal) +c -a(boom) +a -a(boom) xa xa +a"),
]  # fmt: skip


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [Plain, Tasked])
@pytest.mark.parametrize(("strategy", "intensity", "children", "events", "trace"), ROWS)
async def test_a020_to_a046_the_runtime_does_what_otp_did(  # noqa: PLR0913, PLR0917 - a table's columns
    running: Running,
    reports: list[Report],
    kind: type[Plain],
    strategy: str,
    intensity: int,
    children: str,
    events: str,
    trace: str,
) -> None:
    assert await lived(running, reports, kind, strategy, intensity, children, events) == trace

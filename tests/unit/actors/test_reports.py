"""What the observer is told: one struct for each event, in order."""

from __future__ import annotations

from typing import get_args

import anyio
import msgspec
import pytest

from keygrove_actors import (
    Breach,
    ChildRestarting,
    ChildSpec,
    ChildStarted,
    ChildTerminated,
    Crash,
    Report,
    Shutdown,
    SupSpec,
    TreeEnded,
)
from tests.unit.actors.children import ChildApi, Crashes, child
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


async def test_a153_every_event_is_one_report_in_order(
    running: Running, reports: list[Report], log: list[str]
) -> None:
    sub = SupSpec(children=(child("a", log),), intensity=1)

    async def crash_twice() -> None:
        async with running(ChildSpec("sub", sub), intensity=0) as runtime:
            ref = runtime.whereis("a", ChildApi)
            for _ in range(2):
                ref.cast(Crashes())
                await anyio.sleep(0.1)

    with pytest.raises(TreeEnded):
        await crash_twice()
    crashes = [r.reason for r in reports if isinstance(r, ChildTerminated) and r.child == "a"]
    assert [c.id for c in crashes if isinstance(c, Crash)] == ["sub/a#1", "sub/a#2"]
    first, second = crashes
    gave_up = Shutdown("reached_max_restart_intensity")
    assert reports == [
        ChildStarted("a", "sub/a", 1),
        ChildStarted("sub", "sub", 1),
        ChildTerminated("a", "sub/a", 1, first),
        ChildRestarting("a", "sub/a", 1, 1),
        ChildStarted("a", "sub/a", 2),
        ChildTerminated("a", "sub/a", 2, second),
        Breach("a", "sub/a", 1, 5.0),
        ChildTerminated("sub", "sub", 1, gave_up),
        Breach("sub", "sub", 0, 5.0),
    ]


def test_a153_reports_are_structs_fit_for_a_wire() -> None:
    kinds = get_args(Report)
    assert len(kinds) >= 17
    assert all(issubclass(k, msgspec.Struct) and k.__struct_config__.frozen for k in kinds)
    decode = msgspec.json.Decoder(Report).decode
    told = ChildTerminated("a", "sub/a", 2, Shutdown("why"))
    assert decode(msgspec.json.encode(told)) == told

"""What commands do that are told to stop."""

import os
import signal
from typing import Any

import anyio
import pytest
from trio.testing import MockClock

from keygrove.cli.interrupt import FINISH_S, finished, run
from keygrove.cli.options import CouldNotRun, errors_worded
from keygrove.errors import NodeStopError

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "trio", {"clock": MockClock(autojump_threshold=0)}


@pytest.mark.parametrize(
    ("takes_s", "stopped_at_s", "lasts_s"),
    [(60.0, 100.0, 60.0), (103.0, 100.0, 103.0), (3600.0, 100.0, 100.0 + FINISH_S)],
    ids=["in time", "soon", "too late"],
)
async def test_what_has_begun_is_finished_within_limits(
    takes_s: float, stopped_at_s: float, lasts_s: float
) -> None:
    begun, ends = anyio.current_time(), list[float]()

    async def work() -> None:
        await anyio.sleep(takes_s)
        ends.append(anyio.current_time() - begun)

    with anyio.move_on_after(stopped_at_s):
        await finished(work)
    assert anyio.current_time() - begun == lasts_s
    assert ends == ([takes_s] if takes_s == lasts_s else [])


def test_what_could_not_be_stopped_in_order_is_told_and_no_success() -> None:
    async def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await anyio.sleep_forever()
        finally:
            raise NodeStopError(["storage/shard-0"])

    with (
        pytest.raises(CouldNotRun, match=r"storage/shard-0 took too long"),
        errors_worded(debug=False),
    ):
        run(work, tell=lambda _: None)


async def test_its_value_and_its_failure_are_passed_on() -> None:
    async def work() -> int:
        await anyio.sleep(1.0)
        return 7

    async def fail() -> int:
        raise ValueError("why")

    assert await finished(work) == 7
    with pytest.raises(ValueError, match="why"):
        await finished(fail)

"""One bit flips anywhere in a shard's files: it is found or does no harm, and is never served.

A thousand of them: `python -m keygrove_bench storage`, or `keygrove_bench.storage.fsck`.
"""

import shutil
from pathlib import Path

import pytest

from keygrove_chaos.bitflips import flip_of, judge, make, puts, seen

FLIPS = 12


@pytest.mark.anyio
@pytest.mark.parametrize(
    "is_stopped",
    [
        pytest.param(True, marks=pytest.mark.slow, id="stopped"),
        pytest.param(False, id="ended in its work"),
    ],
)
async def test_every_flip_is_found_or_harmless(tmp_path: Path, *, is_stopped: bool) -> None:
    base = tmp_path / "base"
    base.mkdir()
    await make(base, is_stopped=is_stopped)
    before = await _seen_of_a_copy(base, tmp_path)
    assert len(before) > 5 * len(puts())
    bad: dict[str, object] = {}
    for number in range(FLIPS):
        flip = flip_of(base, f"{is_stopped}/{number}")
        verdict = await judge(base, before, flip, tmp_path / "scratch")
        if not verdict.is_well:
            bad[f"{flip}"] = verdict
    assert not bad


async def _seen_of_a_copy(base: Path, tmp_path: Path) -> dict[str, object]:
    shutil.copytree(base, tmp_path / "copy")
    return dict(await seen(tmp_path / "copy"))

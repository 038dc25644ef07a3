"""The bench of full disks, for a few cycles."""

import os
from pathlib import Path

import pytest

from keygrove_bench.storage.space import rows


def test_two_cycles_are_as_the_contract_wants_them(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount the small file system that this fills")
    found = {one.id: one for one in rows(tmp_path, quick=True)}
    if isinstance(reason := found["S-16"].value, str):
        pytest.skip(reason)
    assert [one for one in found.values() if one.holds is False] == []
    assert found["S-16"].value == 0
    assert found["S-16"].peers["look-ups"]
    assert found["S-16"].peers["refused"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root can")
def test_where_none_may_be_mounted_the_row_says_so(tmp_path: Path) -> None:
    (one,) = rows(tmp_path)
    assert "only root" in str(one.value)

"""The bench of full disks, for a few cycles."""

import os

import pytest

from keygrove_bench.storage.space import NoDiskError, measure


def test_two_cycles_are_as_the_contract_wants_them() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount the small file system that this fills")
    try:
        found = measure(cycles=2)
    except NoDiskError as error:
        pytest.skip(str(error))
    assert found.holds, found
    assert found.cycles == 2
    assert found.lookups == found.answered > 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root can")
def test_whoever_may_not_mount_is_told() -> None:
    with pytest.raises(NoDiskError, match="only root"):
        measure(cycles=1)

"""The random trees find bugs planted in the supervisor; `keygrove_bench.mutants` has them all."""

from __future__ import annotations

from pathlib import Path

import pytest

import keygrove_actors
from keygrove_bench.mutants import BUGS, CONTROL, attempt
from keygrove_chaos.mutants import Bug, mutated

EASY = [bug for bug in BUGS if bug.id[:5] in {"A-002", "A-021", "A-041"}]
FOLDER = Path(keygrove_actors.__file__).parent


@pytest.mark.parametrize("bug", BUGS, ids=[bug.id for bug in BUGS])
def test_no_bug_is_stale(bug: Bug) -> None:
    module = FOLDER / f"{bug.module.rpartition('.')[2]}.py"
    mutated(module.read_text(), bug)


@pytest.mark.slow
@pytest.mark.parametrize("bug", EASY, ids=[bug.id for bug in EASY])
def test_a_planted_bug_is_found(bug: Bug) -> None:
    assert attempt(bug, 300).found


@pytest.mark.slow
def test_nothing_is_found_where_nothing_was_planted() -> None:
    assert not attempt(CONTROL, 50).found

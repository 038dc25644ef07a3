"""The random trees find bugs planted in the supervisor; `keygrove_bench.mutants` has them all."""

from __future__ import annotations

import pytest

from keygrove_bench.mutants import CONTROL, MUTANTS, Mutant, attempt

EASY = [m for m in MUTANTS if m.name[:5] in {"A-002", "A-021", "A-041"}]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", EASY, ids=[m.name for m in EASY])
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    assert attempt(mutant, 300).found


@pytest.mark.slow
def test_nothing_is_found_where_nothing_was_planted() -> None:
    assert not attempt(CONTROL, 50).found

"""What breaks nothing: inputs that broke something once, and mutations of real certificates."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keygrove_bench.fuzz.laws import check
from keygrove_bench.fuzz.mutation import Mutator, findings, seeds

pytestmark = pytest.mark.slow

SEEDS = seeds()
MUTATOR = Mutator(SEEDS)


def test_what_broke_a_law_once_breaks_none_now() -> None:
    for file in findings():
        check(file.read_bytes())


@given(st.sampled_from(SEEDS))
def test_real_certificates_break_no_law(data: bytes) -> None:
    check(data)


@given(st.sampled_from(SEEDS), st.randoms())
def test_mutations_of_real_certificates_break_no_law(data: bytes, random: Random) -> None:
    check(MUTATOR.mutate(data, random))

"""Every run that ever found a bug, again: what it found is mended, and stays so.

`keygrove chaos keep SEED` adds one.
"""

from pathlib import Path

import pytest

from keygrove_chaos.bundle import read_bundle, replay

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.json")), ids=lambda path: path.stem)
def test_c034_a_bug_of_the_past_stays_mended(path: Path) -> None:
    assert replay(read_bundle(path)).verdict.violations == ()

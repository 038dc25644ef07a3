"""The measurements of proofs, at their smallest."""

from pathlib import Path

from keygrove_bench.storage.proof import rows


def test_proofs_are_made_checked_and_weighed(tmp_path: Path) -> None:
    found = {one.id: one for one in rows(tmp_path, quick=True)}
    assert list(found) == [f"S-15-{what}-1000" for what in ("make", "check", "size", "head")]
    size = found["S-15-size-1000"].value
    assert isinstance(size, float | int)
    assert size > 3 * 15 * 32

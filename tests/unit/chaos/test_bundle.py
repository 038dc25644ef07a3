"""Bundles: a run in a file, seen again in another process and by later code."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from keygrove_chaos import bundle as bundles
from keygrove_chaos.bundle import Bundle, make_bundle, read_bundle, replay, write_bundle
from keygrove_chaos.errors import ChaosError

HERE = "tests.unit.chaos.scenarios"
FAILING = 2
"""A seed on which `rare_bug` finds something."""


@pytest.fixture(scope="module")
def made() -> Bundle:
    return make_bundle(f"{HERE}:rare_bug", FAILING)


def test_a_bundle_says_what_was_found_and_shows_the_end(made: Bundle) -> None:
    assert made.violations == ("I-01: a number was lost",)
    assert 0 < len(made.last) <= 200
    assert made.versions["python"]
    assert made.code == bundles.code_digest(made.scenario)


def test_c030_a_bundle_is_the_same_run_in_another_process(made: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "made.json"
    write_bundle(path, made)
    code = (
        "import sys; from pathlib import Path; from keygrove_chaos.bundle import *;"
        "r = replay(read_bundle(Path(sys.argv[1])));"
        "print(r.verdict.digest, r.verdict.violations, r.warnings)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == f"{made.digest} {made.violations} ()"


def test_c031_a_bundle_of_other_code_is_replayed_with_a_warning(made: Bundle) -> None:
    old = msgspec.structs.replace(
        made, code="0" * 16, digest="f" * 32, versions={**made.versions, "trio": "0.1"}
    )
    replayed = replay(old)
    assert replayed.verdict.violations == made.violations
    other, library, trace = replayed.warnings
    assert "other code" in other
    assert "trio 0.1" in library
    assert made.digest in trace


def test_the_plan_of_a_bundle_is_played_and_not_that_of_its_seed() -> None:
    planned = make_bundle(f"{HERE}:planned", 3)
    assert json.loads(bytes(planned.plan)) == {"seconds": 3}
    other = msgspec.structs.replace(planned, plan=msgspec.Raw(b'{"seconds": 9}'))
    assert replay(other).verdict.virtual_s == pytest.approx(9.0)


def test_a_bundle_is_small_enough_to_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "one.json"
    write_bundle(path, make_bundle("keygrove_chaos.skeleton:scenario", 1))
    assert path.stat().st_size < 400_000
    assert read_bundle(path).seed == 1


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{", "is no bundle"),
        (b"\xff", "is no bundle"),
        (b'{"schema": 1}', "missing required field"),
    ],
)
def test_what_is_no_bundle_is_refused(data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(data)
    with pytest.raises(ChaosError, match=says):
        read_bundle(path)


def test_a_bundle_of_a_later_program_is_refused(made: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "later.json"
    write_bundle(path, msgspec.structs.replace(made, schema=2))
    with pytest.raises(ChaosError, match="use the program that made it"):
        read_bundle(path)


def test_the_hash_of_the_code_covers_the_scenario_and_what_is_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "storms_of_one").mkdir()
    parts = {
        "the scenario": tmp_path / "storms_of_one" / "sea.py",
        "beside it": tmp_path / "storms_of_one" / "__init__.py",
        "what is watched": tmp_path / "service_of_one.py",
        "another": tmp_path / "other_of_one.py",
    }
    for path in parts.values():
        path.write_text("")

    def digest() -> str:
        return bundles.code_digest("storms_of_one.sea:scenario", ("service_of_one",))

    changed: dict[str, bool] = {}
    for name, path in parts.items():
        before = digest()
        path.write_text("x = 1\n")
        changed[name] = digest() != before
    assert changed == {**dict.fromkeys(parts, True), "another": False}

"""`python -m keygrove_bench`: the commands that need nothing but ourselves."""

import subprocess
import sys

import msgspec
import pytest

from keygrove_bench.report import Report
from keygrove_chaos.endings import ENDINGS

pytestmark = pytest.mark.slow


def said(*words: str, exit_code: int) -> subprocess.CompletedProcess[bytes]:
    ran = subprocess.run(
        [sys.executable, "-m", "keygrove_bench", *words], capture_output=True, check=False
    )
    assert ran.returncode == exit_code, ran.stderr.decode()
    return ran


def bench(*words: str, exit_code: int = 0) -> Report:
    return msgspec.json.decode(said(*words, "--json", exit_code=exit_code).stdout, type=Report)


def test_a_simulation_is_measured_on_both_engines() -> None:
    report = bench("simulation", "--quick")
    rows = {row.id: row for row in report.results}
    assert set(rows) == {
        "toy-events-aio",
        "toy-events-trio",
        "toy-seed",
        "toy-speed-up-aio",
        "toy-speed-up-trio",
        "nodes-events-aio",
        "nodes-events-trio",
        "nodes-seed",
        "toy-checkers",
        "nodes-checkers",
        "toy-seeds",
        "nodes-seeds",
        "power-cuts",
    }
    beside = rows["toy-events-aio"], rows["toy-events-trio"]
    assert [row.peers.keys() for row in beside] == [{"trio"}, {"aio"}]
    assert all(isinstance(row.value, float) and row.value >= 0 for row in report.results)


def test_a_campaign_runs_seeds_on_both_engines() -> None:
    report = bench("campaign", "seeds", "--seeds", "2", "--first-seed", "5000")
    assert [row.id for row in report.results] == ["seeds-aio", "seeds-trio", "reach"]
    assert all(row.value == 0 for row in report.results)


def test_a_campaign_ends_shards_and_says_which_endings_were_missed() -> None:
    report = bench("campaign", "endings", "--seeds", "2", "--first-seed", "10", exit_code=1)
    lost, missed, kept = report.results
    assert (lost.value, lost.holds) == (0, True)
    assert (missed.holds, missed.value) == (False, len(ENDINGS) - 2)
    assert isinstance(kept.value, float)
    assert kept.value > 10


def test_a_campaign_measures_logs_that_readers_hold() -> None:
    report = bench("campaign", "stuck", "--seconds", "3")
    heap, index, *_ = report.results
    assert heap.holds
    assert index.holds
    assert isinstance(heap.value, float)
    assert heap.value > 0


def test_a_campaign_that_does_not_find_a_bug_says_so() -> None:
    # The first seed ends a shard in a compaction, so no rollback.
    few = ("--only", "M-101,M-100", "--seeds", "1", "--first-seed", "0")
    report = bench("campaign", "mutants", *few, exit_code=1)
    rows = {row.id: row for row in report.results}
    assert list(rows) == ["M-101", "M-100", "alive", "median"]
    assert rows["M-101"].value == 1
    assert rows["M-100"].value == "no seed found it"
    assert (rows["alive"].value, rows["alive"].holds) == (1, False)


def test_a_bug_that_nobody_planted_cannot_be_hunted() -> None:
    refused = said("campaign", "mutants", "--only", "M-01,M-00", exit_code=2)
    assert "no mutant M-00: there are M-" in refused.stderr.decode()


def test_arithmetic_is_measured_beside_rsa_4096() -> None:
    report = bench("arithmetic", "--quick")
    rows = {row.id: row for row in report.results}
    assert {"rsa-4096", "nistp256", "ed448", "slh-dsa-shake-128f", "overhead"} <= rows.keys()
    assert all(row.peers.keys() == {"rsa4096_per_s"} for row in report.results)


def test_recon_is_measured_with_flint_and_without() -> None:
    report = bench("recon", "--quick", "--only", "tree,solve")
    rows = {row.id: row for row in report.results}
    tree = {"build", "memory", "insert", "remove", "batch", "dump", "load"}
    assert tree | {f"solve-{count}" for count in (1, 2, 3, 4, 5, 7)} <= set(rows)
    assert all(isinstance(row.value, float) and row.value >= 0 for row in report.results)
    assert "FLINT" in rows["solve-5"].peers


def test_ways_of_recon_are_measured_on_the_same_sets() -> None:
    report = bench("recon", "--quick", "--only", "ways,sketch")
    rows = {row.id: row for row in report.results}
    assert {"octets-1", "trips-10", "cpu-100", "sketch-insert", "sketch-memory"} <= set(rows)
    assert "build" not in rows
    assert rows["octets-100"].holds is True
    assert rows["trips-100"].holds is True
    assert rows["octets-100"].peers.keys() == {"SKS", "tree of hashes", "ranges"}


def test_sessions_are_measured_by_what_differs() -> None:
    report = bench("recon", "--quick", "--only", "sessions")
    rows = {row.id: row for row in report.results}
    figures = ("trips", "asked", "answered", "cpu", "seconds")
    assert set(rows) == {f"session-{one}-{count}" for one in figures for count in (1, 10, 100)}
    assert all(isinstance(row.value, float) and row.value > 0 for row in report.results)
    beside = rows["session-answered-100"].peers
    assert "SKS" in beside or beside["SKS answering"] == rows["session-answered-100"].value


def test_the_storage_engine_is_measured_beside_other_stores() -> None:
    report = bench("storage", "--quick")
    rows = {row.id: row for row in report.results}
    assert {"S-01", "S-02", "S-03", "S-05", "S-07", "S-08-start", "S-12"} <= set(rows)
    unmeasured = {row.id for row in report.results if not isinstance(row.value, float)}
    assert unmeasured <= {"S-07", "coding-debian", "coding-delta"}, "what needs other programs"
    assert isinstance(rows["S-01-1"].peers["sqlite, autocommit"], float)


def test_a_large_store_is_measured() -> None:
    report = bench("campaign", "storage", "--keys", "2048")
    assert all(isinstance(row.value, float) for row in report.results)

"""Which test proves which item of the simulator's conformance list, so that the map cannot rot.

Items are C-001 and on. A test may carry the numbers of its items in its name; each item is mapped
here to the beginnings of the names of tests that hold it.
"""

from __future__ import annotations

import re
from pathlib import Path

from keygrove_chaos.mutants import read_mutants

TESTS = Path(__file__).parents[2]

LATER = {
    32: "plans are not shrunk yet",
    33: "a replay cannot be stepped through yet",
}

CONFORMANCE = {
    # determinism
    1: ("c001_the_private_names", "c001_trio_follows_the_seed"),
    2: ("c002_the_same_seed", "c002_c009_six_processes", "c002_a_sound_scenario"),
    3: ("c003_it_starts_itself_again",),
    4: ("c004_a_product_module", "a_world_ends_when_the_product_touches"),
    5: ("c005_a_point_more", "c005_one_more_stream"),
    6: ("c006_a_loop_that_lets_no_time_pass", "c006_a_loop_that_never_awaits"),
    7: ("c007_nothing_is_collected", "c007_when_the_collector_runs"),
    8: ("c008_a_scenario_that_depends_on_hashes",),
    9: ("c009_the_plan_of_a_seed", "c009_both_engines", "c002_c009_six_processes"),
    # the network
    10: ("c010_no_module_of_the_product",),
    11: ("c011_each_fault_counts", "c011_no_fault_is_left_out", "c011_a_kind_of_fault"),
    12: ("c012_every_shape_of_partition",),
    13: ("removing_a_fault_leaves", "shapes_stack_and_heal", "a_link_cut_twice"),
    14: (
        *("power_loss_leaves_the_peer_half_open", "asking_for_a_sign_of_life"),
        *("c014_a_middlebox", "c014_who_asks"),
    ),
    # the disk
    15: (
        *("full_loses_nothing", "normal_loses_and_never_corrupts", "off_corrupts"),
        "full_on_a_disk_that_lies_loses",
    ),
    16: ("what_was_opened_before_a_crash", "a_connection_closed_after_the_crash"),
    17: ("a_failed_sync_drops",),
    # clocks and processes
    18: (
        *("a_drift_keeps", "a_jump_stays", "a_frozen_clock", "the_stopwatch_never_runs_back"),
        "a_clock_passes_the_edges",
    ),
    19: ("c019_a_pause_delivers", "c019_a_paused_host", "c019_a_node_that_is_killed"),
    20: ("the_log_is_written_ahead",),
    # campaigns
    21: ("c021_a_core_serves", "c021_a_core_that_does_not_come_back"),
    22: ("c022_each_feature", "c022_c023_the_first_standard_seeds"),
    23: ("c023_points_that_never_fired", "c023_a_state_that_was_never_reached"),
    24: ("c024_the_portfolio", "c024_each_strategy"),
    # replay
    30: ("c030_a_bundle_is_the_same_run",),
    31: ("c031_a_bundle_of_other_code",),
    34: ("c034_a_bug_of_the_past", "c034_a_failing_seed_is_kept"),
}


ELSEWHERE = {
    9: "bounds of certificates are too far away for many runs: laws of `rules` have them near",
    12: "what a partner gives is known by its own digest, and nothing hangs on which was asked for",
    13: "the tree follows what is committed: there is nothing to take back",
    15: "both sides of a simulated session run the same code; laws of `tree` have the threshold",
    16: "a tree that is never joined shows the same digests: laws of `tree` hold its shape",
    17: "a dump's place has the root of its store, which tests of the tree's owner change",
    18: "fewer than 150 digests are sent whole; tests of the acceptor and a real SKS have more",
    19: "a fetch that fails is tried again: `test_bad_partners` has those that never succeed",
    20: "either of two partners begins sessions, and each turn has a time: planted, it is harmless",
    21: "a session takes milliseconds of a run; `test_bad_partners` has partners that hang",
    22: "no partner in a run lies; `test_bad_partners` and fuzzing have lengths that do",
    25: "denials are asked for by whole fingerprints: there is nothing shorter to compare",
    **dict.fromkeys((26, 27), "there are no rate limits yet"),
    **dict.fromkeys(
        (30, 31, 32), "the runtime has a model of its own, and no child is rest_for_one"
    ),
    **dict.fromkeys((33, 34, 35), "worker processes are not simulated"),
    **dict.fromkeys((36, 37), "no run fills a mailbox; tests of the runtime do"),
    **dict.fromkeys((38, 39), "there is no queue yet"),
    **dict.fromkeys((41, 42), "there is no mail, and there are no tokens yet"),
    44: "each start compares the roots of heap and index, and makes one that lacks anything anew",
    48: "simulated requests have no chunks",
    50: "there is no compaction yet",
    51: "what reads is not simulated as a thread, and I-25 is not watched yet",
    52: "there is no restore yet",
    53: "there are no messages between servers yet",
    54: "`c008_a_scenario_that_depends_on_hashes` plants it in a scenario",
    56: "`m56_faults_that_are_never_applied` plants it in the network",
}
"""Mutants of the catalogue that no file has, and why."""


def test_every_mutant_of_the_catalogue_is_planted_or_has_its_reason() -> None:
    found = {mutant.id for mutant in read_mutants(TESTS / "simulation" / "mutants")}
    planted = {int(name[2:4]) for name in found}
    assert planted.isdisjoint(ELSEWHERE)
    assert planted | set(ELSEWHERE) >= set(range(1, 57))


def names() -> set[str]:
    """The names of all tests of the simulator, less their first word."""
    files = [*TESTS.glob("unit/chaos/test_*.py"), *TESTS.glob("simulation/**/test_*.py")]
    found = (re.findall(r"def test_(\w+)\(", path.read_text()) for path in files)
    return {name for some in found for name in some}


def test_every_item_is_mapped_or_to_come() -> None:
    assert set(CONFORMANCE) | set(LATER) == {*range(1, 25), *range(30, 35)}
    assert not set(CONFORMANCE) & set(LATER)


def test_every_item_has_its_tests() -> None:
    known = names()
    assert {
        (number, begin)
        for number, begins in CONFORMANCE.items()
        for begin in begins
        if not any(name.startswith(begin) for name in known)
    } == set()


def test_a_name_has_no_number_of_what_is_not_there() -> None:
    named = {
        int(number) for name in names() for number in re.findall(r"(?:^|_)c(0[0-3]\d)(?=_)", name)
    }
    assert named <= set(CONFORMANCE)

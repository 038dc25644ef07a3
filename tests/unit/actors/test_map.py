"""Which test proves which statement of the runtime's contract, so that the map cannot rot.

The contract numbers its statements (A-001 and on, P-01 and on for ports) and lists what a
conformance suite has to show (1 and on). A test carries the numbers of its statements in its
name; the list is mapped here, each item to the beginning of a test's name.
"""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[2]

STATEMENTS = [
    *range(1, 16),
    *range(20, 39),
    *range(40, 49),
    *range(50, 57),
    *range(60, 76),
    *range(79, 89),
    *range(90, 105),
    *range(110, 126),
    *range(130, 138),
    *range(140, 155),
    *range(160, 168),
    *range(170, 180),
]

PORT_STATEMENTS = range(1, 20)

LATER = {88: "a node that goes down takes its members out of groups: there is one node as yet"}

CONFORMANCE = {
    # supervisors
    "1": "a001_each_child_starts",
    "2": "a002_each_child_stops",
    "3": "a001_each_child_starts",
    "4": "a003_those_before",
    "5": "a004_an_ignored_child",
    "6": "a005_an_init_that_overruns",
    "7": "a006_a007_a010_bad_specs",
    "8": "a006_a007_a010_bad_specs",
    "9": "a008_a160_defaults",
    "10": "a009_a_child_that_will_not_stop",
    "11": "a010_infinity_waits",
    "12": "a011_a_brutal_kill",
    "13": "a012_what_is_no_error",
    "14": "a013_a_child_that_unlinks_itself",
    "15": "a014_a_late_tree",
    "16": "a020_a_permanent_child",
    "17": "a021_a_transient_child",
    "18": "a022_a_temporary_child",
    "19": "a023_one_for_one",
    "20": "a024_one_for_all",
    "21": "a025_rest_for_one",
    "22": "a027_a_group_restart_revives",
    "23": "a024_one_for_all",
    "24": "a030_a_dynamic_supervisor_knows_refs",
    "25": "a029_dynamic_children_stop_all_at_once",
    "26": "a031_the_error_matrix",
    "27": "a031_a033_a_child_started_later",
    "28": "a041_a042_one_crash_too_many",
    "29": "a040_a_stamp_exactly",
    "30": "a043_a_group_restart_counts_once",
    "31": "a044_an_init_that_always_fails",
    "32": "a045_a_stop_is_honoured",
    "33": "pitfall_38_a_breach_climbs",
    "34": "a047_a_transient_supervisor_that_breaches",
    "35": "a048_a_supervisor_ends",
    "36": "a032_terminate_child",
    "37": "a050_jitter_stays",
    "38": "a051_a_child_that_stayed_up",
    "39": "a053_siblings_are_handled",
    "40": "a054_a_child_given_up",
    "40b": "a035_one_child_too_many",
    "40c": "a038_a_supervisor_that_stops",
    "40d": "a036_the_hash_is_the_same",
    # signals
    "41": "a060_a061_a063_an_exit_reaches",
    "42": "a065_exit_normal_from_itself",
    "43": "a066_an_exit_signal_overtakes",
    "44": "a067_links_are_symmetric",
    "45": "a068_linking_nobody",
    "46": "a069_monitoring_the_dead",
    "47": "a069_each_of_two_monitors",
    "48": "a070_a_demonitored_down",
    "49": "a072_everybody_concerned",
    "50": "a074_a_killed_supervisor",
    "51": "a073_",
    # names and groups
    "52": "a080_a_taken_name",
    "53": "a072_a081_the_name_is_free",
    "54": "a083_a_ref_by_id",
    "55": "a082_wait_up",
    "56": "a084_a_name_of_another_protocol",
    "57": "a085_an_actor_is_listed",
    "58": "a087_a_monitor_of_a_group",
    # calls
    "59": "a090_",
    "60": "a094_a_late_reply",
    "61": "a093_a_circle",
    "62": "a093_a_circle",
    "63": "a098_a_deferred_reply_is_sent_once",
    "64": "a099_a_declared_failure_is_an_answer",
    "65": "a092_a099_a_crash",
    "66": "a096_an_expired_call",
    "67": "a095_a173_a_cancelled_caller",
    "68": "a102_multi_call_waits",
    "69": "every_way_to_answer_is_the_same",
    # the loop
    "70": "a111_continue_runs",
    "71": "a113_the_reply_comes_first",
    "72": "a114_terminate_runs",
    "73": "a116_the_stash_keeps",
    "74": "a116_receive_leaves",
    "75": "a117_a_request_of_the_runtime",
    "76": "a118_a_turn_ends",
    "77": "a115_hibernated_actors",
    "78": "a120_a121_a122_a123_timers",
    "79": "a172_one_that_outlives",
    "80": "a178_resources_close_after_a_crash",
    "81": "a170_a_failing_child_task",
    "82": "a176_the_senders_context",
    # state machines
    "83": "a131_postponed_messages",
    "84": "a132_a_state_timeout",
    "85": "a133_an_event_ends",
    "86": "a134_a135_next_events",
    "87": "a136_enter_hooks",
    # what operators may do
    "88": "a140_a_suspended_actor",
    "89": "a142_a_failing_change",
    "90": "a143_code_is_changed",
    "91": "a145_statistics",
    "92": "a148_a_large_tree",
    "93": "a141_secrets",
    # mailboxes
    "94": "a161_each_policy",
    "95": "a163_",
    "96": "a162_",
    "97": "a166_sixteen",
    # ports: in tests/interop/ports where they need a process
    "98": "golden_frames",
    "99": "what_breaks_the_rules",
    "100": "p07_a_version_mismatch",
    "101": "p06_the_end_of_a_worker",
    "102": "p03_p04_no_worker_outlives",
    "103": "p17_a_killed_zygote",
    "104": "p12_a_silent_worker",
    "105": "p14_lines_are_reported",
    "106": "p13_too_much_memory",
    "107": "p09_without_credit",
    "108": "p08_a_drained_worker",
    "109": "no_file_and_no_process_is_left",
    "110": "p04_grandchildren",
    # 111 to 119 are of remote actors, which there are none of as yet
    "120": "the_leak_gate_notices",
}


def names() -> set[str]:
    """The names of all tests of actors, less their first word."""
    files = [*TESTS.rglob("actors/test_*.py"), *TESTS.rglob("ports/test_*.py")]
    found = (re.findall(r"def test_(\w+)\(", path.read_text()) for path in files)
    return {name for some in found for name in some}


def test_every_statement_is_named_by_a_test() -> None:
    named = {
        int(number) for name in names() for number in re.findall(r"(?:^|_)a(\d{3})(?=_)", name)
    }
    assert set(STATEMENTS) - named == set(LATER)
    assert named <= set(STATEMENTS), "a name has the number of no statement"


def test_every_statement_of_ports_is_named_by_a_test() -> None:
    named = {
        int(number) for name in names() for number in re.findall(r"(?:^|_)p(\d{2})(?=_)", name)
    }
    assert named == set(PORT_STATEMENTS)


def test_every_item_of_the_conformance_list_has_its_test() -> None:
    known = names()
    assert {
        n: begin
        for n, begin in CONFORMANCE.items()
        if not any(name.startswith(begin) for name in known)
    } == {}
    assert len(CONFORMANCE) == 110 + 3 + 1

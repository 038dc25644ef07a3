"""`keygrove chaos`: what it prints, and how it exits."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keygrove.cli.main import main
from keygrove_chaos.bundle import read_bundle

pytestmark = pytest.mark.slow

HERE = "tests.unit.chaos.scenarios"
MUTANT = """
[[mutant]]
id = "L-1"
says = "{says}"
module = "tests.unit.chaos.programs"
function = "gossip.main.deliver"
old = "known[receiver].setdefault(item)"
new = "{new}"
scenario = "tests.unit.chaos.scenarios:tells"
seeds = 3
"""


@pytest.fixture(autouse=True)
def hash_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given, so that the command does not start itself again."""
    monkeypatch.setenv("PYTHONHASHSEED", "0")


def chaos(*words: str) -> Result:
    return CliRunner().invoke(main, ["chaos", *words])


def test_seeds_that_find_nothing_are_a_success() -> None:
    ran = chaos("simulate", "--seeds", "3", "--jobs", "1", "--scenario", f"{HERE}:sound")
    assert ran.exit_code == 0
    assert "3 seeds from 0 on aio: 0 found something" in ran.stderr
    assert ran.stdout.startswith("known: ")


def test_a_failing_seed_prints_the_one_command_that_replays_it() -> None:
    given = ("--seeds", "5", "--jobs", "2", "--scenario", f"{HERE}:rare_bug", "--engine", "trio")
    ran = chaos("simulate", *given)
    assert ran.exit_code == 1
    assert "seed 2: I-01: a number was lost" in ran.stderr
    command = f"keygrove chaos replay 2 --scenario {HERE}:rare_bug --engine trio"
    assert command in ran.stderr
    again = chaos(*command.split()[2:])
    assert again.exit_code == 1
    assert "found: I-01: a number was lost" in again.stderr


def test_json_has_a_line_for_each_seed() -> None:
    ran = chaos("simulate", "--seeds", "2", "--jobs", "1", "--json", "--scenario", f"{HERE}:sound")
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [line["seed"] for line in lines] == [0, 1]
    assert set(lines[0]) == {
        *("seed", "violations", "events", "digest", "virtual_s", "real_s", "counts")
    }


def test_a_replay_shows_events_and_the_hash_that_simulate_told() -> None:
    simulated = chaos(
        "simulate", "--seeds", "1", "--jobs", "1", "--json", "--scenario", f"{HERE}:sound"
    )
    digest = json.loads(simulated.stdout)["digest"]
    ran = chaos("replay", "0", "--last", "4", "--scenario", f"{HERE}:sound")
    *events, last = ran.stdout.splitlines()
    assert len(events) == 4
    assert last.startswith(f"trace {digest} of ")


def test_c034_a_failing_seed_is_kept_by_one_command_and_replayed(tmp_path: Path) -> None:
    kept = chaos("keep", "2", "--folder", str(tmp_path), "--scenario", f"{HERE}:rare_bug")
    assert kept.exit_code == 0
    path = tmp_path / "scenarios-rare_bug-2.json"
    assert str(path) in kept.stdout
    ran = chaos("replay", str(path), "--last", "1")
    assert ran.exit_code == 1
    assert read_bundle(path).digest in ran.stdout
    assert "warning" not in ran.stderr


def test_campaigns_whose_faults_do_nothing_exit_with_8() -> None:
    ran = chaos("simulate", "--seeds", "1", "--jobs", "1", "--scenario", f"{HERE}:inert")
    assert ran.exit_code == 8
    assert "without any effect: net.loss" in ran.stderr


@pytest.mark.slow
def test_runs_that_differ_exit_with_7_and_show_the_first_difference() -> None:
    ran = chaos("determinism", "--seeds", "1", "--scenario", f"{HERE}:by_past")
    assert ran.exit_code == 7
    assert "first in event" in ran.stderr


@pytest.mark.slow
@pytest.mark.slow
def test_runs_that_do_not_differ_say_so() -> None:
    ran = chaos("determinism", "--seeds", "1", "--scenario", f"{HERE}:sound")
    assert ran.exit_code == 0
    assert "1 seeds are the same run in all variants" in ran.stderr


@pytest.mark.parametrize(
    ("new", "code", "says"),
    [("pass", 0, "found after 1 seeds"), ("known[receiver][item] = None", 1, "no seed found it")],
)
def test_mutants_are_hunted(new: str, code: int, says: str, tmp_path: Path) -> None:
    (tmp_path / "some.toml").write_text(MUTANT.format(says="a number is not kept", new=new))
    ran = chaos("mutate", "--folder", str(tmp_path))
    assert (ran.exit_code, says in ran.stdout) == (code, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("simulate", "--scenario", "nowhere:main"), "name one as package.module:function"),
        (("simulate", "--scenario", f"{HERE}:RAN"), "make it a coroutine function"),
        (("simulate", "--scenario", ".x:y"), "name one as package.module:function"),
        (("simulate", "--scenario", "x:"), "name one as package.module:function"),
        (("simulate", "--scenario", "tests.unit.chaos.exits:main"), "SystemExit: 3 (exits.py:5)"),
        (("replay", "nowhere.json"), "neither a seed nor a bundle"),
        (("simulate", "--watch", "nowhere.at"), "there is no package 'nowhere.at' to watch"),
        (("mutate", "--folder", "docs"), "there are no mutants in docs"),
        (("mutate", "M-00", "--folder", "tests/simulation/mutants"), "no such mutant: M-00"),
    ],
)
def test_wrong_use_says_what_would_be_right(words: tuple[str, ...], says: str) -> None:
    ran = chaos(*words)
    assert ran.exit_code == 2
    assert says in ran.stderr


def test_facts_that_no_encoding_has_are_told_and_hashed() -> None:
    ran = chaos("replay", "0", "--scenario", f"{HERE}:odd_facts")
    assert ran.exit_code == 0
    assert f"half a pair \\ud800 {1 << 80} True" in ran.stdout


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "below"
    ran = chaos("keep", "0", "--folder", str(folder), "--scenario", f"{HERE}:sound")
    assert ran.exit_code == 3
    assert "cannot write" in ran.stderr


def test_a_file_of_mutants_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[[mutant]]\nid = 1\n")
    ran = chaos("mutate", "--folder", str(tmp_path))
    assert ran.exit_code == 2
    assert "bad.toml" in ran.stderr


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("raises", "KeyError: 'x' (scenarios.py:"),
        ("exits", "SystemExit: 0"),
        ("returns_nothing", "the scenario returned None: return what it found wrong"),
        ("finds_numbers", "the scenario returned [1]: return what it found wrong"),
        ("mute", "MuteError: (its text cannot be had: KeyError) (scenarios.py:"),
        ("notes_objects", "facts are words and numbers"),
        ("counts_words", "world.count('things', 'many'): count by whole numbers"),
    ],
)
def test_what_a_scenario_does_wrong_is_told_with_its_place(name: str, says: str) -> None:
    ran = chaos("simulate", "--seeds", "1", "--jobs", "1", "--scenario", f"{HERE}:{name}")
    assert ran.exit_code == 1
    assert says in ran.stderr


@pytest.mark.slow
@pytest.mark.slow
def test_determinism_is_told_of_scenarios_that_print() -> None:
    assert chaos("determinism", "--seeds", "1", "--scenario", f"{HERE}:prints").exit_code == 0


def test_a_seed_whose_process_dies_is_named_with_its_replay() -> None:
    ran = chaos("simulate", "--seeds", "8", "--jobs", "2", "--scenario", f"{HERE}:dies")
    assert ran.exit_code == 1
    assert "seed 3: the process that ran it was killed by SIGKILL" in ran.stderr
    assert f"keygrove chaos replay 3 --scenario {HERE}:dies" in ran.stderr
    assert "8 seeds from 0 on aio: 2 found something" in ran.stderr


def test_processes_that_cannot_be_started_are_told() -> None:
    words = ("simulate", "--seeds", "500", "--jobs", "500", "--scenario", f"{HERE}:sound")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, before[1]))
    try:
        ran = chaos(*words)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert ran.exit_code == 3
    assert "lower --jobs" in ran.stderr


OUTSIDE, LIBRARY = "tests.unit.chaos.outside", "email"


def test_another_package_can_be_watched_and_its_replays_and_bundles_watch_it_too(
    tmp_path: Path,
) -> None:
    given = ("--scenario", f"{OUTSIDE}:scenario")
    assert chaos("simulate", "--seeds", "1", "--jobs", "1", *given).exit_code == 0
    ran = chaos("simulate", "--seeds", "1", "--jobs", "1", "--watch", LIBRARY, *given)
    assert ran.exit_code == 1
    assert "time.time called at" in ran.stderr
    assert re.search(r"utils\.py:\d+: take time from the event loop", ran.stderr)
    again = f"keygrove chaos replay 0 --scenario {OUTSIDE}:scenario --watch {LIBRARY}"
    assert again in ran.stderr
    assert chaos(*again.split()[2:]).exit_code == 1
    kept = chaos("keep", "0", "--folder", str(tmp_path), "--watch", LIBRARY, *given)
    assert kept.exit_code == 0
    path = str(tmp_path / "outside-0.json")
    ran = chaos("replay", path)
    assert (ran.exit_code, "warning" in ran.stderr) == (1, False)
    refused = chaos("replay", path, "--watch", "tests")
    assert f"this bundle is of --watch {LIBRARY}" in refused.stderr


@pytest.mark.slow
def test_determinism_watches_in_other_processes_as_well() -> None:
    given = ("--scenario", f"{OUTSIDE}:scenario", "--watch", LIBRARY)
    ran = chaos("determinism", "--seeds", "1", *given)
    assert ran.exit_code == 0, ran.stderr


def test_bundles_of_ones_own_go_to_a_folder_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert chaos("keep", "0", "--scenario", f"{HERE}:sound").exit_code == 0
    assert (tmp_path / "runs" / "scenarios-sound-0.json").exists()


def by_shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What comes of `keygrove chaos` in a shell."""
    program = "import sys; sys.argv[0] = 'keygrove'; from keygrove.cli.main import main; main()"
    return subprocess.run(
        ["sh", "-c", f'"$0" -c "{program}" chaos {command}', sys.executable],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("verb", ["simulate --seeds 1 --jobs 1", "replay 0"])
def test_output_that_cannot_be_written_is_told_in_a_line(verb: str) -> None:
    ran = by_shell(f"{verb} --scenario {HERE}:sound >/dev/full")
    assert ran.returncode == 3
    assert ran.stderr.splitlines()[-1] == (
        "Error: cannot write to standard output: No space left on device"
    )
    assert "Traceback" not in ran.stderr


def test_without_an_output_the_exit_code_says_it() -> None:
    ran = by_shell(f"replay 2 --scenario {HERE}:rare_bug >&-")
    assert (ran.returncode, "Traceback" in ran.stderr) == (1, False)
    assert "found: I-01: a number was lost" in ran.stderr


@pytest.mark.parametrize("value", ["", "random"])
def test_hash_seeds_that_are_none_are_replaced(value: str) -> None:
    ran = by_shell(f"--verbose replay 0 --scenario {HERE}:sound", PYTHONHASHSEED=value)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("starting again with PYTHONHASHSEED=0") == 1


def test_ctrl_c_ends_a_replay_as_interrupted() -> None:
    ran = chaos("replay", "0", "--scenario", f"{HERE}:interrupted")
    assert ran.exit_code == 130
    assert ran.stderr.splitlines()[-1] == "interrupted"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_an_interrupted_campaign_sums_up_and_leaves_nobody_behind(
    jobs: str, sent: signal.Signals
) -> None:
    words = ["chaos", "simulate", "--seeds", "9000", "--jobs", jobs, "--json"]
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
            "from keygrove.cli.main import main; main()",
            *words,
            "--scenario",
            f"{HERE}:sound",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(sent)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: " in told
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


@pytest.mark.slow
def test_c003_it_starts_itself_again_with_a_fixed_hash_seed_and_says_so() -> None:
    environment = {name: one for name, one in os.environ.items() if name != "PYTHONHASHSEED"}
    words = ["chaos", "--verbose", "simulate", "--seeds", "1", "--scenario", f"{HERE}:sound"]
    ran = subprocess.run(
        [sys.executable, "-c", "from keygrove.cli.main import main; main()", *words],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert ran.stderr.count("starting again with PYTHONHASHSEED=0") == 1

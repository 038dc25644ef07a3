"""`keygrove chaos`: simulate seeds, replay one, and test the tests."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec
from click.core import ParameterSource

from keygrove.cli.console import err
from keygrove.cli.options import INTERRUPTED, CouldNotRun, FoundProblems, WrongUse
from keygrove_chaos.bundle import Bundle, make_bundle, read_bundle, write_bundle
from keygrove_chaos.bundle import replay as replay_bundle
from keygrove_chaos.campaign import UnknownScenarioError, Verdict, judge, scenario_named
from keygrove_chaos.campaign import simulate as simulate_seeds
from keygrove_chaos.determinism import differences
from keygrove_chaos.errors import ChaosError, PlanError
from keygrove_chaos.mutants import Hunt, hunt, read_mutants
from keygrove_chaos.reach import Reach, reach
from keygrove_chaos.trace import Trace, line
from keygrove_chaos.tripwires import WATCHED
from keygrove_chaos.world import ENGINES, EngineName, Options

F = TypeVar("F", bound=Callable[..., object])

SKELETON: Final = "keygrove_chaos.skeleton:scenario"
CORPUS: Final = Path("tests/simulation/corpus")
RUNS: Final = Path("runs")
EVERYTHING: Final = range(1 << 40)


class FoundNondeterminism(click.ClickException):
    """A seed is not the same run everywhere."""

    exit_code = 7


class FoundTooLittle(click.ClickException):
    """No seed found anything, and the campaign shows less than it seems to."""

    exit_code = 8


def _of_runs(command: F) -> F:
    for option in (
        click.option(
            "--engine", type=click.Choice(ENGINES), default="aio", help="The event loop to run on."
        ),
        click.option(
            "--scenario",
            metavar="MODULE:FUNCTION",
            default=SKELETON,
            help="What to simulate; three nodes under faults, unless given.",
        ),
        click.option(
            "--watch",
            metavar="PACKAGE",
            multiple=True,
            help="Stop what in this package, besides Keygrove's and the scenario's own, asks for "
            "real time, chance, threads or files.",
        ),
    ):
        command = option(command)
    return command


class _Chaos(click.Group):
    """Its verbs; Ctrl-C ends each of them in the same way."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            err().print("interrupted")
            sys.exit(INTERRUPTED)


@click.group("chaos", cls=_Chaos, short_help="Simulate nodes under faults.")
@click.option("--verbose", is_flag=True, help="Say what is done to make runs repeatable.")
def chaos(*, verbose: bool) -> None:
    """Simulate whole nodes on a virtual clock, from a seed, under faults.

    Exit codes: 0 all is in order, 1 a seed found something, 2 wrong use, 3 something is missing or
    cannot be written, 7 a seed is not the same run everywhere, 8 faults had no effect or states
    were never reached.
    """
    # "random" and the empty word are values of it, too, and mean another seed each time.
    if sys.flags.hash_randomization and not os.environ.get("PYTHONHASHSEED", "").isdecimal():
        if verbose:
            err().print("starting again with PYTHONHASHSEED=0, so that runs can be repeated")
        os.execve(  # noqa: S606 - this program
            sys.executable,
            [sys.executable, *sys.orig_argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )


@chaos.command("simulate", short_help="Run many seeds.")
@click.option("--seeds", type=click.IntRange(1), default=100, help="How many.")
@click.option("--first-seed", type=click.IntRange(0), default=0, help="The first of them.")
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, help="Processes.")
@click.option("--json", "as_json", is_flag=True, help="One line for each seed, for programs.")
@_of_runs
def simulate(
    *,
    seeds: int,
    first_seed: int,
    jobs: int,
    as_json: bool,
    scenario: str,
    engine: EngineName,
    watch: tuple[str, ...],
) -> None:
    """Run seeds, and say what each found; those that did can be replayed."""
    _known(scenario)
    options = _options(engine, watch)
    begun, totals, done, failed = time.monotonic(), Counter[str](), 0, 0
    wanted = range(first_seed, first_seed + seeds)
    running = simulate_seeds(scenario, wanted, jobs=jobs, options=options)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # nobody is left behind
    try:
        for verdict in running:
            done += 1
            failed += bool(verdict.violations)
            totals.update(verdict.counts | {"events": verdict.events})
            if as_json:
                _say(msgspec.json.encode(_brief(verdict)).decode())
            _tell(verdict, _replay(verdict.seed, scenario, engine, watch))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # once is enough: there is little left to do
    except OSError as error:
        raise CouldNotRun(
            f"cannot start another process: {error.strerror}; lower --jobs"
        ) from error
    finally:
        running.close()
        signal.signal(signal.SIGTERM, before)
    took = time.monotonic() - begun
    err().print(
        f"{'' if done == seeds else 'interrupted: '}{done} seeds from {first_seed} on {engine}: "
        f"{failed} found something; {totals.pop('events', 0):,} events in {took:.1f} s"
    )
    if not as_json:
        for what, count in sorted(totals.items()):
            _say(f"{what}: {count}")
    if done < seeds:
        sys.exit(INTERRUPTED)
    _end(failed, seeds, reach(totals, seeds))


@chaos.command("replay", short_help="Run one seed, and show what happened.")
@click.argument("run", metavar="SEED|BUNDLE")
@click.option("--last", type=click.IntRange(1), help="Show so many events before the end, only.")
@_of_runs
def replay(
    *, run: str, last: int | None, scenario: str, engine: EngineName, watch: tuple[str, ...]
) -> None:
    """Run a seed or a bundle again: its events, what it found, and the hash of its trace.

    A bundle says itself which scenario it is of, which engine it ran on, and what was watched.
    """
    if run.isdecimal():
        trace = Trace(EVERYTHING)
        verdict = judge(_known(scenario), int(run), _options(engine, watch), trace)
    else:
        bundle = _read(Path(run))
        _refuse_others(bundle)
        _known(bundle.scenario)
        _options(bundle.engine, bundle.watched)
        try:
            replayed = replay_bundle(bundle, EVERYTHING)
        except PlanError as error:
            raise WrongUse(f"{run}: {error}") from error
        verdict, trace = replayed.verdict, replayed.trace
        for warning in replayed.warnings:
            err().print(f"warning: {warning}")
    for event in trace.kept[-last if last else 0 :]:
        _say(line(event))
    for violation in verdict.violations:
        err().print(f"found: {violation}")
    _say(f"trace {verdict.digest} of {verdict.events} events")
    if verdict.violations:
        raise FoundProblems(f"seed {verdict.seed} found something")


@chaos.command("keep", short_help="Put the run of a seed into a file.")
@click.argument("seed", type=click.IntRange(0))
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to; ./runs unless given, for Keygrove's own scenarios tests/simulation/corpus.",
)
@_of_runs
def keep(
    *,
    seed: int,
    folder: Path | None,
    scenario: str,
    engine: EngineName,
    watch: tuple[str, ...],
) -> None:
    """Run SEED, and write its plan and what it found into a bundle, to be replayed for ever."""
    _known(scenario)
    _options(engine, watch)
    bundle = make_bundle(scenario, seed, engine, watch)
    if folder is None:
        folder = CORPUS if scenario.startswith("keygrove_chaos.") else RUNS
    path = folder / f"{_short(scenario)}-{seed}.json"
    try:
        write_bundle(path, bundle)
    except OSError as error:
        raise CouldNotRun(f"cannot write {path}: {error.strerror}") from error
    found = "; ".join(bundle.violations) or "nothing"
    _say(f"{path}: {bundle.events} events, found {found}")


@chaos.command("determinism", short_help="Is a seed the same run everywhere?")
@click.option("--seeds", type=click.IntRange(1), default=50, help="How many.")
@click.option("--first-seed", type=click.IntRange(0), default=0, help="The first of them.")
@_of_runs
def determinism(
    *, seeds: int, first_seed: int, scenario: str, engine: EngineName, watch: tuple[str, ...]
) -> None:
    """Run seeds in six variants: fresh, repeated, after others, other hash seeds, with a log."""
    _known(scenario)
    wanted = tuple(range(first_seed, first_seed + seeds))
    found = differences(scenario, wanted, engine, _options(engine, watch).watched)
    for one in found:
        err().print(one.text())
    if found:
        raise FoundNondeterminism(f"{len(found)} runs differ")
    err().print(f"{seeds} seeds are the same run in all variants")


@chaos.command("mutate", short_help="Plant bugs, and see whether seeds find them.")
@click.argument("ids", nargs=-1)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path("tests/simulation/mutants"),
    help="Where the mutants are.",
)
@click.option("--engine", type=click.Choice(ENGINES), default="aio", help="The event loop.")
def mutate(*, ids: tuple[str, ...], folder: Path, engine: EngineName) -> None:
    """Hunt the mutants IDS, or all: each is to be found within its budget of seeds."""
    try:
        mutants = {mutant.id: mutant for mutant in read_mutants(folder)}
    except msgspec.ValidationError as error:
        raise WrongUse(f"{folder}: {error}") from error
    if not mutants:
        raise WrongUse(f"there are no mutants in {folder}: name another --folder")
    if unknown := [one for one in ids if one not in mutants]:
        raise WrongUse(f"no such mutant: {', '.join(unknown)}; there are {', '.join(mutants)}")
    hunts: list[Hunt] = []
    for one in ids or mutants:
        hunts.append(found := hunt(mutants[one], engine))
        how = found.problem or f"found after {found.seeds} seeds: {found.found}"
        _say(f"{one}  {mutants[one].says}: {how}")
    if alive := [found.id for found in hunts if not found.is_killed]:
        raise FoundProblems(f"not found: {', '.join(alive)}")


def _tell(verdict: Verdict, again: str) -> None:
    for violation in verdict.violations:
        err().print(f"seed {verdict.seed}: {violation}")
    if verdict.violations:
        err().print(f"  to see it again: {again}")


def _short(scenario: str) -> str:
    """A name for files: of its module, and its own where that is not `scenario`."""
    module, _, function = scenario.partition(":")
    name = module.rpartition(".")[2]
    return name if function == "scenario" else f"{name}-{function}"


def _known(scenario: str) -> Any:
    """The scenario; modules in the working directory can be named, as with `python -m`."""
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return scenario_named(scenario)
    except UnknownScenarioError as error:
        if isinstance(error.__cause__, ModuleNotFoundError) and error.__cause__.name == "apsw":
            raise CouldNotRun(
                "simulated disks need apsw: .venv/bin/pip install 'keygrove[chaos]'"
            ) from error
        raise WrongUse(str(error)) from error


def _options(engine: EngineName, watch: tuple[str, ...]) -> Options:
    """Of a run that watches these packages besides Keygrove's and the program."""
    for name in watch:
        try:
            is_there = find_spec(name) is not None
        except (ImportError, ValueError):
            is_there = False
        if not is_there:
            raise WrongUse(f"there is no package {name!r} to watch: name one as package.module")
    return Options(engine=engine, watched=(*WATCHED, *watch))


def _say(text: str) -> None:
    """Print data."""
    try:
        click.echo(text)
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise  # whoever read it has had enough
        # What could not be written must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise CouldNotRun(f"cannot write to standard output: {error.strerror}") from error


def _read(path: Path) -> Bundle:
    try:
        return read_bundle(path)
    except OSError as error:
        raise WrongUse(f"{path} is neither a seed nor a bundle: {error.strerror}") from error
    except ChaosError as error:
        raise WrongUse(str(error)) from error


def _refuse_others(bundle: Bundle) -> None:
    """A bundle is of one scenario and one engine: others are not silently left out."""
    context = click.get_current_context()
    its = {"scenario": bundle.scenario, "engine": bundle.engine, "watch": bundle.watched}
    for name, value in its.items():
        is_given = context.get_parameter_source(name) is not ParameterSource.DEFAULT
        if is_given and context.params[name] != value:
            says = value if isinstance(value, str) else " ".join(value) or "nothing"
            raise WrongUse(f"this bundle is of --{name} {says}: leave that option out")


def _end(failed: int, seeds: int, reached: Reach) -> None:
    """Exit as the campaign went."""
    if reached.silent:
        err().print(f"points that never fired: {', '.join(reached.silent)}")
    if failed:
        raise FoundProblems(f"{failed} of {seeds} seeds found something")
    if not reached.is_enough:
        parts = [f"never reached: {', '.join(reached.unmet)}"] if reached.unmet else []
        parts += [f"without any effect: {', '.join(reached.inert)}"] if reached.inert else []
        raise FoundTooLittle("; ".join(parts))


def _brief(verdict: Verdict) -> dict[str, object]:
    left_out = {"checkpoints", "plan"}
    return {
        name: getattr(verdict, name) for name in verdict.__struct_fields__ if name not in left_out
    }


def _replay(seed: int, scenario: str, engine: EngineName, watch: tuple[str, ...]) -> str:
    words = ["keygrove", "chaos", "replay", str(seed)]
    if scenario != SKELETON:
        words += ["--scenario", scenario]
    if engine != "aio":
        words += ["--engine", engine]
    for name in watch:
        words += ["--watch", name]
    return " ".join(words)

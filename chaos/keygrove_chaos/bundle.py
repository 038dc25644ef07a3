"""A run in one file: all it takes to see it again, and what it showed.

A bundle holds the plan itself, not only the seed that drew it: it still plays the same faults
and requests when later code draws others. Its hash is that of one version of the code; on
another the run may well differ, which is said and is no error.
"""

from __future__ import annotations

import hashlib
import platform
import sqlite3
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import msgspec

from keygrove_chaos.campaign import Verdict, judge, scenario_named
from keygrove_chaos.errors import ChaosError
from keygrove_chaos.program import program
from keygrove_chaos.trace import Trace, line
from keygrove_chaos.tripwires import WATCHED
from keygrove_chaos.world import EngineName, Options

SCHEMA: Final = 1
PACKAGES: Final = ("keygrove", "keygrove_actors", "keygrove_protocols", "keygrove_chaos")
LIBRARIES: Final = ("anyio", "apsw", "keygrove", "msgspec", "trio")
SHOWN: Final = 200
"""Events at the end of a run that its bundle shows."""


class _Head(msgspec.Struct, frozen=True):
    """What every schema of a bundle has."""

    schema: int


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A run, and what it showed when the bundle was made."""

    schema: int = SCHEMA
    scenario: str
    seed: Annotated[int, msgspec.Meta(ge=0)]
    engine: EngineName
    violations: tuple[str, ...]
    digest: str
    events: Annotated[int, msgspec.Meta(ge=0)]
    watched: tuple[str, ...] = ()
    """Packages that were watched besides Keygrove's and the scenario's program."""
    code: str
    """A hash of the code that ran: Keygrove's, the scenario's program, and what was watched."""
    versions: dict[str, str]
    plan: msgspec.Raw = msgspec.Raw(b"null")
    last: tuple[str, ...] = ()
    """The events before its end, as people read them."""


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a bundle's run now."""

    verdict: Verdict
    trace: Trace
    warnings: tuple[str, ...]


def make_bundle(
    scenario: str, seed: int, engine: EngineName = "aio", watched: tuple[str, ...] = ()
) -> Bundle:
    """Run a seed, and put it into a bundle.

    Raises:
        UnknownScenarioError: there is no such scenario.
    """
    trace = Trace()
    options = Options(engine=engine, watched=(*WATCHED, *watched))
    verdict = judge(scenario_named(scenario), seed, options, trace)
    return Bundle(
        scenario=scenario,
        seed=seed,
        engine=engine,
        violations=verdict.violations,
        digest=verdict.digest,
        events=verdict.events,
        watched=watched,
        code=code_digest(scenario, watched),
        versions=versions(),
        plan=msgspec.Raw(verdict.plan or b"null"),
        last=tuple(line(event) for event in trace.last(SHOWN)),
    )


def replay(bundle: Bundle, keep: range | None = None) -> Replayed:
    """Run a bundle's plan again; with `keep`, those events are kept in the trace.

    Raises:
        UnknownScenarioError: there is no such scenario any more.
        PlanError: its plan is none of that scenario.
    """
    plan = bytes(bundle.plan)
    options = Options(
        engine=bundle.engine,
        watched=(*WATCHED, *bundle.watched),
        plan=None if plan == b"null" else plan,
    )
    trace = Trace(keep)
    verdict = judge(scenario_named(bundle.scenario), bundle.seed, options, trace)
    return Replayed(verdict=verdict, trace=trace, warnings=tuple(_warnings(bundle, verdict)))


def _warnings(bundle: Bundle, verdict: Verdict) -> Iterable[str]:
    is_same_code = bundle.code == code_digest(bundle.scenario, bundle.watched)
    if not is_same_code:
        yield "it was made with other code: what it shows may be another thing now"
    now = versions()
    for name, was in bundle.versions.items():
        if now.get(name) != was:
            yield f"it was made with {name} {was}, this is {now.get(name, 'without it')}"
    if verdict.digest != bundle.digest:
        yield f"its trace was {bundle.digest}, this run's is {verdict.digest}"


def read_bundle(path: Path) -> Bundle:
    """The bundle in a file.

    Raises:
        ChaosError: it is none, or of a later program.
        OSError: it cannot be read.
    """
    try:
        data = path.read_bytes()
        schema = msgspec.json.decode(data, type=_Head).schema
        if schema == SCHEMA:
            return msgspec.json.decode(data, type=Bundle)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ChaosError(f"{path} is no bundle: {error}") from error
    raise ChaosError(
        f"{path} is a bundle of schema {schema}, this program reads {SCHEMA}: "
        "use the program that made it"
    )


def write_bundle(path: Path, bundle: Bundle) -> None:
    """Write it, for programs and people.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(bundle), indent=1) + b"\n")


def versions() -> dict[str, str]:
    """Of Python and of what matters besides; libraries that are not there are left out."""
    found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def code_digest(scenario: str, watched: Iterable[str] = ()) -> str:
    """A hash of all modules of Keygrove, of the scenario's program, and of what is watched.

    16 hexadecimal digits.
    """
    module = scenario.partition(":")[0]
    roots = {name: _root(name) for name in (*PACKAGES, *program(module), *watched)}
    hashed = hashlib.blake2b(digest_size=8)
    for name, root in roots.items():
        for path in sorted(root.rglob("*.py")) if root.is_dir() else (root,):
            hashed.update(f"{name}/{path.relative_to(root)}\n".encode())
            hashed.update(hashlib.blake2b(path.read_bytes()).digest())
    return hashed.hexdigest()


def _root(module: str) -> Path:
    """The folder of a package or the file of a module."""
    spec = find_spec(module)
    assert spec is not None, f"{module} was imported"
    if spec.origin is None:  # a package without an `__init__`
        assert spec.submodule_search_locations is not None
        return Path(next(iter(spec.submodule_search_locations)))
    path = Path(spec.origin)
    return path if spec.submodule_search_locations is None else path.parent

"""Bugs planted on purpose: which seed finds each?

A mutant is data: in one function of one module, some statements become others. It is planted
while the module is imported, in a process of its own, never on disk. Statements are compared as
syntax trees, so that spaces and comments do not matter; one that is not there any more makes the
mutant stale, which is an error and not a pass.
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import subprocess
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final, cast

import msgspec

from keygrove_chaos.campaign import simulate
from keygrove_chaos.world import EngineName, Options

CHILD_S: Final = 900.0
"""Seconds the search for one mutant may take."""


class StaleMutantError(Exception):
    """The code that a mutant replaces is not there."""


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    """One planted bug. `expects` are the invariants that may find it; `seeds` is its budget."""

    id: str
    says: str
    module: str
    function: str
    old: str
    new: str
    scenario: str
    expects: tuple[str, ...] = ()
    seeds: int = 200
    first_seed: int = 0


class Hunt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a mutant: after how many seeds it was found, and by which violation."""

    id: str
    seeds: int
    found: str = ""
    problem: str = ""

    @property
    def is_killed(self) -> bool:
        """Whether some seed found it, as it should be."""
        return bool(self.found) and not self.problem


def read_mutants(folder: Path) -> list[Mutant]:
    """All mutants of the TOML files in `folder`, each a table of arrays `mutant`.

    Raises:
        msgspec.ValidationError: a file is not what it should be; the message names it.
    """
    found: list[Mutant] = []
    for path in sorted(folder.glob("*.toml")):
        try:
            found += msgspec.toml.decode(path.read_bytes(), type=_File).mutant
        except msgspec.MsgspecError as error:
            raise msgspec.ValidationError(f"{path.name}: {error}") from error
    return found


class _File(msgspec.Struct, forbid_unknown_fields=True):
    mutant: list[Mutant]


def hunt(mutant: Mutant, engine: EngineName = "aio") -> Hunt:
    """Plant the bug in a fresh process, and run seeds until one finds it."""
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "keygrove_chaos.mutants"],
            input=msgspec.json.encode((mutant, engine)),
            capture_output=True,
            check=False,
            timeout=CHILD_S,
        )
    except subprocess.TimeoutExpired:
        return Hunt(id=mutant.id, seeds=0, problem=f"not over after {CHILD_S:g} s")
    if ran.returncode != 0:
        last = ran.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return Hunt(id=mutant.id, seeds=0, problem=" ".join(last) or "the process died")
    return msgspec.json.decode(ran.stdout, type=Hunt)


def mutated(source: str, mutant: Mutant) -> ast.Module:
    """The module with the bug in it.

    Raises:
        StaleMutantError: what is to be replaced is not there, or there more than once.
    """
    tree = ast.parse(source)
    body = _body_of(tree, mutant)
    old, new = ast.parse(mutant.old).body, ast.parse(mutant.new).body
    places = _places(body, [ast.dump(statement) for statement in old])
    if len(places) != 1:
        raise StaleMutantError(
            f"{mutant.id}: its statements occur {len(places)} times in "
            f"{mutant.module}:{mutant.function}: bring it up to date"
        )
    block, at = places[0]
    for statement in new:
        for node in ast.walk(statement):
            ast.copy_location(node, block[at])
    block[at : at + len(old)] = new
    return ast.fix_missing_locations(tree)


def _body_of(tree: ast.Module, mutant: Mutant) -> list[ast.stmt]:
    body: list[ast.stmt] = tree.body
    for name in mutant.function.split(".") if mutant.function else []:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        found = [node for node in body if isinstance(node, kinds) and node.name == name]
        if not found:
            raise StaleMutantError(f"{mutant.id}: {mutant.module} has no {mutant.function}")
        body = found[-1].body
    return body


def _places(body: list[ast.stmt], wanted: Sequence[str]) -> list[tuple[list[ast.stmt], int]]:
    """Where these statements stand in a row, at any depth."""
    blocks = [body]
    for statement in body:
        for node in ast.walk(statement):
            for name in ("body", "orelse", "finalbody"):
                block: Any = getattr(node, name, None)
                if isinstance(block, list) and block:
                    blocks.append(cast(list[ast.stmt], block))
    return [
        (block, at)
        for block in blocks
        for at in range(len(block) - len(wanted) + 1)
        if [ast.dump(one) for one in block[at : at + len(wanted)]] == wanted
    ]


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads one module with its bug, from its source, past all caches."""

    def __init__(self, spec: ModuleSpec, mutant: Mutant) -> None:
        super().__init__(spec.name, spec.origin or "")
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path).decode()
        return compile(mutated(source, self._mutant), self.path, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._mutant.module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None:
            spec.loader = _Loader(spec, self._mutant)
        return spec


def plant(mutant: Mutant) -> None:
    """Have the module imported with its bug, in this process, from now on.

    Raises:
        StaleMutantError: the module is there already, without it.
    """
    if mutant.module in sys.modules:
        raise StaleMutantError(f"{mutant.id}: {mutant.module} is imported already: plant it first")
    sys.meta_path.insert(0, _Finder(mutant))


def _search(mutant: Mutant, engine: EngineName) -> Hunt:
    plant(mutant)
    seeds = range(mutant.first_seed, mutant.first_seed + mutant.seeds)
    for number, verdict in enumerate(
        simulate(mutant.scenario, seeds, options=Options(engine=engine))
    ):
        if not verdict.violations:
            continue
        says = verdict.violations[0]
        is_expected = not mutant.expects or says.startswith(mutant.expects)
        problem = "" if is_expected else f"found by {says!r}, not by {', '.join(mutant.expects)}"
        return Hunt(id=mutant.id, seeds=number + 1, found=says, problem=problem)
    return Hunt(id=mutant.id, seeds=mutant.seeds, problem="no seed found it")


if __name__ == "__main__":
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=tuple[Mutant, EngineName])
    sys.stdout.buffer.write(msgspec.json.encode(_search(*asked)))

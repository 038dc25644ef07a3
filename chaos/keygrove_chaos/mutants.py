"""Bugs planted on purpose: which seed finds each?

A bug is data: in one function of one module, some statements or one expression become others. It
is planted while the module is imported, in a process of its own, never on disk. Code is compared as
syntax trees, so that spaces and comments do not matter; what is not there any more makes the bug
stale, which is an error and not a pass. A mutant is a bug and the scenario that is to find it.
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final, TypeVar, cast

import msgspec

from keygrove_chaos.campaign import simulate
from keygrove_chaos.world import EngineName, Options

N = TypeVar("N", bound=ast.AST)

CHILD_S: Final = 900.0
"""Seconds the search for one mutant may take."""


class StaleMutantError(Exception):
    """The code that a mutant replaces is not there."""


class Bug(msgspec.Struct, frozen=True, kw_only=True):
    """In `function` of `module`, or anywhere in it if that is empty, `old` becomes `new`."""

    id: str
    module: str
    function: str
    old: str
    new: str


class Mutant(Bug, frozen=True, kw_only=True):
    """One bug to be found. `expects` are the invariants that may find it; `seeds` is its budget."""

    says: str
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
        msgspec.ValidationError: a file is not what it should be, or has a mutant of a name that
            is taken; the message names it.
    """
    found: dict[str, Mutant] = {}
    for path in sorted(folder.glob("*.toml")):
        try:
            mutants = msgspec.toml.decode(path.read_bytes(), type=_File).mutant
        except msgspec.MsgspecError as error:
            raise msgspec.ValidationError(f"{path.name}: {error}") from error
        for mutant in mutants:
            if found.setdefault(mutant.id, mutant) is not mutant:
                raise msgspec.ValidationError(f"{path.name}: there are two {mutant.id}: rename one")
    return list(found.values())


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


def mutated(source: str, bug: Bug) -> ast.Module:
    """The module with the bug in it.

    Raises:
        StaleMutantError: what is to be replaced is not there, or there more than once.
    """
    tree = ast.parse(source)
    body = _body_of(tree, bug)
    old, new = _expression(bug.old), _expression(bug.new)
    if old is None or new is None:
        count = _replace_statements(body, ast.parse(bug.old).body, ast.parse(bug.new).body)
    else:
        swap = _Swap(old, new)
        body[:] = [swap.visit(statement) for statement in body]
        count = swap.count
    if count != 1:
        raise StaleMutantError(
            f"{bug.id}: its code occurs {count} times in "
            f"{bug.module}:{bug.function}: bring it up to date"
        )
    return ast.fix_missing_locations(tree)


def _expression(text: str) -> ast.expr | None:
    """What `text` is, if it is an expression and not a statement of another kind."""
    match ast.parse(text).body:
        case [ast.Expr(value)]:
            return value
        case _:
            return None


class _Swap(ast.NodeTransformer):
    """Puts one expression in the place of another, and counts the places."""

    def __init__(self, old: ast.expr, new: ast.expr) -> None:
        self.count = 0
        self._old = ast.dump(old)
        self._new = new

    def visit(self, node: ast.AST) -> Any:
        """The new expression, or the node with what it has instead of the old one."""
        if isinstance(node, ast.expr) and ast.dump(node) == self._old:
            self.count += 1
            return _located([self._new], node)[0]
        return self.generic_visit(node)


def _replace_statements(body: list[ast.stmt], old: list[ast.stmt], new: list[ast.stmt]) -> int:
    """Put `new` in the place of `old` if there is one; how many there are."""
    places = _places(body, [ast.dump(statement) for statement in old])
    if len(places) == 1:
        block, at = places[0]
        block[at : at + len(old)] = _located(new, block[at])
    return len(places)


def _located(nodes: list[N], place: ast.AST) -> list[N]:
    for root in nodes:
        for node in ast.walk(root):
            ast.copy_location(node, place)
    return nodes


def _body_of(tree: ast.Module, bug: Bug) -> list[ast.stmt]:
    body: list[ast.stmt] = tree.body
    for name in bug.function.split(".") if bug.function else []:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        found = [node for node in body if isinstance(node, kinds) and node.name == name]
        if not found:
            raise StaleMutantError(f"{bug.id}: {bug.module} has no {bug.function}")
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

    def __init__(self, spec: ModuleSpec, bug: Bug) -> None:
        super().__init__(spec.name, spec.origin or "")
        self._bug = bug

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path).decode()
        return compile(mutated(source, self._bug), self.path, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, bug: Bug) -> None:
        self._bug = bug

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._bug.module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None:
            spec.loader = _Loader(spec, self._bug)
        return spec


def plant(bug: Bug) -> None:
    """Have the module imported with its bug, in this process, from now on.

    Raises:
        StaleMutantError: the module is there already, without it.
    """
    if bug.module in sys.modules:
        raise StaleMutantError(f"{bug.id}: {bug.module} is imported already: plant it first")
    sys.meta_path.insert(0, _Finder(bug))


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
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a scenario prints is no answer
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=tuple[Mutant, EngineName])
    answers.write(msgspec.json.encode(_search(*asked)))
    answers.close()

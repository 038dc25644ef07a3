"""Planted bugs: put where they belong, found by a seed, and stale when the code moved on."""

import ast
import json
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from keygrove_chaos.mutants import Mutant, StaleMutantError, hunt, mutated, read_mutants

SOURCE = """
class Shop:
    def sell(self, price: int) -> int:
        # what it costs
        if price < 0:
            raise ValueError("negative")
        self.sold += 1
        return price

def other() -> int:
    return 1
"""
MUTANT = Mutant(
    id="M-00",
    says="nothing is sold",
    module="tests.unit.chaos.programs",
    function="Shop.sell",
    old="self.sold += 1",
    new="pass",
    scenario="tests.unit.chaos.scenarios:counts",
)


def test_statements_are_replaced_whatever_stands_around_them() -> None:
    text = ast.unparse(mutated(SOURCE, MUTANT))
    assert "sold" not in text
    assert "return price" in text
    two = msgspec.structs.replace(MUTANT, old="self.sold+=1 # x\nreturn price", new="return 0")
    assert ast.unparse(mutated(SOURCE, two)).count("return 0") == 1
    inner = msgspec.structs.replace(MUTANT, old="raise ValueError('negative')", new="price = 0")
    assert "price = 0" in ast.unparse(mutated(SOURCE, inner))


def test_an_expression_is_replaced_within_its_statement() -> None:
    less = msgspec.structs.replace(MUTANT, old="price<0", new="price <= 0")
    assert "if price <= 0:" in ast.unparse(mutated(SOURCE, less))
    anywhere = msgspec.structs.replace(less, function="")
    assert "if price <= 0:" in ast.unparse(mutated(SOURCE, anywhere))


@pytest.mark.parametrize(
    "change",
    [
        {"old": "price < 1", "new": "0"},
        {"old": "self.sold += 2"},
        {"function": "Shop.buy"},
        {"function": "Market"},
        {"old": ""},
    ],
)
def test_what_is_not_there_makes_a_mutant_stale(change: dict[str, str]) -> None:
    with pytest.raises(StaleMutantError, match="M-00"):
        mutated(SOURCE, msgspec.structs.replace(MUTANT, **change))


LOSES = msgspec.structs.replace(
    MUTANT,
    id="M-01",
    function="gossip.main.deliver",
    old="known[receiver].setdefault(item)",
    new="pass",
    scenario="tests.unit.chaos.scenarios:tells",
)


def test_a_planted_bug_is_found_by_a_seed() -> None:
    found = hunt(LOSES)
    assert found.is_killed, found
    assert found.found == "I-04: a number was not told"
    assert found.seeds <= 3


@pytest.mark.slow
def test_a_bug_found_by_another_invariant_is_not_killed() -> None:
    found = hunt(msgspec.structs.replace(LOSES, expects=("I-99",)))
    assert not found.is_killed
    assert "I-99" in found.problem


@pytest.mark.slow
def test_a_change_that_harms_nothing_survives() -> None:
    harmless = msgspec.structs.replace(LOSES, new="known[receiver].setdefault(item, None)", seeds=3)
    assert hunt(harmless).problem == "no seed found it"


def test_a_stale_mutant_is_no_pass() -> None:
    found = hunt(msgspec.structs.replace(LOSES, old="gone()"))
    assert not found.is_killed
    assert "M-01" in found.problem


def test_mutants_are_read_from_files_and_a_bad_file_is_named(tmp_path: Path) -> None:
    fields = [f"{name} = {json.dumps(value)}" for name, value in msgspec.to_builtins(LOSES).items()]
    (tmp_path / "a.toml").write_text("\n".join(["[[mutant]]", *fields]))
    assert read_mutants(tmp_path) == [LOSES]
    (tmp_path / "b.toml").write_text((tmp_path / "a.toml").read_text())
    with pytest.raises(msgspec.ValidationError, match=r"b\.toml: there are two M-01: rename one"):
        read_mutants(tmp_path)
    (tmp_path / "b.toml").write_text("[[mutant]]\nid = 3\n")
    with pytest.raises(msgspec.ValidationError, match=r"b\.toml"):
        read_mutants(tmp_path)


REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "mutant", read_mutants(REPOSITORY / "tests/simulation/mutants"), ids=lambda one: one.id
)
def test_c091_no_mutant_is_stale(mutant: Mutant) -> None:
    spec = find_spec(mutant.module)
    assert spec is not None
    assert spec.origin is not None
    compile(mutated(Path(spec.origin).read_text(), mutant), spec.origin, "exec")

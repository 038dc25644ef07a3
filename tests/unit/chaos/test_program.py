"""What belongs to a scenario's program, and is watched while it runs."""

import importlib
import sys
from collections.abc import Callable, Iterator
from functools import partial, wraps
from pathlib import Path
from typing import Any

import pytest

from keygrove_chaos import skeleton
from keygrove_chaos.campaign import scenario_named
from keygrove_chaos.program import program, program_of
from keygrove_chaos.running import run
from keygrove_chaos.tripwires import NondeterminismError

SERVICE = "import time\n\nasync def scenario(world):\n    time.monotonic()\n"
PLAIN = (
    "import beside_of_two\n\nasync def scenario(world):\n    await beside_of_two.scenario(world)\n"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of programs, whose modules are forgotten in the end."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def written(path: Path, text: str = "") -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def test_of_a_module_in_a_package_it_is_the_package(folder: Path) -> None:
    written(folder / "shop_of_two" / "__init__.py")
    written(folder / "shop_of_two" / "storms.py")
    written(folder / "beside_of_two.py")
    assert program("shop_of_two.storms") == ("shop_of_two",)


def test_of_a_module_that_stands_alone_it_is_what_stands_beside_it(folder: Path) -> None:
    written(folder / "storms_of_two.py")
    written(folder / "beside_of_two.py")
    written(folder / "shop_of_two" / "__init__.py")
    written(folder / "data" / "numbers.txt")
    assert program("storms_of_two") == ("storms_of_two", "beside_of_two", "shop_of_two")


def test_of_what_is_installed_it_is_that_alone() -> None:
    assert program("msgspec.json") == ("msgspec",)
    assert program("this") == ("this",)


def test_the_simulator_is_not_part_of_what_it_simulates() -> None:
    assert program(skeleton.__name__) == ()


def test_it_is_that_of_the_function_behind_wrappers_and_partials() -> None:
    async def main(_: Any, number: int = 1) -> int:
        return number

    @wraps(main)
    def wrapped(*_: Any) -> Any:
        raise NotImplementedError

    for one in (main, wrapped, partial(main, number=2)):
        assert program_of(one) == ("tests",)


@pytest.mark.parametrize("name", ["storms_of_two", "beside_of_two", "shop_of_two.storms"])
def test_c004_a_scenario_and_what_it_imports_of_its_program_are_watched(
    folder: Path, name: str
) -> None:
    written(folder / "storms_of_two.py", PLAIN)
    written(folder / "beside_of_two.py", SERVICE)
    written(folder / "shop_of_two" / "__init__.py")
    written(folder / "shop_of_two" / "storms.py", SERVICE)
    importlib.invalidate_caches()
    main: Callable[[Any], Any] = scenario_named(f"{name}:scenario")
    with pytest.raises(NondeterminismError, match=r"\.py:4: take time from the event loop"):
        run(main, seed=1)

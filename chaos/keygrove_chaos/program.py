"""Which modules are a scenario's own: the program that is simulated.

Of a module in a package that is the package. Of one that stands alone it is what stands beside
it, as a program of several files has it; of one that is installed, itself.
"""

from __future__ import annotations

import inspect
import sys
import sysconfig
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

SIMULATOR: Final = "keygrove_chaos"
"""Its own scenarios simulate Keygrove, which is watched anyway."""
_INSTALLED: Final = ("stdlib", "platstdlib", "purelib", "platlib")


def program_of(main: Any) -> tuple[str, ...]:
    """The program of a coroutine function: its packages and modules, by name."""
    main = inspect.unwrap(main)
    if isinstance(main, partial):
        return program_of(main.func)  # pyright: ignore[reportUnknownMemberType] - whatever it is
    return program(getattr(main, "__module__", ""))


def program(module: str) -> tuple[str, ...]:
    """The program of a module; what the module itself belongs to comes first."""
    top = module.partition(".")[0]
    if top in {"", SIMULATOR}:
        return ()
    file = _file(top)
    if file is None or file.stem == "__init__":
        return (top,)
    if str(file.parent) in {sysconfig.get_path(name) for name in _INSTALLED}:
        return (top,)
    modules = {path.stem for path in file.parent.glob("*.py") if path.stem != "__main__"}
    packages = {path.parent.name for path in file.parent.glob("*/__init__.py")}
    return (top, *sorted((modules | packages) - {top}))


def _file(name: str) -> Path | None:
    """Where it comes from; None if that is no file, as of a package without an `__init__`."""
    if name in sys.modules:
        origin = getattr(sys.modules[name], "__file__", None)
    else:
        spec = find_spec(name)
        origin = spec.origin if spec is not None else None
    return Path(origin).absolute() if origin else None

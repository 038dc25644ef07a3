"""Peers that may not be installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from keygrove_bench.actors.sides import NotRunError


def imported(name: str) -> Any:
    """A peer's package. It is named here and not in an import, as checkers may not have it.

    Raises:
        NotRunError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise NotRunError(f"{name} is not installed: pip install keygrove[bench]") from error

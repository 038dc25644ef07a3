"""`python -m keygrove_bench.actors.worker SIDE PROGRAM ARGUMENT…`: a side written in Python."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Coroutine
from contextlib import redirect_stdout
from importlib import import_module
from typing import Any, Final, TypeAlias

import uvloop

from keygrove_bench.actors.sides import Figures, NotRunError

Program: TypeAlias = Callable[..., Coroutine[Any, Any, Figures]]

_HOMES: Final = {
    "cast": "messages",
    "call": "messages",
    "direct": "messages",
    "callers": "messages",
    "ring": "messages",
    "flood": "overload",
    "overload": "overload",
    "idle": "trees",
    "spawn": "trees",
    "restart": "trees",
    "scale": "trees",
    "port": "workers",
    "port-restart": "workers",
}
"""The module with our own form of each program."""


def main(side: str, name: str, *arguments: str) -> None:
    """Answer each line "go" with one round's figures; what a peer prints is not an answer."""
    answers = sys.stdout
    values = [int(word) if word.isdigit() else word for word in arguments]
    for line in sys.stdin:
        if line != "go\n":
            break
        gc.collect()
        try:
            with redirect_stdout(sys.stderr):
                figures = _run(side, _program(side, name), values)
        except NotRunError as error:
            answer = f"not-run {error}"
        else:
            answer = " ".join(f"{key} {value:.6g}" for key, value in figures.items())
        answers.write(answer + "\n")
        answers.flush()


def _program(side: str, name: str) -> Program:
    """A peer's programs are all in the module of its name."""
    home = _HOMES[name] if side in {"uvloop", "asyncio"} else f"peer_{side}"
    module = import_module(f"keygrove_bench.actors.{home}")
    program: Program = module.PROGRAMS[name]
    return program


def _run(side: str, program: Program, values: list[int | str]) -> Figures:
    factory = asyncio.new_event_loop if side == "asyncio" else uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(program(*values))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Tripwires: product code that reaches past its ports, named by file and line.

While they are up, the functions that read real time, draw real chance, or make threads, sockets,
files and processes look at who calls them. A caller in a watched package gets a
`NondeterminismError`; everyone else, trio and asyncio included, is served as always. What a
module bound by `from time import monotonic` before is out of reach: linters forbid that.
"""

from __future__ import annotations

import asyncio
import builtins
import datetime
import os
import random
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final, TypeAlias

import trio

Look: TypeAlias = Callable[[str], None]
"""Looks at the caller of whoever calls it, by the name of what was called."""

WATCHED: Final = ("keygrove", "keygrove_actors", "keygrove_protocols")
"""The packages that make up the product."""

_FUNCTIONS: Final[tuple[tuple[object, str], ...]] = (
    *((time, name) for name in ("time", "time_ns", "monotonic", "monotonic_ns")),
    *((time, name) for name in ("perf_counter", "perf_counter_ns", "process_time", "sleep")),
    *((random, name) for name in ("random", "randint", "randrange", "choice", "shuffle")),
    *((random, name) for name in ("uniform", "sample", "getrandbits", "randbytes", "seed")),
    *((secrets, name) for name in ("token_bytes", "token_hex", "token_urlsafe", "randbelow")),
    *((os, name) for name in ("urandom", "getrandom", "open", "fork", "system", "posix_spawn")),
    *((uuid, name) for name in ("uuid1", "uuid4")),
    *((tempfile, name) for name in ("mkdtemp", "mkstemp", "TemporaryFile", "NamedTemporaryFile")),
    *((socket, name) for name in ("socket", "socketpair", "create_connection", "getaddrinfo")),
    (subprocess, "Popen"),
    (subprocess, "run"),
    (threading.Thread, "start"),
    (trio.to_thread, "run_sync"),
    (trio, "open_file"),
    (asyncio, "to_thread"),
    (builtins, "open"),
)


class NondeterminismError(Exception):
    """Code that must only see the simulated world touched the real one."""

    def __init__(self, what: str, file: str, line: int) -> None:
        super().__init__(f"{what} called at {file}:{line}: ask a port for it")
        self.what = what
        self.file = file
        self.line = line


@contextmanager
def tripwires(
    packages: Sequence[str] = WATCHED,
) -> Generator[list[NondeterminismError], None, None]:
    """Keep the wires up while the block runs; yields the errors that they raised.

    A module belongs to a package by its name, so code of programs and tests goes free.
    """
    hits: list[NondeterminismError] = []

    def look(what: str) -> None:
        frame = sys._getframe(2)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - the documented way to one's caller
        module: str = frame.f_globals.get("__name__", "")
        if any(module == one or module.startswith(f"{one}.") for one in packages):
            hits.append(NondeterminismError(what, frame.f_code.co_filename, frame.f_lineno))
            raise hits[-1]

    with ExitStack() as stack:
        for owner, name in _FUNCTIONS:
            if hasattr(owner, name):
                stack.enter_context(_replaced(owner, name, _wired(owner, name, look)))
        stack.enter_context(_replaced(datetime, "datetime", _dated(look)))
        yield hits


@contextmanager
def _replaced(owner: Any, name: str, by: object) -> Generator[None, None, None]:
    before = owner.__dict__[name]
    setattr(owner, name, by)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _wired(owner: Any, name: str, look: Look) -> Any:
    real: Any = owner.__dict__[name]
    what = f"{getattr(owner, '__qualname__', getattr(owner, '__name__', owner))}.{name}"
    if isinstance(real, type):
        return _WiredClass(what, real, look)

    def wire(*args: Any, **options: Any) -> Any:
        look(what)
        return real(*args, **options)

    return wire


class _WiredClass:
    """Stands in for a class in its module: makes instances, and answers `isinstance`."""

    def __init__(self, what: str, real: type[Any], look: Look) -> None:
        self._what = what
        self._real = real
        self._look = look

    def __call__(self, *args: Any, **options: Any) -> Any:
        self._look(self._what)
        return self._real(*args, **options)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._real)

    def __subclasscheck__(self, kind: type[Any]) -> bool:
        return issubclass(kind, self._real)

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type[Any], ...]:
        return (self._real,)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _dated(look: Look) -> type[datetime.datetime]:
    real = datetime.datetime

    class Kind(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, real)

    class Wired(real, metaclass=Kind):  # type: ignore[valid-type,misc]
        """`datetime.datetime`, whose present is not to be asked for."""

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            look("datetime.now")
            return real.now(tz)

        @classmethod
        def utcnow(cls) -> Any:
            look("datetime.utcnow")
            return real.now(datetime.UTC).replace(tzinfo=None)

        @classmethod
        def today(cls) -> Any:
            look("datetime.today")
            return real.now()

    return Wired

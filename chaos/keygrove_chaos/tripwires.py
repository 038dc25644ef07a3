"""Tripwires: product code that reaches past its ports, named by file and line.

While they are up, the functions that read real time, draw real chance, or make threads, sockets,
files and processes look at who calls them. A caller in a watched package gets a
`NondeterminismError`; everyone else, trio and asyncio included, is served as always. What watched
modules bound before, by `from time import monotonic`, is bound anew for as long.
"""

from __future__ import annotations

import asyncio
import builtins
import datetime
import io
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
from functools import partial
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Final, TypeAlias

import anyio
import anyio.to_thread
import trio

from keygrove_chaos.errors import RunError, is_of_loop

Look: TypeAlias = Callable[[str], None]
"""Looks at the caller of whoever calls it, by the name of what was called."""

WATCHED: Final = ("keygrove", "keygrove_actors", "keygrove_protocols")
"""The packages that make up the product."""

_TIME: Final = "take time from the event loop, or a clock as an argument"
_CHANCE: Final = "take chance as an argument: World.stream gives it"
THREADS: Final = "there is one thread: call the function itself"
_STREAMS: Final = "take streams as an argument: a simulated Network gives them"
_FILES: Final = "take files as an argument, or what they say: a simulated Disk gives them"
_PROCESSES: Final = "there is one process: take what others do as an argument"

_FUNCTIONS: Final[tuple[tuple[object, str, str], ...]] = (
    *((time, name, _TIME) for name in ("time", "time_ns", "monotonic", "monotonic_ns")),
    *((time, name, _TIME) for name in ("perf_counter", "perf_counter_ns", "process_time")),
    *((time, name, _TIME) for name in ("clock_gettime", "clock_gettime_ns", "sleep")),
    *((random, name, _CHANCE) for name in random.__all__ if name.islower()),
    *((secrets, name, _CHANCE) for name in ("token_bytes", "token_hex", "token_urlsafe")),
    *((secrets, name, _CHANCE) for name in ("choice", "randbelow", "randbits")),
    *((os, name, _CHANCE) for name in ("urandom", "getrandom")),
    *((uuid, name, _CHANCE) for name in ("uuid1", "uuid4")),
    (threading.Thread, "start", THREADS),
    (asyncio, "to_thread", THREADS),
    *((socket, name, _STREAMS) for name in ("socket", "socketpair", "create_connection")),
    *((socket, name, _STREAMS) for name in ("create_server", "getaddrinfo", "gethostbyname")),
    *((anyio, name, _STREAMS) for name in ("connect_tcp", "create_tcp_listener", "getaddrinfo")),
    *((anyio, name, _STREAMS) for name in ("connect_unix", "create_unix_listener")),
    *((anyio, name, _STREAMS) for name in ("create_udp_socket", "create_connected_udp_socket")),
    *((trio, name, _STREAMS) for name in ("open_tcp_stream", "open_tcp_listeners", "serve_tcp")),
    *((owner, "open", _FILES) for owner in (builtins, io, os)),
    *((owner, "open", _FILES) for owner in (Path, anyio.Path, trio.Path)),
    *((owner, "read_bytes", _FILES) for owner in (Path, anyio.Path, trio.Path)),
    *((owner, "read_text", _FILES) for owner in (Path, anyio.Path, trio.Path)),
    *((owner, "write_bytes", _FILES) for owner in (Path, anyio.Path, trio.Path)),
    *((owner, "write_text", _FILES) for owner in (Path, anyio.Path, trio.Path)),
    *((owner, "open_file", _FILES) for owner in (trio, anyio)),
    *((tempfile, name, _FILES) for name in ("mkdtemp", "mkstemp", "TemporaryDirectory")),
    *((tempfile, name, _FILES) for name in ("TemporaryFile", "NamedTemporaryFile")),
    *((os, name, _PROCESSES) for name in ("fork", "system", "popen", "posix_spawn")),
    *((subprocess, name, _PROCESSES) for name in ("Popen", "run", "check_output", "check_call")),
    *((owner, "run_process", _PROCESSES) for owner in (anyio, trio)),
    (anyio, "open_process", _PROCESSES),
)

_FOR_NOBODY: Final[tuple[tuple[object, str, str], ...]] = (
    *((owner, "run_sync", THREADS) for owner in (trio.to_thread, anyio.to_thread)),
    (asyncio.BaseEventLoop, "run_in_executor", THREADS),
)
"""What no world can do, whoever asks: virtual time does not wait for threads."""


class NondeterminismError(RunError):
    """Code that must only see the simulated world touched the real one."""

    def __init__(self, what: str, file: str, line: int, advice: str) -> None:
        super().__init__(f"{what} called at {file}:{line}: {advice}")
        self.what = what
        self.file = file
        self.line = line


def blamed(what: str, frame: FrameType, advice: str) -> NondeterminismError:
    """The error of the innermost caller that is not of an event loop, or of its threads."""
    at: FrameType | None = frame
    while at is not None and is_of_loop(at):
        at = at.f_back
    at = at or frame
    return NondeterminismError(what, at.f_code.co_filename, at.f_lineno, advice)


@contextmanager
def tripwires(
    packages: Sequence[str] = WATCHED,
) -> Generator[list[NondeterminismError], None, None]:
    """Keep the wires up while the block runs; yields the errors that they raised.

    A module belongs to a package by its name; modules of others go free, but for threads.
    """
    hits: list[NondeterminismError] = []
    is_up = True

    def look(what: str, advice: str, *, whoever: bool = False) -> None:
        frame = sys._getframe(2)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - the documented way to one's caller
        module: str = frame.f_globals.get("__name__", "")
        if is_up and (whoever or _is_of(packages, module)):
            hits.append(blamed(what, frame, advice))
            raise hits[-1]

    wires: dict[int, object] = {}
    with ExitStack() as stack:
        for owner, name, advice in (*_FUNCTIONS, *_FOR_NOBODY):
            if hasattr(owner, name):
                whoever = (owner, name, advice) in _FOR_NOBODY
                wire = _wired(owner, name, partial(look, advice=advice, whoever=whoever))
                wires[id(getattr(owner, name))] = wire
                stack.enter_context(replaced(owner, name, wire))
        wires[id(datetime.datetime)] = dated = _dated(partial(look, advice=_TIME))
        stack.enter_context(replaced(datetime, "datetime", dated))
        for module, name, value in _bound(packages, wires):
            stack.enter_context(replaced(module, name, value))
        try:
            yield hits
        finally:
            is_up = False  # a module that was imported meanwhile keeps its wires


def _is_of(packages: Sequence[str], module: str) -> bool:
    return any(module == one or module.startswith(f"{one}.") for one in packages)


def _bound(
    packages: Sequence[str], wires: dict[int, object]
) -> list[tuple[ModuleType, str, object]]:
    """Where watched modules have names of their own for what has a wire, by its identity."""
    modules = [module for name, module in list(sys.modules.items()) if _is_of(packages, name)]
    return [
        (module, name, wires[id(value)])
        for module in modules
        for name, value in vars(module).items()
        if id(value) in wires
    ]


@contextmanager
def replaced(owner: Any, name: str, by: object) -> Generator[None, None, None]:
    """Have another thing in the place of an attribute, while the block runs."""
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

"""The statements tried on pykka."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

from keygrove_bench.actors.optional import imported
from keygrove_bench.actors.verdicts import Probe

pykka: Any = imported("pykka")

WAIT_S: Final = 0.2
_VARIABLE: ContextVar[str] = ContextVar("probe", default="unset")


def actor(**methods: Callable[..., Any]) -> Any:
    """Start an actor whose class has these methods."""
    made: Any = type("Probe", (pykka.ThreadingActor,), {**methods, "use_daemon_thread": True})
    return made.start()


def _echo(_: Any, message: Any) -> Any:
    if isinstance(message, Exception):
        raise message
    if isinstance(message, float):
        time.sleep(message)
    return message


def _fails(function: Callable[[], Any], within: float = WAIT_S) -> str:
    """The name of the exception that `function` raises in time; "" if it raises none."""
    started = time.monotonic()
    try:
        function()
    except Exception as error:  # noqa: BLE001 - its name is the answer
        assert time.monotonic() - started < within, "only when its timeout is over"
        return type(error).__name__
    return ""


def exit_overtakes() -> None:
    """A-066."""
    seen: list[Any] = []

    def received(self: Any, message: Any) -> None:
        seen.append(_echo(self, message))

    ref = actor(on_receive=received)
    for message in (WAIT_S, 1, 2):
        ref.tell(message)
    ref.stop()
    assert 2 not in seen, "stop waits behind the mail"


def address_of_one_life() -> None:
    """A-083."""
    ref = actor(on_receive=_echo)
    ref.stop()
    actor(on_receive=_echo).stop()
    assert not ref.is_alive()


def default_timeout() -> None:
    """A-090."""
    ask = inspect.signature(pykka.ActorRef.ask)
    assert ask.parameters["timeout"].default is not None, "none unless given"


def dead_at_once() -> None:
    """A-091."""
    ref = actor(on_receive=_echo)
    ref.stop()
    assert _fails(lambda: ref.ask(1)) == "ActorDeadError"


def pending_at_death() -> None:
    """A-092."""

    def received(self: Any, message: Any) -> None:
        time.sleep(WAIT_S / 4)
        raise SystemExit(message)

    ref = actor(on_receive=received)
    assert _fails(lambda: ref.ask(1, timeout=1), 1.0) not in {"", "Timeout"}, "only by its timeout"


def calling_self() -> None:
    """A-093."""

    def received(self: Any, message: Any) -> Any:
        return self.actor_ref.ask(message, timeout=WAIT_S * 4) if message else 0

    name = _fails(lambda: actor(on_receive=received).ask(1, timeout=WAIT_S * 8))
    assert name not in {"", "Timeout"}


def late_reply() -> None:
    """A-094."""
    ref = actor(on_receive=_echo)
    assert _fails(lambda: ref.ask(WAIT_S, timeout=WAIT_S / 4)) == "Timeout"
    assert ref.ask(7, timeout=1) == 7
    ref.stop()


def deferred() -> None:
    """A-098."""
    kept: list[Any] = []

    def received(_: Any, message: Any) -> Any:
        kept.append(pykka.ThreadingFuture())
        return kept[0] if message else None

    ref = actor(on_receive=received)
    answer = ref.ask(1, block=False)
    threading.Timer(WAIT_S / 4, lambda: kept[0].set(5)).start()
    found = answer.get(timeout=1)
    ref.stop()
    assert found == 5, "the caller gets the future, not the reply"


def crash_ends() -> None:
    """A-099."""
    ref = actor(on_receive=_echo)
    _fails(lambda: ref.ask(ValueError("crash")))
    alive = ref.is_alive()
    ref.stop()
    assert not alive, "an exception in a call is an answer, and the actor lives on"


def one_at_a_time() -> None:
    """A-110."""
    running: list[int] = []
    most: list[int] = []

    def received(_: Any, message: Any) -> None:
        running.append(message)
        time.sleep(0.01)
        most.append(len(running))
        running.pop()

    ref = actor(on_receive=received)
    for message in range(5):
        ref.tell(message)
    ref.stop()
    assert max(most) == 1


def terminate_runs() -> None:
    """A-114."""
    ended: list[str] = []

    def stopped(_: Any) -> None:
        ended.append("stop")

    ref = actor(on_receive=_echo, on_stop=stopped)
    ref.stop()
    assert ended == ["stop"]


def dead_letters() -> None:
    """A-150."""
    ref = actor(on_receive=_echo)
    ref.stop()
    assert not _fails(lambda: ref.tell(1)), "the sender gets an exception"


def bounded() -> None:
    """A-160."""
    ref = actor(on_receive=_echo)
    ref.tell(WAIT_S)
    refused = any(_fails(lambda: ref.tell(1), 10) for _ in range(100_000))
    assert refused, "100,000 messages wait"


def context() -> None:
    """A-176."""
    _VARIABLE.set("sender")
    ref = actor(on_receive=lambda *_: _VARIABLE.get())
    found = ref.ask(1)
    ref.stop()
    assert found == "unset", "they do"


NAMES: Final = tuple(
    name for part in (pykka, pykka.ThreadingActor, pykka.ActorRef) for name in dir(part)
)

_NO_SUPERVISOR = ("supervis", "strategy", "restart")

ABSENT: Final[Mapping[str, tuple[str, ...]]] = {
    **{
        f"A-{number:03}": _NO_SUPERVISOR
        for number in (1, 2, 3, 6, 20, 21, 22, 23, 24, 25, 28, 31, 35, 41, 42, 43, 44, 50, 74)
    },
    "A-061": ("exit", "trap"),
    "A-062": ("kill", "trap"),
    "A-067": ("link",),
    "A-068": ("link",),
    "A-069": ("monitor",),
    "A-070": ("monitor",),
    "A-080": ("whereis", "by_name"),
    "A-085": ("group", "join"),
    "A-120": ("timer", "after", "delay"),
    "A-131": ("state",),
    "A-140": ("suspend", "resume"),
}

PROBES: Final[Mapping[str, Probe]] = {
    "A-066": exit_overtakes,
    "A-083": address_of_one_life,
    "A-090": default_timeout,
    "A-091": dead_at_once,
    "A-092": pending_at_death,
    "A-093": calling_self,
    "A-094": late_reply,
    "A-098": deferred,
    "A-099": crash_ends,
    "A-110": one_at_a_time,
    "A-114": terminate_runs,
    "A-150": dead_letters,
    "A-160": bounded,
    "A-176": context,
}

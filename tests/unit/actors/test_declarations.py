"""What is refused or warned of when message and actor classes are made."""

from __future__ import annotations

import enum
import warnings
from collections.abc import Callable
from types import new_class
from typing import Any

import msgspec
import pytest

from keygrove_actors import Actor, Call, Cast, SpecWarning, StateActor, enters, on, on_cast, when


class BoxApi:
    pass


class Tick(Cast[BoxApi], frozen=True, tag=True):
    pass


class Open(Call[BoxApi, None], frozen=True, tag=True):
    pass


def test_a104_a_message_that_can_be_changed_is_refused() -> None:
    class Loose(Cast[BoxApi], frozen=False, tag=True):  # type: ignore[misc] # pyright: ignore[reportGeneralTypeIssues]
        pass

    with pytest.raises(TypeError, match="declare it frozen=True"):

        class Takes(Actor[BoxApi]):  # pyright: ignore[reportUnusedClass]
            @on_cast(Loose)
            def loose(self, message: Loose) -> None: ...


@pytest.mark.parametrize(
    "hint", [list[int], "dict[str, int]", set, bytearray | None, tuple[list[int], ...]]
)
def test_a104_a_message_with_fields_that_both_sides_could_change_is_warned_of(hint: Any) -> None:
    kind: Any = msgspec.defstruct("Shares", [("items", hint)], bases=(Cast,), frozen=True)
    with pytest.warns(SpecWarning, match="Shares shares items between sender and receiver"):
        on_cast(kind)


@pytest.mark.parametrize("hint", [tuple[int, ...], "Unknown", bytes, Callable[[list[int]], None]])
def test_a104_a_message_with_fields_that_nobody_can_change_is_not(hint: Any) -> None:
    kind: Any = msgspec.defstruct("Fine", [("items", hint)], bases=(Cast,), frozen=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        on_cast(kind)


def test_a_handler_must_take_what_it_handles() -> None:
    with pytest.raises(TypeError, match=r"handles Tick but takes Open"):

        class Wrong(Actor[BoxApi]):  # pyright: ignore[reportUnusedClass]
            @on_cast(Tick)
            def tick(self, message: Open) -> None: ...


def take(self: Any, message: Any) -> None: ...


def greedy_take(self: Any) -> None: ...


MISUSED: dict[str, tuple[Any, Any]] = {
    "Tick is not for @on, which is for a Call: use @on_cast": (on, Tick),
    "Open is not for @on_cast, which is for a Cast: use @on": (on_cast, Open),
    r"@on stands before take without a message: write @on\(Message\)": (on, take),
    r"@on_cast is given Tick\(\): give the class": (on_cast, Tick()),
    r"@on is given BoxApi: derive it, a call is Call\[Protocol, Reply\]": (on, BoxApi),
    r"@on_cast is given int: derive it, a cast is Cast\[Protocol\]": (on_cast, int),
}


@pytest.mark.parametrize(("told", "misuse"), MISUSED.items())
def test_a_mark_with_anything_but_its_kind_of_message_is_refused(
    told: str, misuse: tuple[Any, Any]
) -> None:
    mark, kind = misuse
    with pytest.raises(TypeError, match=told):
        mark(kind)


def test_a_handler_that_does_not_say_what_it_takes_is_refused() -> None:
    told = r"take does not say what it takes: write def take\(self, message: Tick\)"
    with pytest.raises(TypeError, match=told):

        class Mute(Actor[BoxApi]):  # pyright: ignore[reportUnusedClass]
            @on_cast(Tick)
            def take(self, message) -> None: ...  # type: ignore[no-untyped-def] # pyright: ignore

    with pytest.raises(TypeError, match=told):

        class Deaf(Actor[BoxApi]):  # pyright: ignore[reportUnusedClass]
            @on_cast(Tick)  # type: ignore[arg-type] # pyright: ignore
            def take(self) -> None: ...


def test_two_handlers_for_one_message_are_refused() -> None:
    with pytest.raises(TypeError, match="two handlers for Tick"):

        class Twice(Actor[BoxApi]):  # pyright: ignore[reportUnusedClass]
            @on_cast(Tick)
            def one(self, message: Tick) -> None: ...

            @on_cast(Tick)
            def two(self, message: Tick) -> None: ...


def define(base: Any, attributes: dict[str, Any]) -> None:
    """A class of actors with these attributes, as a program without checkers would write it."""
    new_class("Odd", (base,), exec_body=lambda namespace: namespace.update(attributes))


def bare(self: Any) -> None: ...


def one(self: Any, given: Any) -> None: ...


def greedy(self: Any, given: Any, more: Any) -> None: ...


async def slow(self: Any) -> None: ...


def yields(self: Any, given: Any) -> Any:
    yield given


async def yields_later(self: Any, given: Any) -> Any:
    yield given


UNFIT: dict[str, dict[str, Any]] = {
    r"Odd.init does not take what it is given: write def init\(self, ctx: Ctx\)": {"init": bare},
    "write def terminate.self, reason: Reason.": {"terminate": greedy},
    "write def on_info.self, message: Any.": {"on_info": greedy},
    "write def on_continue.self, value: Any.": {"on_continue": bare},
    "write def on_down.self, down: Down.": {"on_down": 5},
    "write def on_hibernate.self.$": {"on_hibernate": one},
    "Odd.on_hibernate is called at once and cannot await: use def": {"on_hibernate": slow},
    "Odd.init yields, .* return it": {"init": yields},
    "Odd.on_exit yields, .* return it": {"on_exit": yields_later},
    "Odd.upgrade has no actor yet, it makes one: use @classmethod": {"upgrade": one},
    "Odd has idle_after '5': give seconds, more than 0, or None": {"idle_after": "5"},
    "Odd has hibernate_after 0: give seconds": {"hibernate_after": 0},
    "Odd has stash_limit -1: give a number": {"stash_limit": -1},
    "Odd has stash_limit None: give a number": {"stash_limit": None},
}


@pytest.mark.parametrize(("told", "attributes"), UNFIT.items())
def test_what_the_runtime_could_not_call_is_refused(told: str, attributes: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=told):
        define(Actor[BoxApi], attributes)
    with pytest.raises(TypeError, match=told):
        define(StateActor[BoxApi, Lid], attributes)


def test_what_it_can_call_is_not() -> None:
    def roomy(self: Any, *given: Any, more: int = 0) -> None: ...

    hooks = {"init": roomy, "terminate": roomy, "on_idle": one}
    define(Actor[BoxApi], {**hooks, "idle_after": 0.5, "hibernate_after": 1})


def test_a_handler_that_takes_more_than_its_message_is_refused() -> None:
    told = r"take does not take what it is given: write def take\(self, message: Tick\)"
    with pytest.raises(TypeError, match=told):

        class Greedy(Actor[BoxApi]):  # pyright: ignore[reportUnusedClass]
            @on_cast(Tick)  # type: ignore[arg-type] # pyright: ignore
            def take(self, message: Tick, more: int) -> None: ...


def test_a_handler_that_yields_is_refused() -> None:
    with pytest.raises(TypeError, match="take yields, and would be asked for no more than one"):

        class Yields(Actor[BoxApi]):  # pyright: ignore[reportUnusedClass]
            @on_cast(Tick)  # pyright: ignore
            def take(self, message: Tick) -> Any:
                yield 1


def test_a_handler_of_calls_to_another_protocol_is_refused() -> None:
    told = r"open handles Open, which is for BoxApi, and its actor serves Elsewhere: no ref"

    class Elsewhere:
        pass

    with pytest.raises(TypeError, match=told):

        class Stray(Actor[Elsewhere]):  # pyright: ignore[reportUnusedClass]
            @on(Open)
            def open(self, message: Open) -> None: ...


@pytest.mark.parametrize("serves", [object, type("Wider", (BoxApi,), {})])
def test_a_handler_of_calls_to_a_wider_or_narrower_protocol_is_not(serves: Any) -> None:
    class Related(Actor[serves]):  # pyright: ignore[reportUnusedClass]
        @on(Open)
        def open(self, message: Open) -> None: ...


class Lid(enum.Enum):
    SHUT = 1


STATELESS: dict[str, Callable[[], Any]] = {
    r"@when is for some states: write @when\(State.SOME\)": lambda: when(take),  # type: ignore[arg-type] # pyright: ignore
    "@when is for some": when,
    "@enters is for some": lambda: enters(5),  # type: ignore[arg-type] # pyright: ignore
    "does not take what it is given: write def greedy_take.self, old: State": lambda: enters(
        Lid.SHUT
    )(greedy_take),
    "Odd.take has @when, and no @on or @on_cast: add one": lambda: define(
        StateActor[BoxApi, Lid], {"take": when(Lid.SHUT)(one)}
    ),
}


@pytest.mark.parametrize(("told", "misuse"), STATELESS.items())
def test_a_mark_of_a_state_machine_that_could_not_work_is_refused(
    told: str, misuse: Callable[[], Any]
) -> None:
    with pytest.raises(TypeError, match=told):
        misuse()

"""What is refused or warned of when message and actor classes are made."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from keygrove_actors import Actor, Call, Cast, SpecWarning, on, on_cast


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

"""What is refused or warned of when message and actor classes are made."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from keygrove_actors import Actor, Call, Cast, SpecWarning, on_cast


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


def test_two_handlers_for_one_message_are_refused() -> None:
    with pytest.raises(TypeError, match="two handlers for Tick"):

        class Twice(Actor[BoxApi]):  # pyright: ignore[reportUnusedClass]
            @on_cast(Tick)
            def one(self, message: Tick) -> None: ...

            @on_cast(Tick)
            def two(self, message: Tick) -> None: ...

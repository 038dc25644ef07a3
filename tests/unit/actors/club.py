"""Members of groups, who do in their context what they are asked to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keygrove_actors import Actor, Call, ChildSpec, Ctx, Joined, Left, Restart, on


class ClubApi:
    pass


class Do(Call[ClubApi, Any], frozen=True, tag=True):
    what: Callable[[Ctx], Any]


class Member(Actor[ClubApi]):
    def __init__(self, told: list[Joined | Left]) -> None:
        self.told = told

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on(Do)
    def do(self, message: Do) -> Any:
        return message.what(self.ctx)

    def on_info(self, message: Any) -> None:
        self.told.append(message)


def member(name: str, told: list[Joined | Left] | None = None) -> ChildSpec:
    """A member, and where it writes what it is told of groups."""
    told = [] if told is None else told
    return ChildSpec(name, lambda: Member(told), name=name, restart=Restart.TEMPORARY)

"""Who is whose partner, and how far everybody is from everybody else."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from random import Random
from typing import Final, Literal, TypeAlias

from keygrove_chaos.net_faults import Pair

Shape: TypeAlias = Literal["ring", "star", "mesh", "halves"]
SHAPES: Final[Mapping[Shape, str]] = {
    "ring": "each has the one before it and the one behind it",
    "star": "one has all others, and they have only that one",
    "mesh": "a tree, drawn, and as many partnerships again between any two",
    "halves": "two meshes, and one or two partnerships between them, cut for most of the faults",
}


def partnerships(shape: Shape, names: Sequence[str], random: Random) -> tuple[Pair, ...]:
    """All of them, each once, in the order in which they are settled on."""
    match shape:
        case "ring":
            return (*pairwise(names), (names[0], names[-1]))
        case "star":
            return tuple((names[0], other) for other in names[1:])
        case "mesh":
            return tuple(_mesh(names, random))
        case "halves":
            left, right = halves(names)
            bridges = {(random.choice(left), random.choice(right)) for _ in range(2)}
            return (*_mesh(left, random), *_mesh(right, random), *sorted(bridges))


def halves(names: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Of which the meshes of `halves` are."""
    return names[: len(names) // 2], names[len(names) // 2 :]


def neighbours(partners: Iterable[Pair]) -> dict[str, list[str]]:
    """By name: its partners."""
    found: dict[str, list[str]] = {}
    for one, other in partners:
        found.setdefault(one, []).append(other)
        found.setdefault(other, []).append(one)
    return found


def diameter(partners: Iterable[Pair], ends: Collection[str] = ()) -> int | None:
    """The most steps that a shortest way from one to another has; None: there is a pair without.

    No way leads through `ends`.
    """
    near = neighbours(partners)
    furthest = 0
    for name in near:
        steps = _steps_from(name, near, ends)
        if len(steps) < len(near):
            return None
        furthest = max(furthest, *steps.values())
    return furthest


def _steps_from(
    name: str, near: Mapping[str, Sequence[str]], ends: Collection[str]
) -> dict[str, int]:
    steps, border = {name: 0}, [name]
    while border:
        reached: list[str] = []
        for one in border:
            if one in ends and one != name:
                continue
            for other in near[one]:
                if other not in steps:
                    steps[other] = steps[one] + 1
                    reached.append(other)
        border = reached
    return steps


def _mesh(names: Sequence[str], random: Random) -> Iterator[Pair]:
    """In each run of a seed the same, whatever hashes are."""
    there: dict[Pair, None] = {}
    for place, name in enumerate(names[1:], start=1):
        there[random.choice(names[:place]), name] = None
    for _ in names[2:]:
        one, other = sorted(random.sample(range(len(names)), 2))
        there[names[one], names[other]] = None
    return iter(there)

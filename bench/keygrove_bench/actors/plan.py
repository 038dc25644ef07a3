"""What is measured: the workloads of the actor reference, their sizes, peers and goals.

A workload runs on several sides. Ours are the two loops of asyncio; the others are peers.
A goal holds one of our figures against a number, or against a peer's figure of the same
round.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

OURS: Final = ("uvloop", "asyncio")


class Figure(msgspec.Struct, frozen=True):
    """One number a side answers with, and whether a smaller one is better."""

    key: str
    unit: str
    smaller_is_better: bool = False


class Goal(msgspec.Struct, frozen=True):
    """`side` must reach `number`; with a `peer`, that many times the peer's own figure."""

    side: str
    number: float
    peer: str | None = None
    key: str = "rate"


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """One workload: `runs` has the arguments of the program for each side.

    `is_pinned` puts all sides on one core in turn. With `is_fresh` each round has a process
    of its own, since what it measures is left behind by the round before.
    """

    id: str
    words: str
    program: str
    runs: Mapping[str, tuple[str | int, ...]]
    figures: tuple[Figure, ...] = (Figure("rate", "1/s"),)
    goals: tuple[Goal, ...] = ()
    is_pinned: bool = True
    is_fresh: bool = False
    warmups: int = 3
    repeats: int = 7


def _on_both(*arguments: str | int) -> dict[str, tuple[str | int, ...]]:
    return dict.fromkeys(OURS, arguments)


WORKLOADS: Final = (
    Workload(
        id="W1",
        words="casts to one actor in bursts of 1000, until a call sees all of them",
        program="cast",
        runs={
            **_on_both(1_000_000),
            "erlang": (1_000_000,),
            "floor": (1_000_000,),
            "pykka": (100_000,),
            "xoscar": (20_000,),
            "otpylib": (20_000,),
        },
        goals=(
            Goal("uvloop", 0.8, "erlang"),
            Goal("asyncio", 0.7, "erlang"),
            Goal("uvloop", 15, "pykka"),
        ),
    ),
    Workload(
        id="W2",
        words="queued calls of one caller, each with a timeout of 5 s",
        program="call",
        runs={
            **_on_both(100_000),
            "erlang": (300_000,),
            "floor": (100_000,),
            "pykka": (20_000,),
            "xoscar": (20_000,),
            "otpylib": (10_000,),
        },
        goals=(
            Goal("uvloop", 0.5, "erlang"),
            Goal("asyncio", 0.22, "erlang"),
            Goal("uvloop", 6, "pykka"),
        ),
    ),
    Workload(
        id="W3",
        words="queued calls of 100 callers to one actor",
        program="callers",
        runs={
            **_on_both(100, 2000),
            "erlang": (100, 2000),
            "floor": (100, 2000),
            "otpylib": (100, 100),
        },
        goals=(Goal("uvloop", 0.8, "erlang"), Goal("asyncio", 0.5, "erlang")),
    ),
    Workload(
        id="W4",
        words="direct calls of one caller (Erlang's figure is that of W2)",
        program="direct",
        runs={**_on_both(300_000), "erlang": (300_000,)},
        goals=(
            Goal("uvloop", 3, "erlang"),
            Goal("asyncio", 3, "erlang"),
            Goal("uvloop", 1_500_000),
        ),
    ),
    Workload(
        id="W5",
        words="memory of an idle supervised actor with one field of state",
        program="idle",
        runs={"uvloop": (100_000,), "erlang": (100_000,)},
        figures=(Figure("bytes", "B", smaller_is_better=True),),
        goals=(
            Goal("uvloop", 2048, key="bytes"),
            Goal("uvloop", 1, "erlang", key="bytes"),
        ),
        is_fresh=True,
        warmups=0,
    ),
    Workload(
        id="W6",
        words="children started one by one under a dynamic supervisor, then stopped with it",
        program="spawn",
        runs={"uvloop": (20_000,), "erlang": (20_000,), "otpylib": (2000,)},
        goals=(Goal("uvloop", 0.5, "erlang"),),
    ),
    Workload(
        id="W7",
        words="from the raise in a permanent child to the acknowledged start of the next one",
        program="restart",
        runs={**_on_both(2000), "erlang": (2000,), "otpylib": (500,)},
        figures=(
            Figure("p50", "µs", smaller_is_better=True),
            Figure("p99", "µs", smaller_is_better=True),
        ),
        goals=tuple(
            goal
            for side in OURS
            for goal in (Goal(side, 60, key="p50"), Goal(side, 2, "erlang", key="p50"))
        ),
    ),
    Workload(
        id="W10",
        words="echo of 100 octets by a worker process, one at a time and 64 outstanding; "
        "bare: a future for each call, and frames, without a runtime",
        program="port",
        runs={"uvloop": (5000, 20_000), "erlang": (5000, 20_000), "bare": (5000, 20_000)},
        figures=(Figure("one", "1/s"), Figure("many", "1/s")),
        goals=(
            Goal("uvloop", 0.5, "erlang", key="one"),
            Goal("uvloop", 0.5, "erlang", key="many"),
            Goal("uvloop", 0.35, "bare", key="many"),
        ),
        is_pinned=False,
    ),
    Workload(
        id="W11-warm",
        words="SIGKILL of a zygote's worker to the next answered call; bare: exec of a new one",
        program="port-restart",
        runs={"uvloop": (100, "warm"), "bare": (20,)},
        figures=(
            Figure("p50", "ms", smaller_is_better=True),
            Figure("p95", "ms", smaller_is_better=True),
        ),
        goals=(Goal("uvloop", 10, key="p95"),),
        is_pinned=False,
        warmups=1,
        repeats=3,
    ),
    Workload(
        id="W11-cold",
        words="the same without a zygote",
        program="port-restart",
        runs={"uvloop": (20, "cold"), "bare": (20,)},
        figures=(
            Figure("p50", "ms", smaller_is_better=True),
            Figure("p95", "ms", smaller_is_better=True),
        ),
        goals=(Goal("uvloop", 150, key="p95"),),
        is_pinned=False,
        warmups=1,
        repeats=3,
    ),
    Workload(
        id="W12",
        words="hops of one message in a ring of 1000 actors",
        program="ring",
        runs={**_on_both(1000, 500_000), "erlang": (1000, 500_000)},
        goals=(Goal("uvloop", 0.3, "erlang"), Goal("asyncio", 0.13, "erlang")),
    ),
    *(
        Workload(
            id=f"W13-{policy}",
            words=f"4 producers against one slow actor, limit 1000, policy {policy}, 10 s",
            program="overload",
            runs={"uvloop": (policy, 10)},
            figures=(
                Figure("growth", "MB", smaller_is_better=True),
                Figure("p99", "ms", smaller_is_better=True),
            ),
            goals=(Goal("uvloop", 20, key="growth"), Goal("uvloop", 20, key="p99")),
            is_fresh=True,
            warmups=0,
            repeats=1,
        )
        for policy in ("block", "reject", "drop_oldest", "drop_newest")
    ),
    Workload(
        id="W14",
        words="calls to an actor whose neighbour has 1 M casts to handle",
        program="flood",
        runs=_on_both(1_000_000),
        figures=(
            Figure("p50", "ms", smaller_is_better=True),
            Figure("p99", "ms", smaller_is_better=True),
        ),
        goals=tuple(Goal(side, 10, key="p99") for side in OURS),
    ),
    Workload(
        id="W100k",
        words="100,000 supervised actors started, called once each, and stopped",
        program="scale",
        runs={"uvloop": (100_000,), "erlang": (100_000,)},
        figures=(Figure("seconds", "s", smaller_is_better=True),),
        goals=(Goal("uvloop", 2, "erlang", key="seconds"),),
        warmups=1,
        repeats=3,
    ),
)

"""What a scenario does wrong with its network is told in words."""

from collections.abc import Callable

import pytest

from keygrove_chaos.errors import ChaosError
from keygrove_chaos.net_faults import Loss, Partition
from keygrove_chaos.network import Network
from keygrove_chaos.running import run
from keygrove_chaos.world import World

LOSS = Loss(probability=0.5)


@pytest.mark.parametrize(
    ("method", "arguments", "says"),
    [
        ("heal", ("x",), "there is no fault 'x'; there are: f"),
        ("effect", ("x",), "there is no fault 'x'"),
        (
            "inject",
            (
                "f",
                LOSS,
            ),
            "there was a fault 'f' already",
        ),
        (
            "inject",
            (
                "g",
                LOSS,
                ["s"],
            ),
            "'s' is no link: name two hosts",
        ),
        (
            "inject",
            (
                "g",
                LOSS,
                "ab",
            ),
            "'a' is no link",
        ),
        (
            "inject",
            (
                "g",
                LOSS,
                [("a", "z")],
            ),
            "there is no host 'z'; there are: a, b",
        ),
        (
            "inject",
            (
                "g",
                Partition(groups=(("a",), ("z",))),
            ),
            "no host 'z'",
        ),
        ("crash_host", ("z",), "there is no host 'z'"),
        ("pause_host", (None,), "there is no host None"),
        ("resume_host", ("z",), "there is no host 'z'"),
        ("restart_host", ("z",), "there is no host 'z'"),
        ("add_host", ("a",), "there is a host 'a' already"),
        (
            "link",
            (
                "a",
                "z",
            ),
            "there is no host 'z'",
        ),
        (
            "listen",
            (
                "z",
                1,
                print,
            ),
            "there is no host 'z'",
        ),
        (
            "listen",
            (
                "a",
                1,
                print,
            ),
            "a:1 is taken",
        ),
        (
            "bind",
            (
                "z",
                1,
                print,
            ),
            "there is no host 'z'",
        ),
        (
            "bind",
            (
                "a",
                2,
                print,
            ),
            "a:2 is taken",
        ),
        (
            "send_datagram",
            (
                "a",
                "z",
                2,
                b"",
            ),
            "there is no host 'z'",
        ),
    ],
)
def test_a_name_that_is_not_there_is_told_with_those_that_are(
    method: str, arguments: tuple[object, ...], says: str
) -> None:
    async def main(world: World) -> None:
        network = Network(world, ["a", "b"])
        network.listen("a", 1, print)
        network.bind("a", 2, print)
        network.inject("f", LOSS, [["a", "b"]])  # type: ignore[list-item] # pyright: ignore[reportArgumentType] - as JSON has it
        misused: Callable[..., object] = getattr(network, method)
        misused(*arguments)

    with pytest.raises(ChaosError) as raised:
        run(main, seed=1)
    assert says in str(raised.value)


@pytest.mark.parametrize("way", [("a", "z"), ("z", "a")])
def test_a_stream_to_or_from_nowhere_is_told(way: tuple[str, str]) -> None:
    async def main(world: World) -> None:
        await Network(world, ["a", "b"]).connect(*way, 1)

    with pytest.raises(ChaosError, match="there is no host 'z'"):
        run(main, seed=1)

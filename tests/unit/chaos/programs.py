"""Small programs for worlds."""

from collections.abc import Awaitable, Callable
from random import Random

import anyio

from keygrove_chaos.world import World


def gossip(  # noqa: C901 - a whole program
    nodes: int = 5, seconds: float = 20.0, rate: float = 2.0
) -> Callable[[World], Awaitable[int]]:
    """Nodes that tell each other numbers over links that lose some."""

    async def main(world: World) -> int:
        known: list[dict[int, None]] = [{} for _ in range(nodes)]

        def deliver(sender: int, receiver: int, item: int) -> None:
            known[receiver].setdefault(item)
            world.note("recv", sender, receiver, item)

        def send(sender: int, receiver: int, item: int) -> None:
            random = world.stream(f"link {sender} {receiver}")
            if random.random() < 0.02:
                world.note("lost", sender, receiver)
                return
            due = world.now() + random.lognormvariate(-5, 0.5)
            world.call_at(due, lambda: deliver(sender, receiver, item))

        async def node(number: int, random: Random) -> None:
            for count in range(1_000_000):
                await anyio.sleep(random.expovariate(rate))
                known[number].setdefault(number * 1_000_000 + count)
                peer = random.randrange(nodes)
                for item in list(known[number])[-3:]:
                    send(number, peer, item)
                world.note("gossip", number, peer)

        async with anyio.create_task_group() as tasks:
            for number in range(nodes):
                tasks.start_soon(node, number, world.stream(f"node {number}"))
            await anyio.sleep(seconds)
            tasks.cancel_scope.cancel()
        return sum(map(len, known))

    return main


def cancelled_children(count: int = 12) -> Callable[[World], Awaitable[None]]:
    """Children of one group, cancelled together: asyncio does it in the order of addresses."""

    async def main(world: World) -> None:
        async def child(number: int) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                world.note("end", number)

        async with anyio.create_task_group() as tasks:
            for number in range(count):
                tasks.start_soon(child, number)
            await anyio.sleep(1)
            tasks.cancel_scope.cancel()

    return main

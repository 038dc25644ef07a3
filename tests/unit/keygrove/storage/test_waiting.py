"""A bounded queue that is emptied in batches."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from keygrove.storage.waiting import Waiting


def test_there_is_room_for_as_many_as_the_limit_says() -> None:
    waiting: Waiting[int] = Waiting(2)
    assert [waiting.put(n) for n in range(3)] == [True, True, False]
    assert len(waiting) == 2


@pytest.mark.trio
async def test_all_that_waits_is_taken_at_once_in_order() -> None:
    waiting: Waiting[int] = Waiting(10)
    for number in range(5):
        waiting.put(number)
    assert await waiting.take(3) == [0, 1, 2]
    assert await waiting.take(3) == [3, 4]
    assert len(waiting) == 0


@pytest.mark.trio
async def test_a_taker_waits_until_there_is_something() -> None:
    waiting: Waiting[int] = Waiting(10)
    taken: list[list[int]] = []

    async def take() -> None:
        for _ in range(2):
            taken.append(await waiting.take(10))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await wait_all_tasks_blocked()
        assert taken == []
        waiting.put(1)
        waiting.put(2)
        await wait_all_tasks_blocked()
        assert taken == [[1, 2]]
        waiting.put(3)
    assert taken == [[1, 2], [3]]


@pytest.mark.trio
async def test_taking_makes_room() -> None:
    waiting: Waiting[int] = Waiting(1)
    waiting.put(1)
    await waiting.take(1)
    assert waiting.put(2)

"""asyncio as the runtime uses it: functions in a row, and a look before the wait."""

import asyncio
import gc
from contextvars import Context, ContextVar, copy_context
from functools import partial

import pytest

from keygrove_actors.backend_asyncio import SLICE_CALLS, AsyncioBackend
from keygrove_actors.testkit import VirtualLoop

pytestmark = pytest.mark.anyio

MARK: ContextVar[str] = ContextVar("MARK", default="")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": VirtualLoop}


@pytest.fixture
async def backend() -> AsyncioBackend:
    return AsyncioBackend(asyncio.get_running_loop(), copy_context())


def marked(word: str) -> Context:
    context = copy_context()
    context.run(MARK.set, word)
    return context


async def waiting(backend: AsyncioBackend, parker: asyncio.Future[int]) -> int:
    return await backend.shortly(parker)


async def test_functions_run_in_the_order_of_asking_each_in_its_context(
    backend: AsyncioBackend,
) -> None:
    seen: list[str] = []
    one, other = marked("one"), marked("other")

    def note() -> None:
        seen.append(MARK.get())
        if len(seen) < 4:
            backend.call_soon(note, one)

    backend.call_soon(note, one)
    backend.call_soon(note, other)
    await asyncio.sleep(1)
    assert seen == ["one", "other", "one", "one", "one"]


async def test_one_that_raises_keeps_no_other_from_running(backend: AsyncioBackend) -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, facts: told.append(facts))
    seen: list[str] = []

    def fail() -> None:
        raise ZeroDivisionError

    for function in (fail, lambda: seen.append("a"), fail, lambda: seen.append("b")):
        backend.call_soon(function, copy_context())
    await asyncio.sleep(1)
    assert (seen, len(told)) == (["a", "b"], 2)


async def test_the_loop_goes_round_after_so_many(backend: AsyncioBackend) -> None:
    seen: list[int] = []
    for number in range(2 * SLICE_CALLS + 1):
        backend.call_soon(partial(seen.append, number), copy_context())
    await asyncio.sleep(0)
    assert 0 < len(seen) <= SLICE_CALLS + 1
    await asyncio.sleep(1)
    assert seen == list(range(2 * SLICE_CALLS + 1))


async def test_a_waiter_cancelled_before_it_looked_is_known_to_have_gone(
    backend: AsyncioBackend,
) -> None:
    parker: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(waiting(backend, parker))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert parker.done()


async def test_an_error_that_comes_too_late_is_not_logged(
    backend: AsyncioBackend, caplog: pytest.LogCaptureFixture
) -> None:
    parker: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(waiting(backend, parker))
    await asyncio.sleep(0)
    parker.set_exception(ZeroDivisionError())
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    del parker, task
    gc.collect()
    assert caplog.records == []

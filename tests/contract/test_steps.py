"""What every store tells whoever keeps a set of the digests of all that is held."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import pytest

from keygrove.errors import HistoryError
from keygrove.storage.mark import Snapshot
from keygrove.storage.merkle import EMPTY
from keygrove.storage.steps import Step, Steps
from keygrove.storage.store import CertificateStore
from keygrove.storage.write import Denial, Lift
from keygrove_chaos.certificates import CREATED, made, put_of, with_aside

pytestmark = pytest.mark.anyio

Open: TypeAlias = Callable[[], AbstractAsyncContextManager[CertificateStore]]

ALICE, BOB = put_of(made(1, "Alice")), put_of(made(2, "Bob"))
ALICIA = with_aside(put_of(made(1, "Alice", "Alicia")), b"aside")
SAID = put_of(made(1))
ALICES, BOBS = ALICE.fingerprint, BOB.fingerprint


async def lived(store: CertificateStore) -> None:
    """Alice grows, and Bob comes; she is denied, and that is lifted; both go."""
    await store.commit([ALICE])
    await store.commit([ALICIA, BOB])
    await store.commit([Denial(ALICES, "spam", CREATED, held=SAID)])
    await store.commit([Denial(ALICES, "again", CREATED, held=SAID)])
    await store.commit([Lift(ALICES, CREATED, SAID)])
    await store.commit([Lift(ALICES, CREATED), Denial(BOBS, "spam", CREATED)])


STEPS = (
    Step(1, ALICES, None, ALICE.digest),
    Step(2, ALICES, ALICE.digest, ALICIA.digest),
    Step(2, BOBS, None, BOB.digest),
    Step(3, ALICES, ALICIA.digest, None),
    Step(4, ALICES, None, None),
    Step(5, ALICES, None, SAID.digest),
    Step(6, ALICES, SAID.digest, None),
    Step(6, BOBS, BOB.digest, None),
)


@pytest.fixture(params=["unflushed", "flushed"])
def is_flushed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "flushed")


async def test_each_change_of_what_is_held_and_not_denied_is_told_in_order(
    open_it: Open, is_flushed: bool
) -> None:
    async with open_it() as store:
        await lived(store)
        if is_flushed:
            await store.settle()
        assert await store.history.steps(0, EMPTY, 100) == Steps(STEPS, store.head(), 6)
    async with open_it() as store:
        assert await store.history.steps(0, EMPTY, 100) == Steps(STEPS, store.head(), 6)


@pytest.mark.parametrize(
    ("limit", "changes"), [(1, [1, 2, 3, 4, 5, 6]), (2, [2, 4, 6]), (3, [2, 5, 6])]
)
async def test_what_was_committed_together_is_told_together(
    open_it: Open, limit: int, changes: list[int]
) -> None:
    async with open_it() as store:
        await lived(store)
        found: list[Step] = []
        head = await store.history.head(0)
        for change in changes:
            some = await store.history.steps(head.change, head.root, limit)
            assert some.head == await store.history.head(change)
            assert some.newest == 6
            found += some.steps
            head = some.head
        assert tuple(found) == STEPS


async def test_who_is_up_to_date_hears_of_the_newest_change_only(open_it: Open) -> None:
    async with open_it() as store:
        head = store.head()
        assert await store.history.steps(head.change, head.root, 5) == Steps((), head, 0)
        await lived(store)
        head = store.head()
        assert await store.history.steps(head.change, head.root, 5) == Steps((), head, 6)


async def test_another_past_than_the_callers_is_refused(open_it: Open) -> None:
    async with open_it() as store:
        await lived(store)
        then = await store.history.head(2)
        for change, root in ((2, EMPTY), (7, then.root), (-1, then.root), (1, then.root)):
            with pytest.raises(HistoryError):
                await store.history.steps(change, root, 5)


async def test_commits_that_change_no_certificate_are_passed_over(open_it: Open) -> None:
    async with open_it() as store:
        await store.commit([BOB])
        then = store.head()
        await store.commit([], marks=[Snapshot("one", b"", CREATED)])
        assert await store.history.steps(1, then.root, 1) == Steps((), store.head(), 2)

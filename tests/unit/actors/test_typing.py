"""Right uses type, and each wrong one is an error for mypy and for pyright.

Nothing of `uses` runs: an ignore that suppresses nothing is itself an error for both
(mypy's `warn_unused_ignores`, pyright's rule below), so checking this file is the test.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from typing import assert_type

from keygrove_actors import DEFER, Actor, Call, Cast, Defer, Ref, Stop, on, on_cast


class KvApi:
    pass


class OtherApi:
    pass


class Get(Call[KvApi, bytes | None], frozen=True, tag=True):
    key: str


class Size(Call[KvApi, int], frozen=True, tag=True):
    pass


class Put(Cast[KvApi], frozen=True, tag=True):
    key: str


class Strange(Call[OtherApi, int], frozen=True, tag=True):
    pass


class StrangeNote(Cast[OtherApi], frozen=True, tag=True):
    pass


class Right(Actor[KvApi]):
    @on(Get)
    def get(self, message: Get) -> bytes | None:
        return None

    @on(Size)
    async def size(self, message: Size) -> int | Defer:
        return DEFER

    @on_cast(Put)
    def put(self, message: Put) -> Stop | None:
        return Stop()


class Wrong(Actor[KvApi]):
    @on(Size)  # type: ignore[arg-type]
    def size(self, message: Size) -> str:
        return ""

    @on(Get)  # type: ignore[arg-type]
    async def get(self, message: Get) -> int:
        return 0

    @on(Put)  # type: ignore[arg-type]
    def put(self, message: Put) -> None: ...


async def uses(kv: Ref[KvApi]) -> None:
    assert_type(await kv.call(Get("a")), bytes | None)
    assert_type(await kv.call(Size()), int)
    kv.cast(Put("a"))

    text: str = await kv.call(Size())  # type: ignore[arg-type]
    await kv.call(Strange())  # type: ignore[arg-type]
    kv.cast(StrangeNote())  # type: ignore[arg-type]
    kv.cast(Size())  # type: ignore[arg-type]
    await kv.call(Put("a"))  # type: ignore[arg-type]
    print(text)  # noqa: T201 - use it


def test_the_file_is_importable_and_its_right_actor_serves_its_protocol() -> None:
    assert Right.__traits__.serves is KvApi

"""Right uses type, and each wrong one is an error for mypy and for pyright.

Nothing of `uses` runs: an ignore that suppresses nothing is itself an error for both
(mypy's `warn_unused_ignores`, pyright's rule below), so checking this file is the test.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import enum
from contextlib import suppress
from typing import ClassVar, assert_type

from keygrove_actors import (
    DEFER,
    POSTPONE,
    Actor,
    Call,
    Cast,
    ChildInfo,
    ChildSpec,
    Ctx,
    Defer,
    Note,
    RawWork,
    Ref,
    StateActor,
    Stop,
    Stream,
    SupRef,
    Task,
    Work,
    enters,
    on,
    on_cast,
    stream,
    when,
)


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


with suppress(TypeError):  # this one is refused when it runs, too

    class Mistaken(Actor[KvApi]):
        @on(Put)  # type: ignore[arg-type]
        def put(self, message: Put) -> None: ...


class S(enum.Enum):
    ON = 1
    OFF = 2


class Switch(StateActor[KvApi, S]):
    initial: ClassVar = S.OFF

    @when(S.OFF)
    @on(Size)
    def size(self, message: Size) -> int | Defer:
        assert_type(self.state, S)
        self.go(S.ON)
        self.next_event(Put("a"))
        self.state_timeout(1.0, Put("b"))
        return POSTPONE

    @enters(S.ON)
    def entered(self, old: S | None) -> None: ...


class WrongSwitch(StateActor[KvApi, S]):
    initial: ClassVar = S.OFF

    @when(S.OFF)
    @on(Size)  # type: ignore[arg-type]
    def size(self, message: Size) -> str:
        self.go("on")  # type: ignore[arg-type]
        self.next_event(StrangeNote())  # type: ignore[arg-type]
        self.next_event(Size())  # type: ignore[arg-type]
        self.state_timeout(1.0, StrangeNote())  # type: ignore[arg-type]
        return ""


class ParserApi:
    pass


class Parse(Work[ParserApi, tuple[int, ...]], frozen=True, tag=True):
    data: bytes


class Digest(RawWork[ParserApi], frozen=True, tag=True):
    pass


class Split(Stream[ParserApi, bytes, int], frozen=True, tag=True):
    data: bytes


class Forget(Note[ParserApi], frozen=True, tag=True):
    pass


async def uses_of_ports(parser: Ref[ParserApi], kv: Ref[KvApi]) -> None:
    assert_type(await parser.call(Parse(b"")), tuple[int, ...])
    assert_type(await parser.call(Digest(b"")), bytes)
    parser.cast(Forget())
    async with stream(parser, Split(b"")) as items:
        async for item in items:
            assert_type(item, bytes)
        assert_type(items.end, int)

    text: str = await parser.call(Parse(b""))  # type: ignore[arg-type]
    await kv.call(Parse(b""))  # type: ignore[arg-type]
    await parser.call(Size())  # type: ignore[arg-type]
    await parser.call(Forget())  # type: ignore[arg-type]
    parser.cast(Parse(b""))  # type: ignore[arg-type]
    kv.cast(Forget())  # type: ignore[arg-type]
    async with stream(kv, Split(b"")):  # type: ignore[misc]
        pass
    async with stream(parser, Parse(b"")):  # type: ignore[arg-type]
        pass
    print(text)  # noqa: T201 - use it


async def uses_of_supervisors(kvs: SupRef[KvApi], ctx: Ctx) -> None:
    assert_type(await kvs.start_child(ChildSpec("kv", Right)), Ref[KvApi])
    assert_type(await kvs.spawn("a", 1), Ref[KvApi])
    assert_type(kvs.ref_for("key"), Ref[KvApi])
    assert_type(ctx.supervisor("kvs", KvApi), SupRef[KvApi])
    assert_type(kvs.which_children(), tuple[ChildInfo, ...])
    await kvs.terminate_child("kv")
    await (await kvs.restart_child("kv")).call(Size())

    await (await kvs.spawn()).call(Strange())  # type: ignore[arg-type]
    kvs.ref_for("key").cast(StrangeNote())  # type: ignore[arg-type]
    wrong: Ref[OtherApi] = await kvs.restart_child("kv")  # type: ignore[assignment]
    await kvs.start_child(Right)  # type: ignore[arg-type]
    await kvs.terminate_child(Right)  # type: ignore[arg-type]
    await kvs.replace_spec(ChildSpec("kv", Right))  # type: ignore[arg-type]
    kvs.ref_for(7)  # type: ignore[arg-type]
    print(wrong)  # noqa: T201 - use it


async def number(of: int) -> int:
    return of


async def uses_of_tasks(ctx: Ctx) -> None:
    task = ctx.tasks.run(number, 1)
    assert_type(task, Task[int])
    assert_type(await task, int)

    ctx.tasks.run(number, "1")  # type: ignore[arg-type]
    ctx.tasks.run(number)  # type: ignore[arg-type]
    text: str = await ctx.tasks.run(number, 1, isolated=True)  # type: ignore[arg-type]
    print(text)  # noqa: T201 - use it


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

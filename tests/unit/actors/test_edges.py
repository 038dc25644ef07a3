"""What is rare between actors, and has to come out right all the same."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from keygrove_actors import (
    AlreadyReplied,
    CalleeExit,
    CallTimeout,
    Cause,
    ChildSpec,
    ChildTerminated,
    Crash,
    DeadLetter,
    DeclaredError,
    Defer,
    GoneReason,
    Killed,
    MailboxSpec,
    NameTaken,
    NoConnection,
    NoProc,
    Overflow,
    Poisoned,
    ReplyTo,
    Report,
    Requests,
    ShuttingDown,
    SpecError,
    StartFailed,
    SupSpec,
    WrongTask,
    sysapi,
)
from tests.unit.actors.conftest import Running
from tests.unit.actors.odd import (
    LOG,
    Ask,
    AskSlowly,
    Do,
    Nap,
    Odd,
    OddApi,
    Refused,
    note,
    odd,
    refuse,
)

pytestmark = pytest.mark.anyio


async def test_a099_a_declared_failure_under_a_trace_is_the_same(running: Running) -> None:
    async with running(odd()) as runtime:
        ref = runtime.whereis("odd", OddApi)
        await sysapi.trace(ref, lambda _: None)
        with pytest.raises(DeclaredError):
            await ref.call(Ask(refuse))
        assert ref.alive()
        ref.cast(Do(refuse))
        await anyio.sleep(0.1)
        assert not ref.alive(), "to a cast it is no answer"


async def test_a098_who_answers_and_then_returns_is_counted(running: Running) -> None:
    def twice(actor: Odd) -> int:
        actor.ctx.reply_to.send(1)
        return 2

    async with running(odd()) as runtime:
        ref = runtime.whereis("odd", OddApi)
        assert await ref.call(Ask(twice)) == 1
        assert runtime.counters.late_replies == 1


async def test_a098_who_keeps_a_reply_can_ask_whether_anybody_waits(running: Running) -> None:
    kept: list[ReplyTo[Any]] = []

    def keep(actor: Odd) -> Defer:
        kept.append(actor.ctx.reply_to)
        return Defer.DEFER

    async with running(odd()) as runtime:
        with pytest.raises(CallTimeout):
            await runtime.whereis("odd", OddApi).call(Ask(keep), timeout=0.5)
        assert kept[0].caller_gone
        kept[0].send("too late")
        assert runtime.counters.late_replies == 1


async def test_a098_who_keeps_a_reply_can_refuse_later_but_once(running: Running) -> None:
    kept: list[ReplyTo[Any]] = []

    def keep(actor: Odd) -> Defer:
        kept.append(actor.ctx.reply_to)
        return Defer.DEFER

    async def refuse_later() -> None:
        await anyio.sleep(1.0)
        kept[0].fail(Refused())
        with pytest.raises(AlreadyReplied):
            kept[0].fail(Refused())

    async with running(odd()) as runtime, anyio.create_task_group() as tasks:
        tasks.start_soon(refuse_later)
        with pytest.raises(DeclaredError) as caught:
            await runtime.whereis("odd", OddApi).call(Ask(keep))
        assert caught.value.failure == Refused()
        assert runtime.whereis("odd", OddApi).alive()


async def test_a163_an_actor_that_waits_for_room_goes_on_when_there_is_some(
    running: Running,
) -> None:
    async def send(actor: Odd) -> str:
        other = actor.ctx.whereis("other", OddApi)
        for value in range(4):
            await other.send(note(value))
        return "sent"

    blocking = MailboxSpec(1, Overflow.BLOCK)
    async with running(odd(), odd("other", mailbox=blocking)) as runtime:
        other = runtime.whereis("other", OddApi)
        other.cast(Nap(1.0))
        await anyio.sleep(0.1)
        assert await runtime.whereis("odd", OddApi).call(AskSlowly(send)) == "sent"
        await anyio.sleep(0.1)
        assert await other.call(LOG) == ["napped", 0, 1, 2, 3]


async def test_a103_a_collection_may_be_abandoned_as_a_whole(running: Running) -> None:
    async with running(odd()) as runtime:
        ref = runtime.whereis("odd", OddApi)
        ref.cast(Nap(1.0))
        await anyio.sleep(0.1)
        requests = Requests[Any]()
        first = requests.send(ref, LOG)
        waited: list[Any] = []

        async def wait() -> None:
            waited.append(await requests.wait_any())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.sleep(0.1)
            first.abandon()
        assert waited == [None], "nothing is left to wait for"
        done = requests.send(ref, LOG)
        await anyio.sleep(2.0)
        done.abandon()
        assert await requests.wait_any(0.1) is None
        requests.send(ref, AskSlowly(lambda _: anyio.sleep(9.0)))
        requests.abandon()
        assert len(requests) == 0
        assert runtime.leftovers()["deadlines"] == 0


async def test_ctx_enter_needs_the_task_of_init_also_where_there_is_one(
    running: Running, reports: list[Report]
) -> None:
    async with running(odd()) as runtime:
        ref = runtime.whereis("odd", OddApi)
        ref.cast(Do(lambda actor: actor.ctx.start_soon(actor.ctx.enter, anyio.create_task_group())))
        await anyio.sleep(0.1)
    (end,) = [r.reason for r in reports if isinstance(r, ChildTerminated)]
    assert isinstance(end, Crash)
    assert end.exc == WrongTask.__name__


async def test_ctx_reply_to_needs_a_call(running: Running) -> None:
    async with running(odd()) as runtime:
        ref = runtime.whereis("odd", OddApi)
        assert await ref.call(Ask(lambda actor: int(actor.ctx.id))) > 0
        ref.cast(Do(lambda actor: actor.ctx.reply_to))
        await anyio.sleep(0.1)
        assert not ref.alive()


async def test_a172_a_fenced_actors_calls_replies_and_traces_are_discarded(
    running: Running, reports: list[Report]
) -> None:
    outcomes: list[str] = []

    async def stubborn(actor: Odd) -> str:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(2.5)
            try:
                await actor.ctx.whereis("other", OddApi).call(LOG)
            except NoProc:
                outcomes.append("no call")
        return "a reply from the dead"

    async with running(odd(), odd("other"), kill_grace=1.0) as runtime:
        ref = runtime.whereis("odd", OddApi)

        async def ask() -> None:
            with pytest.raises(CalleeExit) as caught:
                await ref.call(AskSlowly(stubborn), timeout=None)
            outcomes.append(str(caught.value.reason))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.sleep(0.1)
            ref.kill()
            await anyio.sleep(2.0)
            assert outcomes == ["was killed"]
    assert outcomes == ["was killed", "no call"], (
        "the runtime waits for the task, as long as its grace"
    )


async def test_a080_a_supervisor_may_not_take_a_name_either(running: Running) -> None:
    with pytest.raises(StartFailed, match=NameTaken.__name__):
        async with running(odd(), ChildSpec("sub", SupSpec(), name="odd")):
            pass


async def test_a015_many_requests_to_one_supervisor_are_all_served(running: Running) -> None:
    async with running() as runtime:
        root = runtime.supervisor("")
        async with anyio.create_task_group() as tasks:
            for number in range(300):
                tasks.start_soon(root.start_child, ChildSpec(str(number), Odd))
        assert root.count_children().active == 300


async def test_a038_a_request_in_the_midst_of_a_stop_is_refused_not_called_a_deadlock(
    running: Running,
) -> None:
    outcomes: list[str] = []

    async def ask(actor: Odd) -> str:
        try:
            await actor.ctx.supervisor("").delete_child("x")
        except SpecError as error:
            return type(error).__name__
        return ""

    class Late(Odd):
        async def terminate(self, reason: object) -> None:
            ref = self.ctx.whereis("odd", OddApi)
            outcomes.append(await ref.call(AskSlowly(ask)))

    async with running(odd(), odd("late", Late)):
        pass
    assert outcomes == [ShuttingDown.__name__]


async def test_refs_are_equal_if_they_reach_the_same(running: Running) -> None:
    async with running(odd(), odd("other")) as runtime:
        ref, same = runtime.whereis("odd", OddApi), runtime.whereis("odd", OddApi)
        by_id = runtime.supervisor("").which_children()[0].ref
        assert ref == same
        assert len({ref, same, by_id, runtime.whereis("other", OddApi)}) == 3
        assert ref != "odd"
        assert repr(ref) == "<Ref odd>"
        nobody = runtime.whereis("nobody", OddApi)
        nobody.kill()
        nobody.exit(Killed())


def test_reasons_and_errors_say_what_is_the_case() -> None:
    assert str(GoneReason()) == "was not running"
    assert str(NoConnection("b")) == "cannot be reached on b"
    assert "twice running with this Parse" in str(Poisoned("parser", "Parse"))


async def test_a150_what_comes_after_a_death_is_a_dead_letter(
    running: Running, reports: list[Report]
) -> None:
    async with running(odd()) as runtime:
        ref = runtime.whereis("odd", OddApi)
        children = runtime.supervisor("", OddApi).which_children()
        by_id = children[0].ref
        assert by_id is not None
        ref.kill()
        await anyio.sleep(0.1)
        by_id.cast(note("late"))
        with pytest.raises(NoProc):
            await by_id.call(LOG)
    assert [(r.message, r.cause) for r in reports if isinstance(r, DeadLetter)] == [
        ("Do", Cause.NO_PROC)
    ]

"""Suspending an actor, reading and replacing its state, changing its code."""

from __future__ import annotations

from typing import Any

import anyio
import msgspec
import pytest

from keygrove_actors import (
    Actor,
    CallTimeout,
    ChildSpec,
    Ctx,
    NoProc,
    NotSuspended,
    Secret,
    on,
    sysapi,
)
from keygrove_actors.census import tree_snapshot
from tests.unit.actors.bank import BANK, Add, AskSelf, Bank, BankApi, Nap, NewBank, Total, Vault
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


async def test_a140_a_suspended_actor_queues_and_goes_on_in_order(running: Running) -> None:
    async with running(BANK) as runtime, anyio.create_task_group() as tasks:
        ref = runtime.whereis("bank", BankApi)
        await sysapi.suspend(ref)
        await sysapi.suspend(ref)
        for value in (1, 2, 3):
            ref.cast(Add(value))
        ref.cast(Add(99))
        await anyio.sleep(1.0)
        assert (await sysapi.get_state(ref))["total"] == 0
        assert (await tree_snapshot(runtime)).children[0].is_suspended
        await sysapi.resume(ref)
        await sysapi.resume(ref)
        tasks.start_soon(anyio.sleep, 0)
        assert await ref.call(Total()) == 6, "the fourth found the mailbox full"


async def test_a140_timers_fire_and_signals_work_while_suspended(running: Running) -> None:
    class Timed(Bank):
        def init(self, ctx: Ctx) -> None:
            super().init(ctx)
            ctx.send_after(0.5, Add(5))

    async with running(ChildSpec("bank", Timed, name="bank"), intensity=5) as runtime:
        ref = runtime.whereis("bank", BankApi)
        await sysapi.suspend(ref)
        await anyio.sleep(1.0)
        await sysapi.resume(ref)
        assert await ref.call(Total()) == 5
        await sysapi.suspend(ref)
        ref.kill()
        await anyio.sleep(0.1)
        assert runtime.tree().children[0].incarnation == 2
        assert await ref.call(Total()) == 0


async def test_a140_a143_suspending_waits_until_the_handler_ended(running: Running) -> None:
    async with running(BANK) as runtime:
        ref = runtime.whereis("bank", BankApi)
        ref.cast(Nap(1.0))
        await anyio.sleep(0.1)
        start = anyio.current_time()
        ref.cast(Add(1))
        await sysapi.suspend(ref)
        assert anyio.current_time() - start > 0.8
        assert (await sysapi.get_state(ref))["total"] == 0
        with pytest.raises(CallTimeout):
            await ref.call(Total(), timeout=0.5)
        await sysapi.resume(ref)
        assert await ref.call(Total()) == 1


async def test_a117_a_request_of_the_runtime_passes_a_full_mailbox(running: Running) -> None:
    async with running(BANK) as runtime:
        ref = runtime.whereis("bank", BankApi)
        ref.cast(Nap(1.0))
        await anyio.sleep(0.1)
        for value in (1, 2, 3):
            ref.cast(Add(value))
        seen: list[Any] = []

        async def look(what: str) -> None:
            seen.append((await sysapi.get_state(ref))["total"])

        async with anyio.create_task_group() as tasks:
            for what in "ab":
                tasks.start_soon(look, what)
        assert seen == [0, 0], "before the three that waited"


async def test_a147_a_request_times_out_while_a_handler_runs(running: Running) -> None:
    async with running(BANK) as runtime:
        ref = runtime.whereis("bank", BankApi)
        ref.cast(Nap(60.0))
        await anyio.sleep(0.1)
        start = anyio.current_time()
        with pytest.raises(CallTimeout):
            await sysapi.get_state(ref)
        assert 5.0 <= anyio.current_time() - start < 5.1
        ref.kill()
        await anyio.sleep(0.1)
        with pytest.raises(NoProc):
            await sysapi.get_state(ref)


async def test_a141_secrets_are_masked(running: Running) -> None:
    class Login(Actor[BankApi]):
        token: Secret[str]

        def __init__(self) -> None:
            self.token = "abc"  # noqa: S105 - it is one, for the test
            self.user = "u"
            self.vault = Vault()
            self.rude = Rude()

    class Rude:
        def __repr__(self) -> str:
            raise ValueError("no")

    async with running(BANK, ChildSpec("login", Login, name="login")) as runtime:
        assert await sysapi.get_state(runtime.whereis("bank", BankApi)) == {
            "total": 0,
            "pin": "***",
        }
        assert await sysapi.get_state(runtime.whereis("login", BankApi)) == {
            "token": "***",
            "user": "u",
            "vault": {"total": 0, "pin": "***"},
            "rude": "<Rude>",
        }


async def test_a141_secrets_are_masked_by_the_word_where_their_class_cannot_be_resolved(
    running: Running,
) -> None:
    class Hidden:
        pass

    class Login(Actor[BankApi]):
        token: Secret[str]
        hidden: Hidden

        def __init__(self) -> None:
            self.token = "abc"  # noqa: S105 - it is one, for the test
            self.name = "n"

    async with running(ChildSpec("login", Login, name="login")) as runtime:
        found = await sysapi.get_state(runtime.whereis("login", BankApi))
        assert found == {"token": "***", "name": "n"}


async def test_a142_a_failing_change_leaves_the_state(running: Running) -> None:
    async with running(BANK) as runtime:
        ref = runtime.whereis("bank", BankApi)
        await sysapi.replace_state(ref, lambda old: msgspec.structs.replace(old, total=7))
        with pytest.raises(ZeroDivisionError):
            await sysapi.replace_state(ref, lambda _: 1 // 0)
        with pytest.raises(TypeError, match="a struct or a dict"):
            await sysapi.replace_state(ref, lambda _: 3)
        assert await ref.call(Total()) == 7
        assert await ref.call(AskSelf()) != ""


async def test_a142_attributes_can_be_replaced_too(running: Running) -> None:
    class Plain(Bank):
        def __init__(self) -> None:
            self.n = 1

        @on(Total)
        def total(self, message: Total) -> int:
            return self.n

    async with running(ChildSpec("bank", Plain, name="bank")) as runtime:
        ref = runtime.whereis("bank", BankApi)
        await sysapi.replace_state(ref, lambda old: {**old, "n": 5})
        assert await ref.call(Total()) == 5


async def test_a143_code_is_changed_only_while_suspended(running: Running) -> None:
    async with running(BANK) as runtime:
        ref = runtime.whereis("bank", BankApi)
        ref.cast(Add(3))
        with pytest.raises(NotSuspended):
            await sysapi.change_code(ref, NewBank)
        await sysapi.suspend(ref)
        with pytest.raises(ValueError, match="cannot convert"):
            await sysapi.change_code(ref, NewBank, "fail")
        ref.cast(Add(1))
        await sysapi.change_code(ref, NewBank)
        await sysapi.resume(ref)
        assert await ref.call(Total()) == 302


async def test_a143_the_default_upgrade_takes_the_state_as_it_is(running: Running) -> None:
    class Louder(Bank):
        @on(Total)
        def total(self, message: Total) -> int:
            return self.state.total * 2

    async with running(BANK) as runtime:
        ref = runtime.whereis("bank", BankApi)
        ref.cast(Add(3))
        await ref.call(Total())
        await sysapi.suspend(ref)
        await sysapi.change_code(ref, Louder)
        await sysapi.resume(ref)
        assert await ref.call(Total()) == 6

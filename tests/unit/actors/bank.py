"""Messages and an actor for tests of what operators may do to a running actor."""

from __future__ import annotations

from typing import Any, Self

import anyio
import msgspec

from keygrove_actors import (
    Actor,
    Call,
    CallingSelf,
    Cast,
    ChildSpec,
    Ctx,
    MailboxSpec,
    Restart,
    Secret,
    on,
    on_cast,
    sysapi,
)


class BankApi:
    pass


class Add(Cast[BankApi], frozen=True, tag=True):
    value: int


class Total(Call[BankApi, int], frozen=True, tag=True):
    pass


class Nap(Cast[BankApi], frozen=True, tag=True):
    seconds: float


class Look(Cast[BankApi], frozen=True, tag=True):
    pass


class AskSelf(Call[BankApi, str], frozen=True, tag=True):
    pass


class Vault(msgspec.Struct, frozen=True):
    total: int = 0
    pin: Secret[str] = "1234"


class Bank(Actor[BankApi]):
    def __init__(self) -> None:
        self.state = Vault()

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on_cast(Add)
    def add(self, message: Add) -> None:
        self.state = msgspec.structs.replace(self.state, total=self.state.total + message.value)

    @on(Total)
    def total(self, message: Total) -> int:
        return self.state.total

    @on_cast(Nap)
    async def nap(self, message: Nap) -> None:
        await anyio.sleep(message.seconds)

    @on(AskSelf)
    async def ask_self(self, message: AskSelf) -> str:
        try:
            await sysapi.get_state(self.ctx.self_ref)
        except CallingSelf as error:
            return str(error)
        return ""


class NewBank(Bank):
    version = 2

    def __init__(self, state: Vault) -> None:
        self.state = state

    @classmethod
    def upgrade(cls, state: Any, version: int, extra: Any) -> Self:
        if extra == "fail":
            raise ValueError("cannot convert")
        assert version == 0
        return cls(msgspec.structs.replace(state, total=state.total * 100))

    @on(Total)
    def total(self, message: Total) -> int:
        return self.state.total + 1


BANK = ChildSpec("bank", Bank, name="bank", restart=Restart.TEMPORARY, mailbox=MailboxSpec(3))

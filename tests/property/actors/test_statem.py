"""A state machine with a random table, against a literal transcription of the rule."""

from __future__ import annotations

import enum
from typing import Any, ClassVar, TypeAlias

import anyio
from hypothesis import given
from hypothesis import strategies as st

from keygrove_actors import (
    POSTPONE,
    Cast,
    ChildSpec,
    Defer,
    Runtime,
    StateActor,
    SupSpec,
    enters,
    on_cast,
)
from tests.property.actors.play import Loop, loops, played


class MachineApi:
    pass


class Event(Cast[MachineApi], frozen=True, tag=True):
    kind: int
    number: int


class S(enum.Enum):
    A = 0
    B = 1
    C = 2


KINDS = 4
Action: TypeAlias = tuple[str, Any]
Table: TypeAlias = dict[tuple[S, int], Action]


class Machine(StateActor[MachineApi, S]):
    initial: ClassVar = S.A

    def __init__(self, table: Table, log: list[Any]) -> None:
        self.table, self.log = table, log

    @on_cast(Event)
    def event(self, message: Event) -> Defer | None:
        verb, what = self.table[self.state, message.kind]
        if verb == "postpone":
            return POSTPONE
        self.log.append((self.state, message.kind, message.number))
        if verb == "go":
            self.go(what)
        elif verb == "repeat":
            self.repeat_state()
        elif verb == "next":
            for kind in range(message.kind + 1, KINDS):
                self.next_event(Event(kind, message.number))
            self.go(what)
        return None

    @enters(S.A, S.B, S.C)
    def entered(self, old: S | None) -> None:
        self.log.append((old, self.state))


def transcribed(table: Table, events: list[int]) -> list[Any]:
    """The rule: new events first, then the postponed if the state changed, then the mail."""
    log: list[Any] = [(None, S.A)]
    state, postponed = S.A, list[tuple[int, int]]()
    mail = [(kind, number) for number, kind in enumerate(events)]
    while mail:
        kind, number = mail.pop(0)
        verb, what = table[state, kind]
        if verb == "postpone":
            postponed.append((kind, number))
            continue
        log.append((state, kind, number))
        new = KINDS - kind - 1 if verb == "next" else 0
        mail = [*((kind + 1 + k, number) for k in range(new)), *mail]
        if verb == "repeat" or (verb in {"go", "next"} and what is not state):
            old, state = state, state if verb == "repeat" else what
            log.append((old, state))
            news, mail = mail[:new], mail[new:]
            mail, postponed = [*news, *postponed, *mail], []
    return log


actions = st.one_of(
    st.just(("handle", None)),
    st.just(("postpone", None)),
    st.just(("repeat", None)),
    st.tuples(st.sampled_from(["go", "next"]), st.sampled_from(S)),
)
tables = st.fixed_dictionaries({(state, kind): actions for state in S for kind in range(KINDS)})


@given(tables, st.lists(st.integers(0, KINDS - 1), max_size=12), loops)
def test_a131_a135_a136_events_are_handled_in_the_order_of_the_rule(
    table: Table, events: list[int], loop: Loop
) -> None:
    log: list[Any] = []

    async def scenario(runtime: Runtime) -> None:
        ref = runtime.whereis("machine", MachineApi)
        for number, kind in enumerate(events):
            ref.cast(Event(kind, number))
        await anyio.sleep(1.0)
        assert ref.alive()

    spec = ChildSpec("machine", lambda: Machine(table, log), name="machine")
    played(scenario, SupSpec(children=(spec,)), loop)
    assert log == transcribed(table, events)

"""Whatever administrators ask for, in whatever order: what the store is given is a change of it."""

import anyio
from hypothesis import given
from hypothesis import strategies as st

from keygrove.storage.administration import rule
from keygrove.storage.audit import Effect
from keygrove.storage.memory import MemoryStore
from keygrove.storage.messages import Allow, Deny, Order, Replace
from keygrove_chaos.certificates import CREATED, digest_of, made, put_of
from keygrove_protocols.openpgp.certificate import fingerprint
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.policy import Policy

STATES = [made(1, text) for text in ("Alice", "Bob", "Carol")]
NAME = fingerprint(STATES[0])

requests = st.lists(
    st.sampled_from(["deny", "allow"]) | st.sampled_from(range(len(STATES))), max_size=12
)


def message(asked: str | int, order: Order) -> Deny | Allow | Replace:
    if isinstance(asked, int):
        return Replace(NAME, put_of(STATES[asked]), order)
    return Deny(NAME, order) if asked == "deny" else Allow(NAME, order)


@given(requests)
def test_any_requests_leave_a_certificate_held_or_denied_or_neither(
    history: list[str | int],
) -> None:
    anyio.run(play, history)


async def play(history: list[str | int]) -> None:
    store = MemoryStore()
    held: int | None = None
    denied: set[Digest] | None = None
    states = [{digest_of(state)} for state in STATES]
    for number, asked in enumerate(history):
        order = Order(None, f"{number}", number.to_bytes(2))
        (version,), (denial,) = await store.get_whole([NAME]), await store.denials_of([NAME])
        ruling = rule(message(asked, order), version, denial, Policy(), CREATED + number)
        await store.commit([] if ruling.write is None else [ruling.write], [ruling.record])
        due = Effect.DONE
        if asked == "deny":
            if denied is not None:
                due = Effect.DENIED_BEFORE
            elif held is None:
                due, denied = Effect.AHEAD, set[Digest]()
            else:
                denied = states[held]
            held = None
        elif asked == "allow":
            due = Effect.NOT_DENIED if denied is None else Effect.DONE
            denied = None
        elif denied is None:
            held = int(asked)
        else:
            due = Effect.DENIED
        assert ruling.record.effect is due
        (version,), (denial,) = await store.get_whole([NAME]), await store.denials_of([NAME])
        assert ({version.digest} if version else None) == (
            states[held] if held is not None else None
        )
        assert (None if denial is None else set(denial.digests)) == denied
    assert [one.reason for one in (await store.audit(None, 100)).records] == [
        f"{number}" for number in range(len(history))
    ]

"""Whatever was stored, and in however many shards: in other ones it is the same."""

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keygrove.cluster.placement import Placement
from keygrove.storage.audit import Action, Effect, Record
from keygrove.storage.cursor import Cursor
from keygrove.storage.logged import Logged
from keygrove.storage.mark import Snapshot
from keygrove.storage.sqlite import SqliteStore
from keygrove.storage.write import Cause, Denial, Lift, Redacted, Redaction, Write
from keygrove.system.heaps import set_root
from keygrove_chaos.certificates import CREATED, made, put_of
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.redaction import user_id_hash
from tests.shards import opened, resharded, root_of

START = Cursor(b"")
NUMBERS = range(12)
NAMES: list[Fingerprint] = [put_of(made(number)).fingerprint for number in NUMBERS]
TEXTS = ("Alice <a@x.example>", "Bob <b@x.example>", "Carol")

Moment: TypeAlias = int
"""Half hours; clocks may go back."""


class Change(msgspec.Struct, frozen=True):
    """Certificates by number, with these user IDs; None: denied, or no longer, if it is so."""

    at: Moment
    batch: tuple[tuple[int, frozenset[str] | None], ...]


class Redact(msgspec.Struct, frozen=True):
    at: Moment
    number: int
    texts: frozenset[str]
    origin: str


class Mark(msgspec.Struct, frozen=True):
    at: Moment
    name: str


Operation = Change | Redact | Mark

moments = st.integers(0, 9)
batches = st.dictionaries(
    st.sampled_from(NUMBERS), st.none() | st.frozensets(st.sampled_from(TEXTS)), min_size=1
).map(lambda batch: tuple(sorted(batch.items())))
operations = st.one_of(
    st.builds(Change, moments, batches),
    st.builds(Change, moments, batches),
    st.builds(
        Redact,
        moments,
        st.sampled_from(NUMBERS),
        st.frozensets(st.sampled_from(TEXTS)),
        st.sampled_from(("", "spam")),
    ),
    st.builds(Mark, moments, st.sampled_from(("monday", "tuesday"))),
)


class Known(msgspec.Struct, frozen=True):
    """All that is known of certificates, but for the numbers of changes, and places in the log."""

    root: bytes
    held: dict[Fingerprint, bytes]
    denied: dict[Fingerprint, Denial]
    redacted: list[Redacted]
    log: dict[Fingerprint, list[Logged]]
    records: dict[Fingerprint, list[Record]]
    snapshots: dict[str, tuple[bytes, int]]
    """Of each the root that it names, and when it was taken."""
    held_then: dict[str, list[bytes | None]]
    """The packets of each certificate as each snapshot has it."""


async def change(stores: Sequence[SqliteStore], operation: Change, nonce: int) -> None:
    at = CREATED + operation.at * 1800
    placement = Placement(len(stores))
    writes: defaultdict[int, list[Write]] = defaultdict(list)
    records: defaultdict[int, list[Record]] = defaultdict(list)
    for number, texts in operation.batch:
        shard, name = placement.shard(NAMES[number]), NAMES[number]
        (denial,) = await stores[shard].denials_of([name])
        if texts is None and denial is not None:
            writes[shard].append(Lift(name, at))
        elif texts is None or denial is not None:
            writes[shard].append(Denial(name, f"reason {nonce}", at))
            record = Record(None, Action.DENY, Effect.DONE, name, "spam", at, bytes([nonce]))
            records[shard].append(record)
        else:
            put = put_of(made(number, *sorted(texts)), at)
            origin = f"peer {nonce}"
            writes[shard].append(msgspec.structs.replace(put, cause=Cause.RECON, origin=origin))
    for shard in writes:
        await stores[shard].commit(writes[shard], records[shard])


async def carry_out(stores: Sequence[SqliteStore], operation: Operation, nonce: int) -> None:
    at = CREATED + operation.at * 1800
    placement = Placement(len(stores))
    match operation:
        case Change():
            await change(stores, operation, nonce)
        case Redact(number=number, texts=texts, origin=origin):
            ids = frozenset(user_id_hash(text.encode()) for text in texts)
            redaction = Redaction(NAMES[number], ids, at, origin)
            await stores[placement.shard(NAMES[number])].commit([], redactions=[redaction])
        case Mark(name=name):
            root = root_of(stores)
            for store in stores:
                await store.commit([], marks=[Snapshot(name, root, at)])


async def all_known(stores: Sequence[SqliteStore]) -> Known:
    placement = Placement(len(stores))
    owners = [stores[placement.shard(name)] for name in NAMES]
    log: defaultdict[Fingerprint, list[Logged]] = defaultdict(list)
    records: defaultdict[Fingerprint, list[Record]] = defaultdict(list)
    held: dict[Fingerprint, bytes] = {}
    denied: dict[Fingerprint, Denial] = {}
    for store in stores:
        for entry in (await store.history.log(None, 10_000)).entries:
            log[entry.fingerprint].append(msgspec.structs.replace(entry, change=0, place=START))
        for record in (await store.audit(None, 10_000)).records:
            records[record.fingerprint].append(record)
        held |= {one.fingerprint: one.packets for one in (await store.page(None, 100)).versions}
        denied |= {one.fingerprint: one for one in (await store.denials(None, 100)).denials}
        assert (await store.page(Cursor(b"\xff" * 32), 1)).versions == ()
    of_stores = [{one.name: one for one in await store.history.snapshots()} for store in stores]
    held_then: dict[str, list[bytes | None]] = {}
    for name in of_stores[0]:
        changes = {
            id(store): one[name].change or 0 for store, one in zip(stores, of_stores, strict=True)
        }
        trees = [await store.history.tree(changes[id(store)]) for store in stores]
        assert set_root(tree.slots() for tree in trees) == of_stores[0][name].root
        held_then[name] = [
            version.packets if version else None
            for owner, fingerprint in zip(owners, NAMES, strict=True)
            for version in await owner.history.get([fingerprint], changes[id(owner)])
        ]
    return Known(
        root=root_of(stores),
        held=held,
        denied=denied,
        redacted=[
            (await owner.redactions_of([name]))[0]
            for owner, name in zip(owners, NAMES, strict=True)
        ],
        log=dict(log),
        records=dict(records),
        snapshots={name: (one.root, one.at) for name, one in of_stores[0].items()},
        held_then=held_then,
    )


async def _there_and_back(history: Sequence[Operation], counts: Sequence[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        async with opened(root, counts[0]) as stores:
            for nonce, operation in enumerate(history):
                await carry_out(stores, operation, nonce)
            before = await all_known(stores)
        for shards in counts[1:]:
            done = await anyio.to_thread.run_sync(resharded, root, shards)
            assert (done.root, done.shards) == (before.root.hex(), shards)
            assert done.certificates == len(before.held)
            async with opened(root, shards) as stores:
                assert await all_known(stores) == before


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=25)
@given(
    st.lists(operations, max_size=12),
    st.lists(st.integers(1, 5), min_size=2, max_size=3, unique=True),
)
def test_resharding_keeps_all_that_is_known(history: list[Operation], counts: list[int]) -> None:
    asyncio.run(_there_and_back(history, counts))

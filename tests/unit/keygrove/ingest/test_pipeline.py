"""The ingest actor and its replies."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TypeVar

import anyio
import pytest

from keygrove.errors import DiskFullError, StoreError
from keygrove.ingest.messages import (
    INGEST,
    Fate,
    IngestApi,
    Load,
    Result,
    Submit,
    Submitted,
    Unavailable,
)
from keygrove.ingest.pipeline import (
    ONLY_REVOKED,
    UNDER_WAY_BYTES_MAX,
    UNDER_WAY_MAX,
    Ingest,
    Reply,
)
from keygrove.ingest.steps import COST_US_MAX, HEAVY_US, INLINE_BYTES, INLINE_US, TOO_COSTLY
from keygrove.ingest.verdicts import Blame, Rejected
from keygrove.storage.cache import Answer, Form
from keygrove.storage.committer import Means
from keygrove.storage.memory import MemoryStore
from keygrove.storage.messages import Deny, Failed, Fetch, NoSpace, Order, ShardApi
from keygrove.storage.shard import Shard
from keygrove.storage.store import Opened, Opening
from keygrove_actors import ChildSpec, ChildTerminated, DeclaredError, Ref, Report, SupSpec, run
from keygrove_chaos.certificates import armored, binary, laborious, large, made
from keygrove_chaos.node import InlineCompute, LoopClock
from keygrove_chaos.signing import Signer, subpacket
from keygrove_chaos.stores import Hook, HookedStore, Notes
from keygrove_protocols.limits import SUBMISSION
from keygrove_protocols.openpgp.armor import armor
from keygrove_protocols.openpgp.certificate import Certificate, Component, fingerprint
from keygrove_protocols.openpgp.packets import Packet, Tag, join, split
from keygrove_protocols.openpgp.policy import MINIMAL, SKS_COMPATIBLE, VERIFIED, Bounds, Policy

pytestmark = pytest.mark.anyio

T = TypeVar("T")

ALICE, BOB = made(1, "Alice"), made(2, "Bob")
CAROL = made(3, "Carol")


class Compute:
    """Does work here and now, counts it, and fails or waits when told to."""

    def __init__(self) -> None:
        self.runs = 0
        self.error: Exception | None = None
        self.gate: anyio.Event | None = None

    async def run(self, work: Callable[[], T]) -> T:
        self.runs += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return work()


class Subject:
    """A running ingest actor before one shard."""

    def __init__(self) -> None:
        self.compute = Compute()
        self.notes = Notes()
        self.reports: list[Report] = []
        self.before: Hook = self._nothing
        self.asked: list[str] = []
        self._store = MemoryStore()
        self.ref: Ref[IngestApi]
        self.shard: Ref[ShardApi]

    async def _nothing(self, _: str) -> None:
        pass

    async def _before(self, operation: str) -> None:
        self.asked.append(operation)
        await self.before(operation)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Opening, None]:
        yield Opened(HookedStore(self._store, before=self._before))

    async def submit(self, data: bytes) -> Reply:
        return await self.ref.call(Submit(data), timeout=40)

    async def load(self, *certificates: bytes) -> Reply:
        return await self.ref.call(Load(certificates), timeout=40)

    async def held(self, certificate: Certificate) -> bytes | None:
        """The octets that are served."""
        answer = await self.shard.call(Fetch(fingerprint(certificate), Form.BINARY))
        return answer.body if isinstance(answer, Answer) else None


@asynccontextmanager
async def ingesting(
    *, with_shard: bool = True, policy: Policy = VERIFIED, subject: Subject | None = None
) -> AsyncGenerator[Subject, None]:
    subject = subject or Subject()
    shard = ChildSpec(
        "shard-0",
        partial(
            Shard,
            subject.open,
            Means(LoopClock(), subject.compute, InlineCompute(), policy),
            cache_bytes=0,
            watcher=subject.notes,
        ),
        name="shard-0",
    )
    ingest = ChildSpec(
        INGEST,
        partial(Ingest, 1, subject.compute, policy, on_fault=subject.notes.fault),
        name=INGEST,
    )
    children = (shard, ingest) if with_shard else (ingest,)
    spec = SupSpec(children=children, intensity=5)
    async with run(spec, observe=subject.reports.append) as runtime:
        subject.ref = runtime.whereis(INGEST, IngestApi)
        subject.shard = runtime.whereis("shard-0", ShardApi)
        yield subject
    assert not [one for one in subject.reports if _is_crash_of_ingest(one)]


def _is_crash_of_ingest(report: Report) -> bool:
    return (
        isinstance(report, ChildTerminated)
        and "crashed" in str(report.reason)
        and (report.child == INGEST)
    )


@pytest.fixture
def subject() -> AbstractAsyncContextManager[Subject]:
    return ingesting()


def fates(reply: Reply) -> tuple[Fate, ...]:
    assert isinstance(reply, Submitted)
    return reply.fates


def results(reply: Reply) -> list[tuple[Result, str]]:
    return [(fate.result, fate.error) for fate in fates(reply)]


async def test_each_certificate_has_its_fate(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    async with subject as on:
        first = await on.submit(armored(ALICE, BOB))
        assert results(first) == [(Result.INSERTED, "")] * 2
        assert isinstance(first, Submitted)
        assert [fate.fingerprint for fate in first.fates] == [fingerprint(ALICE), fingerprint(BOB)]
        assert [fate.version for fate in first.fates] == [4, 4]
        again = await on.submit(armored(ALICE, made(2, "Bob", "Robert")))
        assert results(again) == [(Result.IGNORED, ""), (Result.UPDATED, "")]


async def test_a_bad_certificate_costs_only_itself(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    async with subject as on:
        reply = await on.submit(armored(made(9, version=5), ALICE))
        assert sorted(results(reply), key=str) == [
            (Result.INSERTED, ""),
            (Result.INVALID, "UnsupportedKeyVersion"),
        ]


@pytest.mark.parametrize("is_dump", [False, True], ids=["submission", "dump"])
async def test_each_fate_says_which_certificate_it_is_of(
    subject: AbstractAsyncContextManager[Subject], is_dump: bool
) -> None:
    async with subject as on:
        some = (ALICE, made(9, version=5), BOB, made(8, version=5), CAROL)
        if is_dump:
            await on.load(binary([ALICE]))
            reply = await on.load(*(binary([one]) for one in some))
        else:
            reply = await on.submit(armored(*some))
        assert isinstance(reply, Submitted)
        assert {fate.at: fate.result for fate in reply.fates} == {
            0: Result.IGNORED if is_dump else Result.INSERTED,
            1: Result.INVALID,
            2: Result.INSERTED,
            3: Result.INVALID,
            4: Result.INSERTED,
        }
        names = {fate.at: fate.fingerprint for fate in reply.fates}
        assert (names[0], names[2], names[4]) == tuple(map(fingerprint, (ALICE, BOB, CAROL)))


def namesake(v3: Packet) -> Certificate:
    """Another key with the same fingerprint: that is of the numbers without their lengths."""
    head, modulus_octets = v3.body[:8], int.from_bytes(v3.body[8:10]) + 7 >> 3
    modulus, exponent = v3.body[10 : 10 + modulus_octets], v3.body[12 + modulus_octets :]
    numbers = (modulus[:-1], modulus[-1:] + exponent)
    integers = [int.from_bytes(one).bit_length().to_bytes(2) + one for one in numbers]
    return Certificate(Packet(Tag.PUBLIC_KEY, head + b"".join(integers)))


async def test_another_key_of_the_same_name_is_invalid(
    subject: AbstractAsyncContextManager[Subject], vector: Callable[[str], bytes]
) -> None:
    octets = vector("v3-rsa.pgp")
    other = namesake(split(octets, SUBMISSION)[0])
    async with subject as on:
        assert results(await on.load(octets)) == [(Result.INSERTED, "")]
        (fate,) = fates(await on.load(binary([other])))
        assert (fate.result, fate.error) == (Result.INVALID, "PrimaryMismatch")
        assert fate.fingerprint == fingerprint(other)
        assert fate.comment


UNSIGNED = Certificate(ALICE.primary, (), (Component(Packet(Tag.USER_ID, b"Alice")),))
FORGED = Signer(66).sign(0x13, ALICE.primary, ALICE.components[0].packet, unhashed=Signer(1).issuer)
FLOODED = Certificate(
    ALICE.primary,
    (),
    (Component(ALICE.components[0].packet, (*ALICE.components[0].signatures, FORGED)),),
)


async def test_what_its_key_did_not_sign_is_invalid_and_says_what_to_do(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    async with subject as on:
        (fate,) = fates(await on.submit(armored(UNSIGNED)))
        assert (fate.result, fate.error) == (Result.INVALID, "NoValidSelfSig")
        assert fate.fingerprint == fingerprint(ALICE)
        assert "export it again" in fate.comment
        assert await on.held(ALICE) is None
        await on.submit(armored(ALICE))
        assert results(await on.submit(armored(UNSIGNED))) == [(Result.IGNORED, "")]


async def test_a_blocked_certificate_is_invalid_and_its_neighbour_is_not() -> None:
    policy = Policy(blocked=frozenset({fingerprint(ALICE)}))
    async with ingesting(policy=policy) as on:
        both = (ALICE, BOB)
        expected = {(Result.INVALID, "Blocked"), (Result.INSERTED, "")}
        assert set(results(await on.submit(armored(*both)))) == expected
        replies = results(await on.load(*(binary([one]) for one in both)))
        assert set(replies) == {(Result.INVALID, "Blocked"), (Result.IGNORED, "")}
        assert await on.held(ALICE) is None


async def test_what_an_operator_blocks_later_takes_no_more() -> None:
    site = Subject()
    async with ingesting(subject=site) as on:
        await on.submit(armored(ALICE))
    policy = Policy(blocked=frozenset({fingerprint(ALICE)}))
    async with ingesting(subject=site, policy=policy) as on:
        (fate,) = fates(await on.submit(armored(made(1, "Alice", "Amy"))))
        assert (fate.result, fate.error) == (Result.INVALID, "Blocked")
        assert await on.held(ALICE) == binary([ALICE])


@pytest.mark.parametrize("policy", [VERIFIED, MINIMAL, SKS_COMPATIBLE], ids=lambda one: one.preset)
async def test_what_was_left_out_is_told_and_not_served(policy: Policy) -> None:
    async with ingesting(policy=policy) as on:
        (fate,) = fates(await on.submit(armored(FLOODED)))
        assert (fate.result, fate.dropped) == (Result.INSERTED, {"BadSelfSig": 1})
        assert fate.pruned["own signatures that verify"] == 1
        assert await on.held(ALICE) == binary([ALICE])


REVOCATION = Signer(1).sign(0x20, ALICE.primary)
WRONG = Signer(66).sign(0x20, ALICE.primary, unhashed=Signer(1).issuer)
BY_FINGERPRINT = Signer(1).sign(
    0x20, ALICE.primary, unhashed=subpacket(33, b"\x04" + fingerprint(ALICE))
)


@pytest.mark.parametrize("revocation", [REVOCATION, BY_FINGERPRINT], ids=["key ID", "fingerprint"])
async def test_a_revocation_alone_revokes_the_certificate_that_is_held(
    subject: AbstractAsyncContextManager[Subject], revocation: Packet
) -> None:
    async with subject as on:
        await on.submit(armored(ALICE, BOB))
        (fate,) = fates(await on.submit(armor(join([revocation]))))
        assert (fate.result, fate.fingerprint) == (Result.UPDATED, fingerprint(ALICE))
        revoked = Certificate(ALICE.primary, (revocation,))
        assert await on.held(ALICE) == binary([revoked]), "for good, so it is forgotten"
        assert await on.held(BOB) == binary([BOB])
        assert results(await on.submit(join([revocation]))) == [(Result.IGNORED, "")]


async def test_a_load_takes_revocations_that_come_alone(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    other = join([Signer(2).sign(0x20, BOB.primary)])
    forged = join([WRONG])
    async with subject as on:
        await on.load(binary([BOB]))
        reply = await on.load(join([REVOCATION]), binary([ALICE]), other, forged, binary([CAROL]))
        results_by_place = {fate.at: (fate.result, fate.error) for fate in fates(reply)}
        assert results_by_place == {
            0: (Result.UPDATED, ""),
            1: (Result.INSERTED, ""),
            2: (Result.UPDATED, ""),
            3: (Result.INVALID, "BadSelfSig"),
            4: (Result.INSERTED, ""),
        }
        assert await on.held(ALICE) == binary([Certificate(ALICE.primary, (REVOCATION,))])
        assert results(await on.load(other)) == [(Result.IGNORED, "")]


async def test_a_load_says_of_a_revocation_that_its_certificate_is_not_held(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    async with subject as on:
        (fate,) = fates(await on.load(join([REVOCATION])))
        assert (fate.result, fate.error, fate.fingerprint) == (
            Result.INVALID,
            "UnknownTarget",
            None,
        )
        assert "is not held here" in fate.comment
        assert await on.held(ALICE) is None


@pytest.mark.parametrize("wrong", [WRONG, Signer(2).sign(0x20, ALICE.primary)], ids=["of", "on"])
async def test_a_revocation_that_its_key_did_not_make_revokes_nothing(
    subject: AbstractAsyncContextManager[Subject], wrong: Packet
) -> None:
    async with subject as on:
        await on.submit(armored(ALICE, BOB))
        reply = await on.submit(armor(join([wrong])))
        assert isinstance(reply, Rejected)
        assert (reply.blame, reply.code) == (Blame.UNACCEPTABLE, "BadSelfSig")
        assert await on.held(ALICE) == binary([ALICE])
        assert await on.held(BOB) == binary([BOB])


@pytest.mark.parametrize("revocation", [REVOCATION, BY_FINGERPRINT], ids=["key ID", "fingerprint"])
async def test_a_revocation_of_what_is_not_held_says_what_to_send(
    subject: AbstractAsyncContextManager[Subject], revocation: Packet
) -> None:
    async with subject as on:
        await on.submit(armored(BOB))
        reply = await on.submit(armor(join([revocation])))
        assert isinstance(reply, Rejected)
        assert (reply.blame, reply.code) == (Blame.UNACCEPTABLE, "UnknownTarget")
        assert await on.held(ALICE) is None


@pytest.mark.parametrize("revocation", [REVOCATION, BY_FINGERPRINT], ids=["key ID", "fingerprint"])
async def test_a_revocation_of_a_denied_key_is_answered_by_what_became_of_it(
    subject: AbstractAsyncContextManager[Subject], revocation: Packet
) -> None:
    whole, bare = armored(with_direct(ALICE, revocation)), armor(join([revocation]))
    async with subject as on:
        await on.submit(armored(ALICE))
        await on.shard.call(Deny(fingerprint(ALICE), Order(None, "spam", bytes(8))))
        reply = await on.submit(bare)
        assert isinstance(reply, Rejected), "there is nothing to verify it with"
        assert "send that with it" in reply.text
        (fate,) = fates(await on.submit(whole))
        assert (fate.result, fate.comment) == (Result.UPDATED, ONLY_REVOKED)
        assert await on.held(ALICE) == binary([Certificate(ALICE.primary, (revocation,))])
        assert results(await on.submit(bare)) == [(Result.IGNORED, "")]
        assert results(await on.submit(whole)) == [(Result.INVALID, "Denied")]


@pytest.mark.slow
async def test_a_revocation_finds_its_key_among_those_that_bear_its_id_as_a_subkey(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    """Anybody may adopt somebody else's key for encryption, and have it found by that ID."""
    adopters = [made(number, subkeys=[1]) for number in range(1_200, 2_450)]
    first = sorted(map(fingerprint, adopters))
    assert first[1_000] < fingerprint(ALICE), "these come first"
    async with subject as on:
        await on.load(*(binary([one]) for one in (*adopters, ALICE)))
        (fate,) = fates(await on.submit(armor(join([REVOCATION]))))
        assert (fate.result, fate.fingerprint) == (Result.UPDATED, fingerprint(ALICE))
        for adopter in adopters[:20]:
            assert await on.held(adopter) == binary([adopter])


async def test_a_load_passes_over_what_brought_about_what_is_held(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    octets = binary([ALICE])
    async with subject as on:
        assert results(await on.load(octets, binary([BOB]))) == [(Result.INSERTED, "")] * 2
        on.asked.clear()
        (fate,) = fates(await on.load(octets))
        assert (fate.result, fate.fingerprint, fate.at) == (
            Result.IGNORED,
            fingerprint(ALICE),
            0,
        )
        assert on.asked == ["sources"], "no shard merged anything"
        assert results(await on.load(binary([made(1, "Alice", "Amy")]))) == [(Result.UPDATED, "")]


async def test_a_load_under_another_policy_looks_into_everything_again() -> None:
    site, certificate = Subject(), made(1, "Alice", signatures=2)
    async with ingesting(subject=site, policy=MINIMAL) as on:
        assert results(await on.load(binary([certificate]))) == [(Result.INSERTED, "")]
        assert results(await on.load(binary([certificate]))) == [(Result.IGNORED, "")]
    async with ingesting(subject=site) as on:
        assert results(await on.load(binary([certificate]))) == [(Result.UPDATED, "")]
        assert await on.held(certificate) == binary([certificate])


async def test_of_a_load_each_certificate_stands_for_itself(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    secret = join([Packet(Tag.SECRET_KEY, b"\x04")])
    async with subject as on:
        reply = await on.load(binary([ALICE]), b"", secret, binary([BOB])[:-1], binary([CAROL]))
        assert {fate.at: fate.error for fate in fates(reply)} == {
            0: "",
            1: "EmptyInput",
            2: "SecretKeyMaterial",
            3: "Truncated",
            4: "",
        }
        assert on.notes.faults == []


@pytest.mark.parametrize(
    ("data", "blame", "code"),
    [
        (b"garbage", Blame.MALFORMED, "NotOpenPGP"),
        (armored(ALICE)[:-30], Blame.MALFORMED, "BadArmor"),
        (join([Packet(Tag.SECRET_KEY, b"\x04")]), Blame.UNACCEPTABLE, "SecretKeyMaterial"),
        (binary([made(n) for n in range(101)]), Blame.TOO_LARGE, "TooLarge"),
    ],
    ids=["garbage", "cut armor", "secret key", "too many"],
)
async def test_what_cannot_be_taken_is_rejected_with_the_reason(
    subject: AbstractAsyncContextManager[Subject], data: bytes, blame: Blame, code: str
) -> None:
    async with subject as on:
        reply = await on.submit(data)
        assert isinstance(reply, Rejected)
        assert (reply.blame, reply.code) == (blame, code)
        assert reply.text
        assert on.notes.faults == []


async def test_small_submissions_are_looked_into_here_and_large_ones_elsewhere(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    async with subject as on:
        await on.submit(armored(ALICE))
        assert on.compute.runs == 0
        assert results(await on.submit(binary([large(1, INLINE_BYTES)]))) == [(Result.UPDATED, "")]
        read_and_looked_into = 2
        assert on.compute.runs == read_and_looked_into
        assert results(await on.load(binary([large(2, INLINE_BYTES)]))) == [(Result.INSERTED, "")]
        assert on.compute.runs == read_and_looked_into + 1


async def test_what_is_loaded_is_looked_into_elsewhere_however_small(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    async with subject as on:
        assert results(await on.load(binary([BOB]))) == [(Result.INSERTED, "")]
        assert on.compute.runs == 1


@pytest.mark.parametrize("us", [INLINE_US, HEAVY_US])
async def test_what_takes_long_to_verify_is_verified_elsewhere_however_small(
    subject: AbstractAsyncContextManager[Subject], us: int
) -> None:
    data = binary([laborious(1, us)])
    assert len(data) < INLINE_BYTES
    async with subject as on:
        (fate,) = fates(await on.submit(data))
        assert (fate.result, fate.dropped) == (Result.INSERTED, {"MalformedSignature": 1})
        assert on.compute.runs == 1


@pytest.mark.slow
async def test_what_takes_too_long_to_verify_is_refused(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    async with subject as on:
        reply = await on.load(binary([laborious(1, COST_US_MAX)]), binary([BOB]))
        assert results(reply) == [(Result.INVALID, TOO_COSTLY), (Result.INSERTED, "")]
        assert fates(reply)[0].comment


def with_direct(certificate: Certificate, *signatures: Packet) -> Certificate:
    return Certificate(certificate.primary, signatures, certificate.components)


TOO_MUCH = laborious(1, COST_US_MAX)


@pytest.mark.slow
async def test_the_revocation_in_what_takes_too_long_is_taken_where_its_key_is_held(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    revoked = binary([with_direct(TOO_MUCH, WRONG, REVOCATION, REVOCATION)])
    async with subject as on:
        assert results(await on.load(revoked)) == [(Result.INVALID, TOO_COSTLY)]
        assert await on.held(ALICE) is None
        await on.submit(armored(ALICE))
        assert results(await on.load(binary([with_direct(TOO_MUCH, WRONG)]))) == [
            (Result.INVALID, TOO_COSTLY)
        ]
        assert await on.held(ALICE) == binary([ALICE])
        (fate,) = fates(await on.load(revoked))
        assert (fate.result, fate.error, fate.comment) == (Result.UPDATED, "", ONLY_REVOKED)
        assert await on.held(ALICE) == binary([Certificate(ALICE.primary, (REVOCATION,))])
        assert results(await on.load(revoked)) == [(Result.INVALID, TOO_COSTLY)]


async def test_the_revocation_in_what_is_too_large_is_taken_where_its_key_is_held() -> None:
    soft = Signer(1).sign(0x20, ALICE.primary, hashed=subpacket(29, b"\1"))
    crowd = with_direct(made(1, "Amy", "Ann"), soft)
    async with ingesting(policy=Policy(bounds=Bounds(user_ids=1))) as on:
        await on.submit(armored(ALICE))
        (fate,) = fates(await on.submit(armored(crowd)))
        assert (fate.result, fate.error, fate.comment) == (Result.UPDATED, "", ONLY_REVOKED)
        assert await on.held(ALICE) == binary([with_direct(ALICE, soft)])
        assert results(await on.submit(armored(crowd))) == [(Result.INVALID, "TooLarge")]


async def test_a_full_disk_is_no_space(subject: AbstractAsyncContextManager[Subject]) -> None:
    async def full(operation: str) -> None:
        if operation == "commit":
            raise DiskFullError("heap.db")

    async with subject as on:
        on.before = full
        assert await on.submit(armored(ALICE)) == NoSpace()


async def test_a_shard_that_crashes_makes_it_unavailable_and_again_is_safe(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    async def fail(operation: str) -> None:
        if operation == "commit":
            on.before = nothing
            raise StoreError("gone")

    async def nothing(_: str) -> None:
        pass

    async with subject as on:
        on.before = fail
        assert await on.submit(armored(ALICE)) == Unavailable()
        await anyio.wait_all_tasks_blocked()
        assert results(await on.submit(armored(ALICE))) == [(Result.INSERTED, "")]


async def test_without_shards_it_is_unavailable() -> None:
    async with ingesting(with_shard=False) as on:
        assert await on.submit(armored(ALICE)) == Unavailable()


async def test_a_bug_costs_its_submitter_only_and_is_told(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    data = binary([large(1, INLINE_BYTES)])
    async with subject as on:
        on.compute.error = ZeroDivisionError("a bug")
        assert await on.submit(data) == Failed()
        assert [(where, str(error)) for where, error in on.notes.faults] == [("ingest", "a bug")]
        assert results(await on.submit(armored(ALICE))) == [(Result.INSERTED, "")]


async def submit_many(on: Subject, submissions: Sequence[bytes]) -> list[str]:
    """What became of each of these, sent at once."""
    ends: list[str] = []

    async def submit(data: bytes) -> None:
        try:
            ends.append(type(await on.submit(data)).__name__)
        except DeclaredError as error:
            ends.append(type(error.failure).__name__)

    async with anyio.create_task_group() as tasks:
        for data in submissions:
            tasks.start_soon(submit, data)
        await anyio.wait_all_tasks_blocked()
        if on.compute.gate is not None:
            on.compute.gate.set()
    return ends


@pytest.mark.slow
async def test_beyond_so_many_submissions_it_is_overloaded_and_recovers(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    async with subject as on:
        on.compute.gate = anyio.Event()
        ends = await submit_many(on, [b"\xc6" * (INLINE_BYTES + 1)] * (UNDER_WAY_MAX + 20))
        assert ends.count("Overloaded") == 20
        assert isinstance(await on.submit(b"junk"), Rejected)


async def test_beyond_so_many_bytes_it_is_overloaded_and_recovers(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    size = UNDER_WAY_BYTES_MAX // 8
    async with subject as on:
        on.compute.gate = anyio.Event()
        ends = await submit_many(on, [b"\xc6" * size] * 12)
        assert ends.count("Overloaded") == 4
        assert isinstance(await on.submit(b"\xc6" * size), Rejected)


async def test_one_submission_is_taken_however_large_it_is(
    subject: AbstractAsyncContextManager[Subject],
) -> None:
    async with subject as on:
        reply = await on.submit(bytes(UNDER_WAY_BYTES_MAX + 1))
        assert isinstance(reply, Rejected)
        assert reply.blame is Blame.TOO_LARGE
        assert results(await on.load(bytes(UNDER_WAY_BYTES_MAX + 1))) == [
            (Result.INVALID, "BadPacketHeader")
        ]

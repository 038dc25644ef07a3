"""Loading files into a sink, and the count of what became of them."""

from collections import Counter
from collections.abc import Callable, Sequence
from io import BytesIO

import anyio
import pytest

from keygrove.errors import DiskFullError, ReportError, UnavailableError
from keygrove.ingest.files import BATCH_CERTIFICATES
from keygrove.ingest.loading import (
    FAILED,
    RETRIES,
    RETRY_S,
    TOO_LARGE,
    UNDER_WAY,
    Loader,
    Refusal,
)
from keygrove.ingest.messages import Fate, Result, Submitted, Unavailable
from keygrove.ingest.pipeline import ONLY_REVOKED, Reply
from keygrove.ingest.steps import look_into_dump
from keygrove.ingest.verdicts import Blame, Rejected
from keygrove.storage.messages import Failed, NoSpace
from keygrove_chaos.certificates import armored, binary, made
from keygrove_protocols.openpgp.certificate import Certificate, Refused, fingerprint
from keygrove_protocols.openpgp.packets import Packet, Tag, join
from keygrove_protocols.openpgp.policy import VERIFIED

pytestmark = pytest.mark.anyio


class Sink:
    """Takes submissions as ingest does, and keeps count; `replies` are given first."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.held: set[bytes] = set()
        self.submissions = 0
        self.spoils: Callable[[bytes], Reply | None] = lambda _: None
        self.at_once = self.at_once_max = 0
        self.meeting = 0
        """So many submissions are waited for before the first is answered."""
        self._has_met = anyio.Event()
        self.progress: list[tuple[int, int]] = []
        self.dropped: dict[bytes, dict[str, int]] = {}
        self.pruned: dict[bytes, dict[str, int]] = {}
        self.told: list[Refusal] = []

    async def __call__(self, certificates: Sequence[bytes]) -> Reply:
        self.submissions += 1
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        if self.at_once >= self.meeting:
            self._has_met.set()
        await self._has_met.wait()
        await anyio.sleep(0.01)
        self.at_once -= 1
        if self.replies:
            return self.replies.pop(0)
        return self.spoils(b"".join(certificates)) or self._take(certificates)

    def _take(self, certificates: Sequence[bytes]) -> Reply:
        fates: list[Fate] = []
        for one in look_into_dump(certificates, VERIFIED).ones:
            if isinstance(one, Refused):
                invalid = Result.INVALID
                fates.append(Fate(invalid, one.fingerprint, None, one.error, one.text, one.at))
                continue
            result = Result.IGNORED if one.fingerprint in self.held else Result.INSERTED
            self.held.add(one.fingerprint)
            dropped = self.dropped.get(one.fingerprint, {})
            pruned = self.pruned.get(one.fingerprint, {})
            name, at = one.fingerprint, one.at
            fates.append(Fate(result, name, one.version, at=at, dropped=dropped, pruned=pruned))
        return Submitted(tuple(fates))


def ignore_progress(_: int, __: int) -> None:
    """Nobody looks."""


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def loader(sink: Sink) -> Loader:
    return Loader(
        sink,
        lambda done, number: sink.progress.append((done, number)),
        on_refusal=sink.told.append,
    )


async def load(loader: Loader, data: bytes, name: str = "file") -> None:
    await loader.load(name, BytesIO(data))


def some(number: int) -> list[Certificate]:
    return [made(n, f"User {n}") for n in range(number)]


async def test_every_certificate_is_submitted_and_counted(sink: Sink, loader: Loader) -> None:
    data = binary(some(500))
    await load(loader, data)
    await load(loader, armored(made(3), made(1_000)))
    assert len(sink.held) == 501
    loaded = loader.loaded
    assert (loaded.certificates, loaded.inserted, loaded.ignored) == (502, 501, 1)
    assert (loaded.updated, loaded.invalid, loaded.unreadable) == (0, 0, {})


async def test_progress_ends_with_all_bytes_and_certificates(sink: Sink, loader: Loader) -> None:
    data = binary(some(500))
    await load(loader, data)
    assert sink.progress[-1] == (len(data), 500)
    assert [done for done, _ in sink.progress] == sorted(done for done, _ in sink.progress)


async def test_some_batches_are_under_way_at_once_but_not_many(sink: Sink, loader: Loader) -> None:
    sink.meeting = UNDER_WAY
    await load(loader, binary(some(BATCH_CERTIFICATES * 8)))
    assert sink.at_once_max == UNDER_WAY


async def test_a_secret_key_in_a_batch_costs_only_itself(sink: Sink, loader: Loader) -> None:
    secret = binary([made(7)]) + join([Packet(Tag.SECRET_SUBKEY, b"\x04")])
    await load(loader, binary(some(5)) + secret + binary([made(8)]))
    assert sink.held == {fingerprint(made(n)) for n in (0, 1, 2, 3, 4, 8)}
    assert (loader.loaded.inserted, loader.loaded.invalid) == (6, 1)
    assert loader.loaded.reasons == {"SecretKeyMaterial": 1}


async def test_a_bug_met_by_one_of_a_batch_costs_only_that_one(sink: Sink, loader: Loader) -> None:
    bad = binary([made(2, "User 2")])
    sink.spoils = lambda data: Failed() if bad in data else None
    await load(loader, binary(some(5)))
    assert (loader.loaded.inserted, loader.loaded.invalid) == (4, 1)
    assert loader.loaded.reasons == {"Failed": 1}


async def test_refused_certificates_are_counted_by_reason(loader: Loader) -> None:
    await load(loader, binary([made(1), made(2, version=5), made(3, version=5)]))
    assert Counter(loader.loaded.reasons) == {"UnsupportedKeyVersion": 2}
    assert (loader.loaded.inserted, loader.loaded.invalid) == (1, 2)


async def test_a_full_disk_ends_the_loading(sink: Sink, loader: Loader) -> None:
    sink.spoils = lambda _: NoSpace()
    with pytest.raises(DiskFullError):
        await load(loader, binary(some(BATCH_CERTIFICATES * 20)))
    assert sink.submissions <= 2 * UNDER_WAY


async def test_what_is_under_way_beside_a_batch_that_fails_is_finished_and_counted(
    sink: Sink, loader: Loader
) -> None:
    sink.replies = [NoSpace()]
    sink.meeting = UNDER_WAY
    with pytest.raises(DiskFullError):
        await load(loader, binary(some(BATCH_CERTIFICATES * 20)))
    assert sink.at_once == 0, "nobody was cancelled"
    assert 0 < loader.loaded.inserted == len(sink.held) < BATCH_CERTIFICATES * 20


async def test_after_a_failure_nobody_waits_for_a_shard(sink: Sink, loader: Loader) -> None:
    sink.replies = [Unavailable(), NoSpace()]
    sink.spoils = lambda _: Unavailable()
    begun = anyio.current_time()
    with pytest.raises(DiskFullError):
        await load(loader, binary(some(BATCH_CERTIFICATES * 20)))
    assert anyio.current_time() - begun < 3 * RETRY_S


async def test_a_restart_of_a_shard_is_waited_for(sink: Sink, loader: Loader) -> None:
    sink.replies = [Unavailable()] * 5
    begun = anyio.current_time()
    await load(loader, binary(some(3)))
    assert loader.loaded.inserted == 3
    assert anyio.current_time() - begun == pytest.approx(5 * RETRY_S, abs=0.2)


async def test_a_store_that_stays_away_is_given_up(sink: Sink, loader: Loader) -> None:
    sink.spoils = lambda _: Unavailable()
    begun = anyio.current_time()
    with pytest.raises(UnavailableError, match="log"):
        await load(loader, binary(some(3)))
    assert anyio.current_time() - begun == pytest.approx(RETRIES * RETRY_S, rel=0.1)


async def test_a_file_that_is_damaged_is_noted_and_the_next_is_loaded(
    sink: Sink, loader: Loader
) -> None:
    await load(loader, binary(some(5)) + b"\x00junk", "broken")
    await load(loader, binary([made(9)]), "whole")
    assert list(loader.loaded.unreadable) == ["broken"]
    assert len(sink.held) == 6


async def test_a_file_that_cannot_be_read_is_noted(loader: Loader) -> None:
    class Broken(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    await loader.load("tape", Broken())
    assert "Input/output error" in loader.loaded.unreadable["tape"]


async def test_two_loaders_do_not_share_their_counts(sink: Sink) -> None:
    one, other = (Loader(sink, ignore_progress) for _ in range(2))
    await load(one, b"\x00junk")
    await load(one, binary([made(2, version=5)]))
    assert (other.loaded.unreadable, other.loaded.reasons) == ({}, {})


async def test_each_refusal_is_told_with_its_place(sink: Sink, loader: Loader) -> None:
    first, bad, last = (binary([made(n, version=v)]) for n, v in ((1, 4), (2, 5), (3, 4)))
    await load(loader, first + bad + last + bad, "dump.pgp")
    assert [(one.file, one.number, one.offset, one.result, one.error) for one in sink.told] == [
        ("dump.pgp", 2, len(first), "invalid", "UnsupportedKeyVersion"),
        ("dump.pgp", 4, len(first + bad + last), "invalid", "UnsupportedKeyVersion"),
    ]
    name = fingerprint(made(2, version=5)).hex()
    assert {one.fingerprint for one in sink.told} == {name}
    assert "send one of version 4 or 6" in sink.told[0].text


async def test_one_with_a_secret_key_is_told_with_its_place(sink: Sink, loader: Loader) -> None:
    secret = binary([made(7)]) + join([Packet(Tag.SECRET_SUBKEY, b"\x04")])
    before = binary(some(5))
    await load(loader, before + secret + binary([made(8)]))
    assert [(one.number, one.offset, one.error) for one in sink.told] == [
        (6, len(before), "SecretKeyMaterial")
    ]


async def test_one_that_spoils_its_batch_is_told_with_its_place(sink: Sink, loader: Loader) -> None:
    first, bad = binary([made(1)]), binary([made(2, "User 2")])
    refused = Rejected(Blame.TOO_LARGE, "TooCostly", "it takes too long")
    sink.spoils = lambda data: refused if bad in data else None
    await load(loader, first + bad + binary([made(3)]))
    expected = Refusal("file", 2, len(first), None, "invalid", "TooCostly", "it takes too long")
    assert sink.told == [expected]
    assert (loader.loaded.inserted, loader.loaded.invalid) == (2, 1)


async def test_one_that_met_a_bug_is_told(sink: Sink, loader: Loader) -> None:
    sink.spoils = lambda _: Failed()
    await load(loader, binary([made(1)]))
    assert sink.told == [Refusal("file", 1, 0, None, "invalid", "Failed", FAILED)]


async def test_one_of_which_only_the_revocation_was_taken_is_told(
    sink: Sink, loader: Loader
) -> None:
    fate = Fate(Result.UPDATED, fingerprint(made(1)), 4, comment=ONLY_REVOKED)
    sink.spoils = lambda _: Submitted((fate,))
    await load(loader, binary([made(1)]))
    ((result, error, text),) = [(one.result, one.error, one.text) for one in sink.told]
    assert (result, error, text) == ("updated", "", ONLY_REVOKED)
    assert loader.loaded.updated == 1


async def test_one_larger_than_any_may_be_is_told(sink: Sink, loader: Loader) -> None:
    attribute = Packet(Tag.USER_ATTRIBUTE, bytes(16 << 20))
    before = binary([made(1)])
    await load(loader, before + join([made(9).primary, *[attribute] * 5]))
    assert sink.told == [Refusal("file", 2, len(before), None, "invalid", "TooLarge", TOO_LARGE)]
    assert (loader.loaded.inserted, loader.loaded.invalid) == (1, 1)


async def test_what_was_dropped_of_one_that_was_taken_is_told(sink: Sink, loader: Loader) -> None:
    name = fingerprint(made(1))
    sink.dropped[name] = {"BadSignature": 2}
    await load(loader, binary([made(0), made(1)]))
    (told,) = sink.told
    assert (told.fingerprint, told.number, told.result) == (name.hex(), 2, "inserted")
    assert told.dropped == {"BadSignature": 2}
    assert (loader.loaded.inserted, loader.loaded.invalid, loader.loaded.reasons) == (2, 0, {})


async def test_what_the_policy_pruned_of_one_that_was_taken_is_told(
    sink: Sink, loader: Loader
) -> None:
    sink.pruned[fingerprint(made(1))] = {"user attributes": 3}
    await load(loader, binary([made(0), made(1)]))
    (told,) = sink.told
    assert (told.number, told.result, told.pruned) == (2, "inserted", {"user attributes": 3})


async def test_the_rest_of_a_file_that_cannot_be_read_is_told(sink: Sink, loader: Loader) -> None:
    await load(loader, binary([made(1)]) + b"\x00junk", "broken")
    (told,) = sink.told
    assert (told.file, told.number, told.offset) == ("broken", None, None)
    assert (told.result, told.error) == ("unreadable", "BadPacketHeader")
    assert told.text == loader.loaded.unreadable["broken"]


async def test_a_report_that_cannot_be_written_ends_the_loading(sink: Sink) -> None:
    def fail(_: Refusal) -> None:
        raise ReportError("report", "no space")

    loader = Loader(sink, ignore_progress, on_refusal=fail)
    with pytest.raises(ReportError, match="name another file"):
        await load(loader, binary([made(2, version=5)]) + binary(some(BATCH_CERTIFICATES * 20)))
    assert sink.submissions <= 2 * UNDER_WAY
    assert loader.loaded.invalid == 1

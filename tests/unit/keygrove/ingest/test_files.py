"""From a file to batches."""

from io import BytesIO

import pytest

from keygrove.ingest.files import BATCH_BYTES, BATCH_CERTIFICATES, CHUNK_BYTES, Batch, batches
from keygrove_chaos.certificates import armored, binary, large, made
from keygrove_protocols.errors import ProtocolError, SecretKeyMaterialError, TooLargeError
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.packets import Packet, Tag, join


def certificates_of(number: int) -> list[bytes]:
    return [binary([made(n, f"User {n}")]) for n in range(number)]


def read(data: bytes) -> list[Batch]:
    return list(batches(BytesIO(data)))


class Trickle(BytesIO):
    """A file that gives less than it is asked for, as pipes do."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 7) if size != -1 else -1)


def flat(found: list[Batch]) -> list[bytes]:
    return [one for batch in found for one in batch.certificates]


def test_an_empty_file_has_no_batches() -> None:
    assert read(b"") == []


def test_a_binary_file_is_cut_into_its_certificates() -> None:
    wanted = certificates_of(3)
    assert read(b"".join(wanted)) == [Batch(tuple(wanted), len(b"".join(wanted)), 0)]


def test_a_file_that_comes_in_small_pieces_is_read_the_same() -> None:
    wanted = certificates_of(5)
    assert flat(list(batches(Trickle(b"".join(wanted))))) == wanted


def test_an_armored_file_is_read_as_its_packets() -> None:
    made_up = [made(n, "Alice") for n in range(3)]
    assert flat(read(armored(*made_up))) == [binary([one]) for one in made_up]


def test_batches_are_bounded_by_their_number() -> None:
    wanted = certificates_of(BATCH_CERTIFICATES * 2 + 1)
    found = read(b"".join(wanted))
    assert [len(batch.certificates) for batch in found] == [200, 200, 1]
    assert flat(found) == wanted


def test_batches_are_bounded_by_their_bytes() -> None:
    wanted = [binary([large(n, BATCH_BYTES * 3 // 8)]) for n in range(5)]
    found = read(b"".join(wanted))
    sizes = [sum(map(len, batch.certificates)) for batch in found]
    assert all(size <= BATCH_BYTES for size in sizes)
    assert len(sizes) == 3
    assert flat(found) == wanted


def test_one_certificate_beyond_a_batch_is_a_batch() -> None:
    wanted = [binary([large(n, BATCH_BYTES)]) for n in range(2)]
    assert len(wanted[0]) > BATCH_BYTES
    assert [len(batch.certificates) for batch in read(b"".join(wanted))] == [1, 1]


def test_what_was_read_so_far_grows_to_the_size_of_the_file() -> None:
    data = b"".join(binary([large(n, CHUNK_BYTES // 5)]) for n in range(6))
    seen = [batch.read_bytes for batch in read(data)]
    assert seen == sorted(seen)
    assert seen[-1] == len(data) > CHUNK_BYTES


def test_what_was_read_of_an_armored_file_is_its_own_size() -> None:
    data = armored(*(made(n, "Alice", signatures=50) for n in range(10)))
    assert read(data)[-1].read_bytes == len(data)


@pytest.mark.parametrize(
    "tail",
    [b"\x00junk", b"\xc6\xff\x00\x00\x10\x00short", b"\xc6"],
    ids=["bit 7", "cut off", "half a header"],
)
def test_a_damaged_tail_keeps_what_came_before(tail: bytes) -> None:
    wanted = certificates_of(3)
    found = batches(BytesIO(b"".join(wanted) + tail))
    assert next(found).certificates[:2] == tuple(wanted[:2])
    with pytest.raises(ProtocolError):
        next(found)


def test_a_certificate_larger_than_any_may_be_is_passed_over() -> None:
    attribute = Packet(Tag.USER_ATTRIBUTE, bytes(8 << 20))
    number = BULK.certificate_bytes_max // len(attribute.body) + 1
    huge = join([made(9).primary, *[attribute] * number])
    first, last = certificates_of(2)
    found = read(first + huge + last)
    assert flat(found) == [first, last]
    assert found[-1].skipped == 1


def test_an_armored_file_that_is_too_large_says_what_to_do() -> None:
    data = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n" + b"A" * BULK.body_bytes_max
    with pytest.raises(TooLargeError, match="64 MiB: dearmor it, or split it"):
        read(data)


def test_an_armored_private_key_is_refused() -> None:
    with pytest.raises(SecretKeyMaterialError):
        read(
            b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nAAAA\n-----END PGP PRIVATE KEY BLOCK-----\n"
        )

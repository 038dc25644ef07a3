"""From a file to batches."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from io import BytesIO

import pytest
import zstandard

from keygrove.ingest.files import (
    BATCH_BYTES,
    BATCH_CERTIFICATES,
    CHUNK_BYTES,
    WHOLE_ARMOR_BYTES,
    Batch,
    batches,
)
from keygrove.ingest.unpacking import BadCompressionError
from keygrove_chaos.certificates import armored, binary, large, made
from keygrove_chaos.signing import Signer
from keygrove_protocols.errors import (
    BadArmorError,
    NotACertificateError,
    NotOpenPGPError,
    ProtocolError,
    SecretKeyMaterialError,
)
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.armor import armor
from keygrove_protocols.openpgp.packets import Cut, Packet, Place, Tag, join


def certificates_of(number: int) -> list[bytes]:
    return [binary([made(n, f"User {n}")]) for n in range(number)]


def read(data: bytes) -> list[Batch]:
    return list(batches(BytesIO(data)))


def read_until_error(data: bytes) -> tuple[list[Batch], ProtocolError]:
    """What is given out before the damage, and what is said of that."""
    found: list[Batch] = []
    try:
        for batch in batches(BytesIO(data)):
            found.append(batch)
    except ProtocolError as error:
        return found, error
    pytest.fail("nothing was wrong with it")


class Trickle(BytesIO):
    """A file that gives less than it is asked for, as pipes do."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 7) if size != -1 else -1)


def flat(found: list[Batch]) -> list[bytes]:
    return [one.octets for batch in found for one in batch.certificates]


def test_an_empty_file_has_no_batches() -> None:
    assert read(b"") == []


def test_a_binary_file_is_cut_into_its_certificates() -> None:
    wanted = certificates_of(3)
    first, second, third = wanted
    ends = [0, len(first), len(first + second)]
    cuts = (Cut(Place(at + 1, ends[at]), wanted[at]) for at in range(3))
    assert read(b"".join(wanted)) == [Batch(tuple(cuts), len(first + second + third))]


def test_a_file_that_comes_in_small_pieces_is_read_the_same() -> None:
    wanted = certificates_of(5)
    assert flat(list(batches(Trickle(b"".join(wanted))))) == wanted


REVOCATION = join([Signer(1).sign(0x20, made(1).primary)])


def test_revocations_that_come_alone_are_among_what_is_read() -> None:
    (first,) = certificates_of(1)
    assert flat(read(REVOCATION)) == [REVOCATION]
    assert flat(read(armor(REVOCATION))) == [REVOCATION]
    assert flat(read(REVOCATION + REVOCATION + first)) == [REVOCATION, REVOCATION, first]
    assert flat(read(first + REVOCATION)) == [first + REVOCATION]


def test_what_was_cut_off_from_its_certificate_is_passed_over() -> None:
    stray = join([Signer(1).sign(0x1F, made(1).primary), Packet(Tag.USER_ID, b"Alice")])
    (first,) = certificates_of(1)
    assert flat(read(stray + first)) == [first]
    with pytest.raises(NotACertificateError, match="neither a certificate in it nor"):
        read(stray)


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
    sizes = [sum(len(one.octets) for one in batch.certificates) for batch in found]
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
    assert flat([next(found)])[:2] == wanted[:2]
    with pytest.raises(ProtocolError):
        next(found)


def test_a_certificate_larger_than_any_may_be_is_passed_over() -> None:
    attribute = Packet(Tag.USER_ATTRIBUTE, bytes(8 << 20))
    number = BULK.certificate_bytes_max // len(attribute.body) + 1
    huge = join([made(9).primary, *[attribute] * number])
    first, last = certificates_of(2)
    found = read(first + huge + last)
    assert flat(found) == [first, last]
    assert [one for batch in found for one in batch.skipped] == [Place(2, len(first))]
    assert [one.place.number for batch in found for one in batch.certificates] == [1, 3]


@pytest.mark.slow
def test_an_armored_file_of_any_size_is_read_as_its_packets() -> None:
    made_up = [made(n, "Alice", signatures=40) for n in range(1000)]
    wanted = [binary([one]) for one in made_up]
    text = armored(*made_up) + b"\n" + armored(*made_up)
    assert len(text) > WHOLE_ARMOR_BYTES
    found = read(text)
    assert flat(found) == wanted * 2
    assert found[-1].read_bytes == len(text)


@pytest.mark.slow
def test_what_stands_before_damage_in_a_large_armored_file_is_given_out() -> None:
    made_up = [made(n, "Alice", signatures=40) for n in range(1000)]
    text = armored(*made_up)
    whole = text * (1 + WHOLE_ARMOR_BYTES // len(text))
    found, error = read_until_error(whole + text[:-60])
    assert isinstance(error, BadArmorError)
    number = 1000 * (len(whole) // len(text))
    assert flat(found)[:number] == [binary([one]) for one in made_up] * (number // 1000)
    assert len(flat(found)) >= number + 990


def test_what_stands_before_a_failure_of_the_file_is_given_out() -> None:
    class Broken(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(size) or fail()

    def fail() -> bytes:
        raise OSError(5, "Input/output error")

    wanted = certificates_of(3)
    found = batches(Broken(b"".join(wanted)))
    assert flat([next(found)]) == wanted
    with pytest.raises(OSError, match="Input/output"):
        next(found)


def test_an_armored_private_key_is_refused() -> None:
    with pytest.raises(SecretKeyMaterialError):
        read(
            b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nAAAA\n-----END PGP PRIVATE KEY BLOCK-----\n"
        )


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
@pytest.mark.parametrize("as_text", [False, True], ids=["binary", "armored"])
def test_a_compressed_file_is_read_as_what_is_in_it(
    pack: Callable[[bytes], bytes], as_text: bool
) -> None:
    made_up = [made(n, "Alice") for n in range(3)]
    packed = pack(armored(*made_up) if as_text else binary(made_up))
    wanted = [binary([one]) for one in made_up]
    found = list(batches(Trickle(packed)))
    assert flat(found) == wanted
    assert found[-1].read_bytes == len(packed)


def test_a_compressed_file_that_is_cut_off_is_read_up_to_there() -> None:
    wanted = certificates_of(2_000)
    found, error = read_until_error(gzip.compress(b"".join(wanted))[:-9])
    assert isinstance(error, BadCompressionError)
    assert flat(found)[:1_990] == wanted[:1_990]


def test_a_zip_says_what_unpacks_it() -> None:
    with pytest.raises(NotOpenPGPError, match="`unzip -p FILE"):
        read(b"PK\x03\x04" + bytes(100))

"""How many certificates are asked for, and what an answer brought."""

import pytest

from keygrove.recon.batch import FIRST, Size, read_response
from keygrove_chaos.certificates import made
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.openpgp.certificate import Certificate, packets, to_bytes
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.hashquery import BATCH, encode_response

ALICE, BOB = made(1, "Alice <a@x.example>"), made(2, "Bob <b@x.example>")


def octets(certificate: Certificate) -> bytes:
    return to_bytes(certificate)


def digest(certificate: Certificate) -> Digest:
    return sks_digest(packets(certificate))


def test_a_batch_grows_fast_until_something_fails_and_slowly_after_it() -> None:
    size = Size()
    sizes = [size.now]
    for _ in range(3):
        size.worked()
        sizes.append(size.now)
    assert sizes == [FIRST, 2 * FIRST, 4 * FIRST, BATCH]
    size.failed()
    assert size.now == BATCH // 2
    size.worked()
    assert size.now == BATCH // 2 + 1
    for _ in range(20):
        size.failed()
    assert size.now == 1


def test_certificates_are_known_by_the_digest_of_what_came() -> None:
    asked = [digest(ALICE), Digest(bytes(16))]
    found = read_response(asked, encode_response([octets(BOB), octets(ALICE)]), 1 << 20)
    assert found.digests == (digest(BOB), digest(ALICE))
    assert found.absent == (Digest(bytes(16)),)


def test_one_that_cannot_be_read_says_nothing_of_the_others() -> None:
    body = encode_response([b"\x00nonsense", octets(ALICE), b""])
    found = read_response([digest(ALICE)] * 3, body, 1 << 20)
    assert (found.digests, found.unreadable) == ((digest(ALICE),), 2)


def test_a_string_with_several_certificates_cannot_be_read() -> None:
    several = b"".join(octets(made(number)) for number in range(3, 23))
    body = encode_response([several, octets(ALICE)])
    found = read_response([digest(ALICE)], body, 1 << 20)
    assert (found.certificates, found.unreadable) == ((octets(ALICE),), 1)


def test_one_that_is_too_large_is_passed_over() -> None:
    found = read_response([digest(ALICE)], encode_response([octets(ALICE)]), 100)
    assert (found.digests, found.unreadable) == ((), 1)


@pytest.mark.parametrize(
    "body", [b"", b"\x00\x00", b"\x7f\xff\xff\xff", encode_response([bytes(9)])[:-5]]
)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_response([digest(ALICE)], body, 1 << 20)

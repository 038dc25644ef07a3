"""Bodies of /pks/hashquery: recorded ones, and what may be wrong with one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keygrove_protocols.errors import TooLargeError
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.packets import split
from keygrove_protocols.recon.hashquery import (
    ASKED_MAX,
    BATCH,
    REQUEST_OCTETS_MAX,
    BadHashQueryError,
    ResponseDecoder,
    ResponseLimits,
    decode_request,
    encode_request,
    encode_response,
)
from keygrove_protocols.recon.messages import string
from tests.unit.protocols.recon.recorded import ServerCase, recorded

RECORDED = recorded().hashquery
CERTIFICATES = [bytes.fromhex(one) for one in RECORDED.certs]
DIGESTS = st.lists(st.binary(min_size=16, max_size=16).map(Digest), unique=True, max_size=20)


def number(value: int) -> bytes:
    return value.to_bytes(4)


def body_of(message: str) -> bytes:
    return bytes.fromhex(message).partition(b"\r\n\r\n")[2]


def decoded(body: bytes, asked: int) -> list[bytes]:
    decoder = ResponseDecoder(asked)
    found = decoder.feed(body)
    decoder.close()
    return found


@pytest.mark.parametrize("case", RECORDED.server, ids=lambda one: f"{one.server}-{one.case}")
def test_a_recorded_exchange_is_understood_and_written_alike(case: ServerCase) -> None:
    asked = [Digest(bytes.fromhex(one)) for one in case.digests]
    request, response = body_of(case.request_hex), body_of(case.response_hex)
    assert decode_request(request) == tuple(dict.fromkeys(asked))
    assert encode_request(asked) == request
    found = decoded(response, len(asked))
    assert len(found) == case.keys_returned
    known = [bytes.fromhex(one) for one in RECORDED.cert_digests]
    assert [sks_digest(split(one, BULK)) for one in found] == [known[at] for at in case.order]
    assert encode_response(found) == response


@pytest.mark.parametrize("name", RECORDED.client_requests)
def test_what_real_clients_ask_for_is_understood(name: str) -> None:
    body = body_of(RECORDED.client_requests[name])
    digests = decode_request(body)
    assert digests
    assert encode_request(digests) == body


@given(DIGESTS)
def test_a_request_means_what_it_was_made_of(digests: list[Digest]) -> None:
    assert decode_request(encode_request(digests)) == tuple(digests)


def test_a_digest_of_another_length_is_passed_over() -> None:
    good = bytes(range(16))
    body = number(3) + string(bytes(17)) + string(good) + string(b"")
    assert decode_request(body) == (good,)


def test_what_is_behind_the_last_digest_is_passed_over() -> None:
    body = encode_request([Digest(bytes(16))])
    assert decode_request(body + b"\r\n") == decode_request(body)


@given(st.integers(0, 3 * 20 + 3))
def test_a_request_that_ends_too_early_is_refused(end: int) -> None:
    body = encode_request([Digest(bytes(16))] * 3)
    with pytest.raises(BadHashQueryError):
        decode_request(body[:end])


def test_a_request_at_the_limits_is_understood() -> None:
    assert decode_request(bytes(REQUEST_OCTETS_MAX)) == ()
    most = [Digest(number(each) * 4) for each in range(ASKED_MAX)]
    assert decode_request(encode_request(most)) == tuple(most)


@pytest.mark.parametrize(
    "body",
    [number(ASKED_MAX + 1), b"\xff\xff\xff\xff", bytes(REQUEST_OCTETS_MAX + 1)],
)
def test_a_request_beyond_a_limit_is_refused(body: bytes) -> None:
    with pytest.raises(TooLargeError):
        decode_request(body)


def test_a_length_beyond_the_request_is_refused() -> None:
    with pytest.raises(BadHashQueryError):
        decode_request(number(1) + b"\xff\xff\xff\xff" + bytes(16))


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.data())
def test_a_response_is_read_in_any_pieces(certificates: list[bytes], data: st.DataObject) -> None:
    rest = encode_response(certificates)
    decoder, found = ResponseDecoder(BATCH), list[bytes]()
    while rest:
        count = data.draw(st.integers(1, len(rest)))
        found += decoder.feed(rest[:count])
        rest = rest[count:]
    decoder.close()
    assert found == certificates


@given(st.data())
def test_of_a_response_that_ends_too_early_the_whole_certificates_are_kept(
    data: st.DataObject,
) -> None:
    body = encode_response(CERTIFICATES)
    end = data.draw(st.integers(0, len(body) - 3))
    decoder = ResponseDecoder(2)
    found = decoder.feed(body[:end])
    assert found == CERTIFICATES[: len(found)]
    assert len(found) == (end >= 8 + len(CERTIFICATES[0]))
    with pytest.raises(BadHashQueryError):
        decoder.close()


def test_the_end_of_a_line_behind_the_certificates_may_be_missing() -> None:
    body = encode_response(CERTIFICATES)
    assert decoded(body[:-2], 2) == decoded(body, 2) == CERTIFICATES


@pytest.mark.parametrize("size", [0, 101, 5_000])
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_one_that_is_empty_or_too_large_spoils_none_of_the_others(size: int, step: int) -> None:
    small = [b"a" * 100, b"b" * 50]
    body = encode_response([small[0], bytes(size), small[1]])
    decoder = ResponseDecoder(3, ResponseLimits(certificate_octets_max=100))
    found: list[bytes] = []
    for at in range(0, len(body), step):
        found += decoder.feed(body[at : at + step])
    decoder.close()
    assert found == small
    assert decoder.passed_over == 1


def test_a_response_that_ends_in_one_that_is_passed_over_is_not_whole() -> None:
    body = encode_response([b"a", bytes(101)])
    decoder = ResponseDecoder(2, ResponseLimits(certificate_octets_max=100))
    assert decoder.feed(body[:-10]) == [b"a"]
    assert not decoder.is_whole
    with pytest.raises(BadHashQueryError, match="ends too early"):
        decoder.close()


def test_one_that_is_not_openpgp_spoils_none_of_the_others() -> None:
    bad = b"\x00 no packets"
    found = decoded(encode_response([CERTIFICATES[0], bad, CERTIFICATES[1]]), 3)
    assert found == [CERTIFICATES[0], bad, CERTIFICATES[1]]


def test_a_response_of_more_than_twice_what_was_asked_for_is_refused() -> None:
    assert decoded(encode_response([b"x"] * 4), asked=2) == [b"x"] * 4
    with pytest.raises(TooLargeError):
        ResponseDecoder(asked=2).feed(number(5))
    with pytest.raises(TooLargeError):
        ResponseDecoder(asked=100).feed(b"\xff\xff\xff\xff")


@pytest.mark.parametrize(
    "body",
    [number(1) + number(2**31), encode_response([b"x"])],
    ids=["of one certificate", "behind the certificates"],
)
def test_a_response_without_end_is_refused(body: bytes) -> None:
    decoder = ResponseDecoder(1, ResponseLimits(octets_max=1_000, certificate_octets_max=100))
    decoder.feed(body)
    decoder.feed(bytes(1_000 - len(body)))
    with pytest.raises(TooLargeError):
        decoder.feed(b"x")


def test_what_does_not_fit_into_a_response_is_left_out_and_the_rest_is_in_it() -> None:
    certificates = [bytes(40), bytes(400), bytes(30)]
    body = encode_response(certificates, octets_max=100)
    assert len(body) <= 100
    assert decoded(body, 3) == [bytes(40), bytes(30)]
    exact = len(encode_response(certificates))
    assert decoded(encode_response(certificates, octets_max=exact), 3) == certificates
    assert len(decoded(encode_response(certificates, octets_max=exact - 1), 3)) == 2

"""Fetching certificates by their digests: the bodies of POST /pks/hashquery.

    request     u32 count ‖ for each: u32 length, 16 ‖ digest
    response    u32 count ‖ for each: u32 length ‖ certificate, binary ‖ 0D 0A

Digests that are not held are left out of a response, and its order is the server's own: SKS turns
it around. So a certificate is known only by the digest that is computed of it, and one that cannot
be read says nothing of the others. The two octets at the end are not to be relied on. What is
behind the last digest of a request is passed over, as real servers do.

Both bodies have a Content-Length and no chunks: SKS reads neither by another way.
Source: sks-keyserver, dbserver.ml and reconComm.ml; Hockeypuck, hkp/handler.go and
hkp/sks/recon.go.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from keygrove_protocols.errors import FramingError, TooLargeError
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.field import DIGEST_BYTES
from keygrove_protocols.recon.messages import string

PATH: Final = "/pks/hashquery"
REQUEST_TYPE: Final = "sks/hashquery"
"""Of Hockeypuck's requests; SKS's have none."""
RESPONSE_TYPE: Final = "pgp/keys"
BATCH: Final = 100
"""Digests of one request: SKS asks for so many, and no real server for more."""
ASKED_MAX: Final = 1_000
REQUEST_OCTETS_MAX: Final = 64 << 10
"""Three times what `ASKED_MAX` digests need: others may have written more behind them."""
RESPONSE_OCTETS_MAX: Final = 256 << 20
"""As Hockeypuck's."""
_NUMBER_OCTETS: Final = 4
_END: Final = b"\r\n"


class BadHashQueryError(FramingError):
    """The octets are no body of /pks/hashquery, or end too early."""


class ResponseLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a response is read."""

    certificate_octets_max: int = 16 << 20
    """A larger one is passed over, and never held."""

    octets_max: int = RESPONSE_OCTETS_MAX
    """Of all of it."""


def encode_request(digests: Sequence[Digest]) -> bytes:
    """The body of a request."""
    return len(digests).to_bytes(_NUMBER_OCTETS) + b"".join(map(string, digests))


def decode_request(body: bytes) -> tuple[Digest, ...]:
    """The digests of a request, each once. What is of another length is passed over.

    Raises:
        TooLargeError: there are more than `ASKED_MAX`, or octets than `REQUEST_OCTETS_MAX`.
        BadHashQueryError: it ends too early.
    """
    if len(body) > REQUEST_OCTETS_MAX:
        raise TooLargeError(f"a hashquery has at most {REQUEST_OCTETS_MAX} octets")
    count, at = _number(body, 0), _NUMBER_OCTETS
    if count > ASKED_MAX:
        raise TooLargeError(f"a hashquery asks for at most {ASKED_MAX} certificates")
    digests = dict[Digest, None]()
    for _ in range(count):
        start = at + _NUMBER_OCTETS
        at = start + _number(body, at)
        if at > len(body):
            raise BadHashQueryError("the list of digests ends in one of them", offset=start)
        if at - start == DIGEST_BYTES:
            digests[Digest(body[start:at])] = None
    return tuple(digests)


def encode_response(
    certificates: Iterable[bytes], *, octets_max: int = RESPONSE_OCTETS_MAX
) -> bytes:
    """The body of a response. What does not fit into so many octets is left out of it."""
    room = octets_max - _NUMBER_OCTETS - len(_END)
    parts: list[bytes] = []
    for certificate in certificates:
        if _NUMBER_OCTETS + len(certificate) <= room:
            room -= _NUMBER_OCTETS + len(certificate)
            parts.append(string(certificate))
    return b"".join((len(parts).to_bytes(_NUMBER_OCTETS), *parts, _END))


def _number(body: bytes, at: int) -> int:
    end = at + _NUMBER_OCTETS
    if end > len(body):
        raise BadHashQueryError("the list of digests ends before one of them", offset=at)
    return int.from_bytes(body[at:end])


class ResponseDecoder:
    """Reads a response while it comes in, and holds one certificate of it at most.

    Whatever it raises, what it returned before is good.
    """

    def __init__(self, asked: int, limits: ResponseLimits | None = None) -> None:
        self.passed_over = 0
        """Certificates that were empty, or too large."""
        self._certificates_max = 2 * asked
        self._limits = limits or ResponseLimits()
        self._fed = 0
        self._octets = bytearray()
        self._left: int | None = None
        self._skipping = 0

    @property
    def is_whole(self) -> bool:
        """Whether all certificates were there; what follows is passed over."""
        return self._left == 0 and not self._skipping

    def feed(self, octets: bytes) -> list[bytes]:
        """The certificates that have become whole.

        Raises:
            TooLargeError: they are twice as many as were asked for, or all of it is too large. SKS
                sends one twice that was asked for twice.
        """
        self._fed += len(octets)
        if self._fed > self._limits.octets_max:
            raise TooLargeError(f"a response has at most {self._limits.octets_max} octets here")
        self._octets += octets
        found: list[bytes] = []
        while (certificate := self._next()) is not None:
            found += [certificate] if certificate else []
        if self.is_whole:
            self._octets.clear()
        return found

    def close(self) -> None:
        """There is no more.

        Raises:
            BadHashQueryError: it ended too early.
        """
        if not self.is_whole:
            raise BadHashQueryError("the response ends too early: ask again", offset=self._fed)

    def _next(self) -> bytes | None:
        """The next certificate, empty if it is passed over; None if it is not whole yet."""
        if self._skipping:
            return self._skip()
        if self._left is None and not self._begin():
            return None
        if not self._left or len(self._octets) < _NUMBER_OCTETS:
            return None
        length = int.from_bytes(self._octets[:_NUMBER_OCTETS])
        end = _NUMBER_OCTETS + length
        if not 0 < length <= self._limits.certificate_octets_max:
            self._left -= 1
            self.passed_over += 1
            self._skipping = end
            return self._skip()
        if len(self._octets) < end:
            return None
        certificate = bytes(self._octets[_NUMBER_OCTETS:end])
        del self._octets[:end]
        self._left -= 1
        return certificate

    def _begin(self) -> bool:
        if len(self._octets) < _NUMBER_OCTETS:
            return False
        self._left = int.from_bytes(self._octets[:_NUMBER_OCTETS])
        if self._left > self._certificates_max:
            raise TooLargeError(
                f"a response to this request has at most {self._certificates_max} certificates"
            )
        del self._octets[:_NUMBER_OCTETS]
        return True

    def _skip(self) -> bytes | None:
        """Drop what is there of a certificate that is not wanted."""
        dropped = min(self._skipping, len(self._octets))
        del self._octets[:dropped]
        self._skipping -= dropped
        return None if self._skipping else b""

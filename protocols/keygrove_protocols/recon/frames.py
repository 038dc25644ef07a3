"""Cutting what comes over a connection into messages and verdicts, whatever pieces it comes in.

A message is in a frame: its length, and so many octets. The verdict on a config is not: it is the
string `passed`, or the string `failed` and the reason, another string. Who reads knows which of
them comes next. Source: sks-keyserver, reconComm.ml and reconCS.ml.
"""

from typing import Final

import msgspec

from keygrove_protocols.errors import TooLargeError
from keygrove_protocols.recon.messages import (
    CONFIG_OCTETS_MAX,
    FRAME_OCTETS_MAX,
    BadMessageError,
    Message,
    decode,
    string,
)

_LENGTH_OCTETS: Final = 4
_PASSED: Final = string(b"passed")
_FAILED: Final = string(b"failed")


class Verdict(msgspec.Struct, frozen=True):
    """What a server says to the config of another. Without a reason it is content."""

    reason: bytes | None = None


def encode_verdict(verdict: Verdict) -> bytes:
    """Its octets, which have no frame."""
    return _PASSED if verdict.reason is None else _FAILED + string(verdict.reason)


class Decoder:
    """What came over one connection, from its beginning to its end.

    Of what is not taken yet it holds as much as it was fed: take what there is before more is
    read. A frame that is too long is refused when its length is there.
    """

    def __init__(self) -> None:
        self._octets = bytearray()
        self.frame_octets_max = CONFIG_OCTETS_MAX
        """Anybody may connect: what is no config comes after the handshake only."""
        self.fed = 0
        """Octets, in all."""

    def feed(self, octets: bytes) -> None:
        """Take in what was read."""
        self._octets += octets
        self.fed += len(octets)

    def admit_all(self) -> None:
        """From now on there may be messages of any length that one can have."""
        self.frame_octets_max = FRAME_OCTETS_MAX

    @property
    def held(self) -> int:
        """Octets of what is not whole yet, once all that is was taken."""
        return len(self._octets)

    def rest(self) -> bytes:
        """All that is not taken yet, for another decoder."""
        octets = bytes(self._octets)
        self._octets.clear()
        return octets

    @property
    def has_refusal(self) -> bool:
        """Whether a verdict begins here that is bad, though its reason may not be there yet."""
        return self._octets.startswith(_FAILED)

    def message(self) -> Message | None:
        """The next message, None if it is not whole yet.

        Raises:
            BadMessageError: it is none.
            TooLargeError: it is beyond a limit.
        """
        if len(self._octets) < _LENGTH_OCTETS:
            return None
        length = self._length(0)
        if length > self.frame_octets_max:
            raise TooLargeError(f"a message has at most {self.frame_octets_max} octets here")
        body = self._take(_LENGTH_OCTETS, length)
        return None if body is None else decode(body)

    def verdict(self) -> Verdict | None:
        """The verdict, None if it is not whole yet.

        Raises:
            BadMessageError: it is neither of them.
            TooLargeError: its reason is longer than a config.
        """
        start = bytes(self._octets[: len(_PASSED)])
        if not _PASSED.startswith(start) and not _FAILED.startswith(start):
            raise BadMessageError("where the verdict should be is something else", offset=0)
        if start == _PASSED:
            del self._octets[: len(_PASSED)]
            return Verdict()
        behind = len(_FAILED) + _LENGTH_OCTETS
        if len(self._octets) < behind:
            return None
        length = self._length(len(_FAILED))
        if length > CONFIG_OCTETS_MAX:
            raise TooLargeError(f"the reason of a verdict has at most {CONFIG_OCTETS_MAX} octets")
        reason = self._take(behind, length)
        return None if reason is None else Verdict(reason)

    def _length(self, at: int) -> int:
        return int.from_bytes(self._octets[at : at + _LENGTH_OCTETS])

    def _take(self, start: int, length: int) -> bytes | None:
        """So many octets, and what is before them; None if they are not all there."""
        end = start + length
        if len(self._octets) < end:
            return None
        found = bytes(self._octets[start:end])
        del self._octets[:end]
        return found

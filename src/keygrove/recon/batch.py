"""How many certificates are asked for at once, and what came of them: pure.

As Hockeypuck does: the number doubles as long as all goes well, and after the first failure it
grows by one and is halved. What is asked for alone and fails is passed over.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.packets import Packet, Tag, split
from keygrove_protocols.recon.hashquery import BATCH, ResponseDecoder, ResponseLimits

FIRST: Final = 16


class Size:
    """Of the next batch."""

    def __init__(self) -> None:
        self.now = FIRST
        self._is_doubling = True

    def worked(self) -> None:
        """All of the last one came."""
        self.now = min(self.now * 2 if self._is_doubling else self.now + 1, BATCH)

    def failed(self) -> None:
        """It did not, be it that it was too much."""
        self._is_doubling = False
        self.now = max(self.now // 2, 1)


class Received(msgspec.Struct, frozen=True):
    """What an answer brought. Nothing of it is believed: it goes through ingest."""

    certificates: tuple[bytes, ...]
    digests: tuple[Digest, ...]
    """That the octets of each of them have, whatever was asked for."""
    absent: tuple[Digest, ...]
    """Asked for, and not among them."""
    unreadable: int


def read_response(asked: Sequence[Digest], body: bytes, certificate_bytes_max: int) -> Received:
    """Take an answer apart.

    Raises:
        ProtocolError: it is none.
    """
    limits = ResponseLimits(certificate_octets_max=certificate_bytes_max)
    decoder = ResponseDecoder(len(asked), limits)
    found: dict[Digest, bytes] = {}
    unreadable = 0
    for octets in decoder.feed(body):
        try:
            packets = split(octets, BULK)
        except ProtocolError:
            unreadable += 1
            continue
        if _are_several(packets):
            unreadable += 1
        else:
            found[sks_digest(packets)] = octets
    decoder.close()
    return Received(
        certificates=tuple(found.values()),
        digests=tuple(found),
        absent=tuple(digest for digest in asked if digest not in found),
        unreadable=unreadable + decoder.passed_over,
    )


def _are_several(packets: Sequence[Packet]) -> bool:
    """Whether it is more than one certificate, which no digest names."""
    return sum(packet.tag == Tag.PUBLIC_KEY for packet in packets) > 1

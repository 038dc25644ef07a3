"""Which packets count for the digest, and in which order."""

import hashlib
from itertools import permutations

from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.packets import Packet


def written(tag: int, body: bytes) -> bytes:
    return tag.to_bytes(4) + len(body).to_bytes(4) + body


def test_p096_packets_are_sorted_by_tag_and_body_and_not_by_length() -> None:
    ordered = [(2, b"\x01"), (2, b"\x01\x00"), (2, b"\x02"), (6, b""), (13, b"\xff"), (14, b"a")]
    expected = hashlib.md5(
        b"".join(written(*one) for one in ordered), usedforsecurity=False
    ).digest()
    for order in permutations(ordered):
        assert sks_digest(Packet(*one) for one in order) == expected


def test_p097_every_packet_given_counts() -> None:
    packet = Packet(2, b"x")
    assert sks_digest([packet, packet]) != sks_digest([packet])
    assert sks_digest([]) == hashlib.md5(usedforsecurity=False).digest()

"""The digest by which SKS keyservers tell states of certificates apart."""

import hashlib
from collections.abc import Iterable
from operator import attrgetter

from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.packets import Packet

_TAG_AND_BODY = attrgetter("tag", "body")


def sks_digest(packets: Iterable[Packet]) -> Digest:
    """The 16-octet MD5 over all packets, whatever their order and framing.

    They are sorted by tag, then by body as octets, a prefix first; each is written as tag
    and length of the body (u32 each) and the body. Every packet given counts: fold
    duplicates first (`certificate.canonical`), as SKS does when it merges.

    Source: sks-keyserver, keyHash.ml (`sort`, `concat`); Hockeypuck's SksDigest agrees.
    """
    md5 = hashlib.md5(usedforsecurity=False)
    for packet in sorted(packets, key=_TAG_AND_BODY):
        md5.update(packet.tag.to_bytes(4) + len(packet.body).to_bytes(4))
        md5.update(packet.body)
    return Digest(md5.digest())

"""Where a certificate stands in the tree, and what names its bytes.

Hashes are BLAKE3-256; their first input octet keeps uses apart (0x00 and 0x01 nodes of the
tree, 0x02 and 0x08 a value, 0x05 a tree key, 0x09 what is set aside, 0x0a a dictionary), so that
no certificate can be made to collide with another kind of node. A tree key hashes the fingerprint
once more: grinding fingerprints must not deepen the tree cheaply.
"""

from blake3 import blake3

SLOTS = 4096
"""The first three nibbles of a tree key name its slot; a slot belongs to one shard."""


def tree_key(fingerprint: bytes) -> bytes:
    """The 32 octets by which a certificate is ordered and placed."""
    return blake3(b"\x05" + fingerprint).digest()


def slot(fingerprint: bytes) -> int:
    """The slot of a certificate: 0 to SLOTS - 1."""
    return int.from_bytes(tree_key(fingerprint)[:2]) >> 4


def packets_hash(packets: bytes) -> bytes:
    """The 32 octets that name these packets."""
    return blake3(b"\x02" + packets).digest()


def content_hash(packets: bytes, aside: bytes = b"") -> bytes:
    """The 32 octets that name these packets, with what is set aside, named by its own hash."""
    value = packets_hash(packets)
    return blake3(b"\x08" + value + aside).digest() if aside else value


def aside_hash(aside: bytes) -> bytes:
    """The 32 octets that name what is set aside of a certificate."""
    return blake3(b"\x09" + aside).digest()


def dictionary_hash(octets: bytes) -> bytes:
    """The 32 octets that name a dictionary by which values are coded."""
    return blake3(b"\x0a" + octets).digest()


def text_hash(text: str) -> bytes:
    """The 16 octets that stand for a text of any length in an index."""
    return blake3(b"\x06" + text.encode()).digest(16)

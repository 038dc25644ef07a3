"""The tree once more, from its definition, with nothing of the store's: slow, and short."""

import hashlib

from blake3 import blake3


def root(algorithm: str, entries: dict[bytes, bytes], depth: int = 0) -> bytes:
    """The hash of the node at that depth that has these entries."""
    if not entries:
        return bytes(32)
    if depth >= 3 and len(entries) <= 64:
        return _hash(algorithm, b"\0" + b"".join(key + entries[key] for key in sorted(entries)))
    kids: list[dict[bytes, bytes]] = [{} for _ in range(16)]
    for key, value in entries.items():
        kids[int(key.hex()[depth], 16)][key] = value
    return _hash(algorithm, b"\1" + b"".join(root(algorithm, kid, depth + 1) for kid in kids))


def _hash(algorithm: str, data: bytes) -> bytes:
    return blake3(data).digest() if algorithm == "blake3" else hashlib.sha256(data).digest()

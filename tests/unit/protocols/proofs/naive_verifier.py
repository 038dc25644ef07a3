"""A proof checked once more, from docs/reference/proofs.md, with nothing of ours: short, and slow.

It takes what is honest, and says whose packets are held; it is no judge of what is malformed.
"""

import hashlib
import json
from base64 import b64decode, b64encode

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def check(document: bytes, verifier_key: str) -> bytes | None:
    """The hash of the packets that are held, or None: nothing is; or an exception."""
    proof = json.loads(document)
    name, _, key = verifier_key.split("+", 2)
    hash_name, root = head(proof["head"], name, b64decode(key)[1:])
    place = hashed(hash_name, b"\5", bytes.fromhex(proof["fingerprint"]))
    digits, path = place.hex(), [b64decode(row) for row in proof.get("path", [])]
    leaf = b64decode(proof.get("leaf", ""))
    entries = {leaf[at : at + 32]: leaf[at + 32 : at + 64] for at in range(0, len(leaf), 64)}
    assert list(entries) == sorted(entries)
    assert len(entries) * 64 == len(leaf) <= 64 * 64
    assert len(path) >= 3 or not leaf
    assert all(one.hex()[: len(path)] == digits[: len(path)] for one in entries)
    node = hashed(hash_name, b"\0", leaf) if leaf else bytes(32)
    for digit, row in reversed(list(zip(digits, path, strict=False))):
        others = [row[at : at + 32] for at in range(0, 480, 32)]
        others.insert(int(digit, 16), node)
        node = hashed(hash_name, b"\1", b"".join(others))
    assert node == root
    if place not in entries:
        assert not {"packets", "aside"} & set(proof)
        return None
    packets, aside = b64decode(proof["packets"]), b64decode(proof.get("aside", ""))
    value = hashed(hash_name, b"\x08", packets + aside) if aside else packets
    assert entries[place] == value
    return packets


def head(note: str, name: str, public: bytes) -> tuple[str, bytes]:
    """The name of the hash, and the root."""
    lines, _, signature = note.rpartition("\n\n")
    dash, signer, encoded = signature.strip().split(" ")
    identity = hashlib.sha256(name.encode() + b"\n\1" + public).digest()[:4]
    assert (dash, signer) == ("\u2014", name)
    assert b64decode(encoded)[:4] == identity
    Ed25519PublicKey.from_public_bytes(public).verify(b64decode(encoded)[4:], f"{lines}\n".encode())
    first, hash_name, _, root, _ = lines.split("\n")
    assert first == f"keygrove-set-1 {name}"
    assert b64encode(b64decode(root)).decode() == root
    return hash_name, b64decode(root)


def hashed(name: str, use: bytes, data: bytes) -> bytes:
    """H of it, for this use."""
    if name == "sha256":
        return hashlib.sha256(use + data).digest()
    assert name == "blake3"
    return blake3(use + data).digest()

"""Whoever holds some certificates, and proves it by the store's tree."""

import msgspec

from keygrove.storage.forest import Forest
from keygrove.storage.merkle import SLOT_DEPTH, Hash, Tree, blake3_256, sha256
from keygrove.storage.messages import Traced
from keygrove.storage.proofs import proof
from keygrove_protocols.proofs.note import SignerKey
from keygrove_protocols.proofs.proof import Head

HASHES: dict[str, Hash] = {"blake3": blake3_256, "sha256": sha256}
SIGNER = SignerKey("keys.example.org", bytes(32))
KEY = SIGNER.verifier
AT = 1_800_000_000


class Held:
    """What is held of one certificate."""

    def __init__(self, packets: bytes, aside: bytes = b"") -> None:
        self.packets = packets
        self.aside = aside


class Holder:
    """Of certificates by their fingerprints."""

    def __init__(self, held: dict[bytes, Held], hash_name: str = "blake3") -> None:
        self._held = held
        self._hash = HASHES[hash_name]
        changes = [(self._hash(b"\x05" + name), self._value(one)) for name, one in held.items()]
        self.tree = Tree(self._hash).updated(changes)
        head = Head(KEY.name, hash_name, len(held), self.tree.root, AT)  # type: ignore[arg-type]
        self.head = SIGNER.sign(head.lines())

    def _value(self, one: Held) -> bytes:
        packets = self._hash(b"\x02" + one.packets)
        if not one.aside:
            return packets
        return self._hash(b"\x08" + packets + self._hash(b"\x09" + one.aside))

    def prove(self, name: bytes) -> bytes:
        """The document."""
        key = self._hash(b"\x05" + name)
        path = self.tree.path(key)
        traced = Traced(path.hashes[SLOT_DEPTH:], path.leaf)
        if name in self._held:
            one = self._held[name]
            aside = self._hash(b"\x09" + one.aside) if one.aside else b""
            packets = self._hash(b"\x02" + one.packets)
            traced = msgspec.structs.replace(traced, packets=packets, aside=aside)
        above = Forest(self._hash, self.tree.slots()).path(int(key.hex()[:3], 16))
        return msgspec.json.encode(proof(name, key, self.head, above, traced))

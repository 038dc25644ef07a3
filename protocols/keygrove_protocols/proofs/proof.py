"""Proofs that a server holds a certificate, or holds none, against a head that it signed.

A head is a signed note (`note`) of five lines, signed by a key of the server's name:

    keygrove-set-1 <name of the server>
    <blake3 or sha256>
    <number of certificates>
    <root, in base64>
    <seconds, UTC>

A proof is JSON: the head, the fingerprint, and the way from the root to where the certificate
is, or would be. `path` has for each inner node, the root first, the hashes of the fifteen
children that are not on the way, in order; `leaf` the entries at its end, absent where nothing
is. Where the certificate is held, `packets` is the hash of what is served of it, and `aside` that
of what is set aside, if anything is: the entry's value is made of these. Octets are in base64, in
its one form, digits in lower case; no other field may be there.

docs/reference/proofs.md defines the tree. This module shares no code with the store.
"""

import hashlib
from collections.abc import Callable
from typing import Final, Literal

import msgspec
from blake3 import blake3

from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.proofs.note import VerifierKey, lines_of

PROOF_OCTETS_MAX: Final = 256 << 10
LEAF_ENTRIES_MAX: Final = 64
DEPTHS: Final = range(21)
SLOT_DEPTH: Final = 3
FINGERPRINT_OCTETS: Final = frozenset({16, 20, 32})
HEAD: Final = "keygrove-set-1"
_HASH_OCTETS: Final = 32
_SIBLINGS_OCTETS: Final = 15 * 32
_ENTRY_OCTETS: Final = 64


UNREADABLE: Final = "the head of the set has a line that cannot be read"


class BadProofError(ProtocolError):
    """It is no proof, or does not prove what it says."""


class Head(msgspec.Struct, frozen=True):
    """What a server says that it holds."""

    server: str
    hash: Literal["blake3", "sha256"]
    size: int
    """Certificates."""
    root: bytes
    at: int
    """Seconds, UTC."""

    def lines(self) -> str:
        """What is signed."""
        root = msgspec.to_builtins(self.root)
        return f"{HEAD} {self.server}\n{self.hash}\n{self.size}\n{root}\n{self.at}\n"


class Proof(msgspec.Struct, frozen=True, omit_defaults=True):
    """See the head of this module."""

    fingerprint: str
    head: str
    path: tuple[bytes, ...] = ()
    leaf: bytes = b""
    packets: bytes = b""
    aside: bytes = b""


class Proved(msgspec.Struct, frozen=True):
    """What a proof proves: of the set of `head`."""

    head: Head
    fingerprint: bytes
    packets: bytes | None
    """The hash of the packets that are served of the certificate; None: it is not held."""

    def is_of(self, packets: bytes) -> bool:
        """Are these the packets that are served? Binary, all of them, in their order."""
        return self.packets == _HASHES[self.head.hash](b"\x02" + packets)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _blake3(data: bytes) -> bytes:
    return blake3(data).digest()


_HASHES: Final = {"sha256": _sha256, "blake3": _blake3}


def parse_head(note: bytes, key: VerifierKey) -> Head:
    """The head that `key` has signed.

    Raises:
        BadNoteError: it is no signed note.
        NotSignedError: `key` has not signed it.
        BadProofError: what it has signed is no head.
    """
    text = lines_of(note, key)
    lines = text.split("\n")
    first, _, server = lines[0].partition(" ")
    if first != HEAD or len(lines) != len(("first", "hash", "size", "root", "at", "")):
        raise BadProofError("what is signed is not the head of a set")
    if server != key.name:
        raise BadProofError("the head is of another server than that of the key")
    _, hash_, size, root, at, _ = lines
    try:
        numbers = {"size": int(size), "at": int(at)}
        head = msgspec.convert({"server": server, "hash": hash_, "root": root, **numbers}, Head)
    except (ValueError, msgspec.ValidationError) as error:
        raise BadProofError(UNREADABLE) from error
    if len(head.root) != _HASH_OCTETS or head.size < 0 or head.lines() != text:
        raise BadProofError(UNREADABLE)
    return head


def verify(document: bytes, key: VerifierKey) -> Proved:
    """What a proof proves, to whoever believes `key`.

    Raises:
        BadNoteError, NotSignedError: as `parse_head`.
        BadProofError: it proves nothing.
    """
    proof, fingerprint = _parse(document)
    head = parse_head(proof.head.encode(), key)
    hash_ = _HASHES[head.hash]
    place = hash_(b"\x05" + fingerprint)
    entries = _entries(proof.leaf, place.hex()[: len(proof.path)])
    if _root(hash_, place, proof) != head.root:
        raise BadProofError("the way does not lead to the root that was signed")
    if _value(hash_, proof) != entries.get(place):
        raise BadProofError("what it says of the packets is not what is held")
    return Proved(head, fingerprint, proof.packets if place in entries else None)


def _parse(document: bytes) -> tuple[Proof, bytes]:
    if len(document) > PROOF_OCTETS_MAX:
        raise BadProofError(f"a proof has at most {PROOF_OCTETS_MAX} octets")
    try:
        fields = msgspec.json.decode(document)
        proof = msgspec.convert(fields, Proof)
        fingerprint = bytes.fromhex(proof.fingerprint)
    except (ValueError, RecursionError, msgspec.DecodeError) as error:
        raise BadProofError("it is no proof of a set") from error
    if len(fingerprint) not in FINGERPRINT_OCTETS:
        raise BadProofError("it has no fingerprint of 16, 20 or 32 octets")
    # What is written otherwise than we would is either not read by us, or read as something else
    # by another.
    again = msgspec.structs.replace(proof, fingerprint=fingerprint.hex())
    if msgspec.json.decode(msgspec.json.encode(again)) != fields:
        raise BadProofError("it has fields that no proof has, or values in another form")
    return proof, fingerprint


def _value(hash_: Callable[[bytes], bytes], proof: Proof) -> bytes | None:
    """The hash of all that is stored; None where nothing is."""
    if not proof.packets and not proof.aside:
        return None
    if len(proof.packets) != _HASH_OCTETS or len(proof.aside) not in (0, _HASH_OCTETS):
        raise BadProofError("it has a hash of packets that is none")
    return hash_(b"\x08" + proof.packets + proof.aside) if proof.aside else proof.packets


def _entries(leaf: bytes, prefix: str) -> dict[bytes, bytes]:
    """The entries of a leaf all of whose keys begin with these nibbles."""
    starts = range(0, len(leaf), _ENTRY_OCTETS)
    keys = [leaf[at : at + 32] for at in starts]
    if (
        len(leaf) % _ENTRY_OCTETS
        or len(keys) > LEAF_ENTRIES_MAX
        or len(prefix) not in DEPTHS
        or (keys and len(prefix) < SLOT_DEPTH)
        or keys != sorted(set(keys))
        or not all(key.hex().startswith(prefix) for key in keys)
    ):
        raise BadProofError("it has a leaf that stands nowhere in a tree")
    return {key: leaf[at + 32 : at + 64] for key, at in zip(keys, starts, strict=True)}


def _root(hash_: Callable[[bytes], bytes], place: bytes, proof: Proof) -> bytes:
    """The hash of the node at depth 0."""
    node = hash_(b"\x00" + proof.leaf) if proof.leaf else bytes(_HASH_OCTETS)
    for nibble, others in reversed(list(zip(place.hex(), proof.path, strict=False))):
        if len(others) != _SIBLINGS_OCTETS:
            raise BadProofError("it has a node without fifteen other children")
        at = int(nibble, 16) * 32
        node = hash_(b"\x01" + others[:at] + node + others[at:])
    return node

"""Proofs by the store's tree, checked by what shares no code with it."""

import hashlib
from collections.abc import Callable
from random import Random

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keygrove.storage.forest import Forest
from keygrove.storage.merkle import Hash, Tree, blake3_256, sha256
from keygrove.storage.proofs import proof
from keygrove_protocols.proofs.note import (
    BadNoteError,
    NotSignedError,
    VerifierKey,
    signed,
    to_sign,
)
from keygrove_protocols.proofs.proof import BadProofError, Head, Proof, verify

SECRET = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY = VerifierKey("keys.example.org", SECRET.public_key().public_bytes_raw())
HASHES: dict[str, Hash] = {"blake3": blake3_256, "sha256": sha256}
AT = 1_800_000_000


def packets_of(number: int) -> bytes:
    return f"packets of {number}".encode()


def name_of(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8)).digest()[:20]


class Server:
    """Holds so many certificates, and proves it."""

    def __init__(self, size: int, hash_name: str = "blake3") -> None:
        self._hash = HASHES[hash_name]
        changes = [
            (self._key(name_of(number)), self._hash(b"\x02" + packets_of(number)))
            for number in range(size)
        ]
        self.tree = Tree(self._hash).updated(changes)
        head = Head("keys.example.org", hash_name, size, self.tree.root, AT)  # type: ignore[arg-type]
        self.head = signed(head.lines(), KEY.name, KEY, SECRET.sign(to_sign(head.lines())))

    def _key(self, name: bytes) -> bytes:
        return self._hash(b"\x05" + name)

    def prove(self, name: bytes) -> bytes:
        key = self._key(name)
        forest = Forest(self._hash, self.tree.slots())
        above = forest.path(int(key.hex()[:3], 16))
        return msgspec.json.encode(proof(name, key, self.head, above, self.tree.path(key)))


@pytest.mark.parametrize("hash_name", HASHES)
@pytest.mark.parametrize("size", [1, 2, 17, 65, 5_000])
def test_what_is_held_is_proved(size: int, hash_name: str) -> None:
    server = Server(size, hash_name)
    for number in {0, size // 2, size - 1}:
        proved = verify(server.prove(name_of(number)), KEY)
        assert proved.fingerprint == name_of(number)
        assert (proved.head.server, proved.head.size, proved.head.at) == (KEY.name, size, AT)
        assert proved.is_of(packets_of(number))
        assert not proved.is_of(packets_of(number + 1))


@pytest.mark.parametrize("size", [0, 1, 65, 5_000])
def test_what_is_not_held_is_proved(size: int) -> None:
    server = Server(size)
    for number in range(size, size + 20):
        proved = verify(server.prove(name_of(number)), KEY)
        assert proved.value is None
        assert not proved.is_of(packets_of(number))


def test_what_is_set_aside_is_part_of_the_value() -> None:
    aside = bytes(range(32))
    key = blake3_256(b"\x05" + name_of(1))
    value = blake3_256(b"\x08" + blake3_256(b"\x02" + packets_of(1)) + aside)
    tree = Tree(blake3_256).updated([(key, value)])
    lines = Head("x", "blake3", 1, tree.root, AT).lines()
    head = signed(lines, KEY.name, KEY, SECRET.sign(to_sign(lines)))
    path = tree.path(key)
    shown = msgspec.structs.replace(proof(name_of(1), key, head, path.hashes, path), aside=aside)
    assert verify(msgspec.json.encode(shown), KEY).is_of(packets_of(1))


def edited(document: bytes, edit: Callable[[Proof], Proof]) -> bytes:
    return msgspec.json.encode(edit(msgspec.json.decode(document, type=Proof)))


def test_no_changed_octet_of_a_proof_is_believed() -> None:
    chance = Random(0)
    server = Server(300)
    document = server.prove(name_of(7))
    honest = verify(document, KEY)
    for at in range(len(document)):
        changed = bytearray(document)
        changed[at] ^= 1 << chance.randrange(7)
        try:
            found = verify(bytes(changed), KEY)
        except (BadProofError, BadNoteError, NotSignedError):
            continue
        assert found == honest, at


@pytest.mark.parametrize("size", [1, 300, 5_000])
def test_another_certificates_proof_does_not_serve(size: int) -> None:
    """Nor one of absence, made from where another is."""
    server = Server(size)
    other = name_of(size + 1)
    moved = edited(
        server.prove(name_of(0)), lambda one: msgspec.structs.replace(one, fingerprint=other.hex())
    )
    with pytest.raises(BadProofError):
        verify(moved, KEY)


def test_a_leaf_that_hides_an_entry_is_not_believed() -> None:
    server = Server(5_000)
    key = blake3_256(b"\x05" + name_of(7))

    def hide(one: Proof) -> Proof:
        at = one.leaf.index(key)
        return msgspec.structs.replace(one, leaf=one.leaf[:at] + one.leaf[at + 64 :])

    with pytest.raises(BadProofError, match="does not lead to the root"):
        verify(edited(server.prove(name_of(7)), hide), KEY)


EDITS: list[Callable[[Proof], Proof]] = [
    lambda one: msgspec.structs.replace(one, path=one.path[:-1]),
    lambda one: msgspec.structs.replace(one, path=(*one.path, one.path[0])),
    lambda one: msgspec.structs.replace(one, path=one.path * 10),
    lambda one: msgspec.structs.replace(one, path=(b"",)),
    lambda one: msgspec.structs.replace(one, path=()),
    lambda one: msgspec.structs.replace(one, leaf=one.leaf + b"x"),
    lambda one: msgspec.structs.replace(one, leaf=one.leaf * 2),
    lambda one: msgspec.structs.replace(one, leaf=one.leaf * 65),
    lambda one: msgspec.structs.replace(one, leaf=b""),
    lambda one: msgspec.structs.replace(one, fingerprint="zz"),
]


@pytest.mark.parametrize("edit", EDITS)
def test_what_proves_nothing_is_refused(edit: Callable[[Proof], Proof]) -> None:
    document = Server(300).prove(name_of(7))
    with pytest.raises(BadProofError):
        verify(edited(document, edit), KEY)


@pytest.mark.parametrize("document", [b"", b"{}", b"[1]", b"\xff", b" " * (300 << 10)])
def test_what_is_no_proof_is_refused(document: bytes) -> None:
    with pytest.raises(BadProofError):
        verify(document, KEY)


@pytest.mark.parametrize(
    "lines",
    [
        "something else\n",
        "keygrove-set-1 x\nmd5\n1\nAAAA\n1\n",
        "keygrove-set-1 x\nblake3\n1\nAAAA\n1\n",
        "keygrove-set-1 x\nblake3\none\n" + "A" * 43 + "=\n1\n",
        "keygrove-set-1 x\nblake3\n-1\n" + "A" * 43 + "=\n1\n",
    ],
)
def test_a_head_that_cannot_be_read_proves_nothing(lines: str) -> None:
    head = signed(lines, KEY.name, KEY, SECRET.sign(to_sign(lines)))
    document = edited(
        Server(3).prove(name_of(1)), lambda one: msgspec.structs.replace(one, head=head)
    )
    with pytest.raises(BadProofError):
        verify(document, KEY)

"""Proofs by the store's tree, checked by what shares no code with it."""

import hashlib
from base64 import b64encode
from collections.abc import Callable
from random import Random

import msgspec
import pytest

from keygrove_protocols.proofs.note import BadNoteError, NotSignedError, SignerKey
from keygrove_protocols.proofs.proof import (
    PROOF_OCTETS_MAX,
    BadProofError,
    Head,
    Proof,
    parse_head,
    verify,
)
from tests.unit.protocols.proofs.holder import AT, HASHES, KEY, SIGNER, Held, Holder


def packets_of(number: int) -> bytes:
    return f"packets of {number}".encode()


def name_of(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8)).digest()[:20]


def holder(size: int, hash_name: str = "blake3") -> Holder:
    return Holder({name_of(n): Held(packets_of(n)) for n in range(size)}, hash_name)


@pytest.mark.parametrize("hash_name", HASHES)
@pytest.mark.parametrize("size", [1, 2, 17, 65, 5_000])
def test_what_is_held_is_proved(size: int, hash_name: str) -> None:
    one = holder(size, hash_name)
    for number in {0, size // 2, size - 1}:
        proved = verify(one.prove(name_of(number)), KEY)
        assert proved.fingerprint == name_of(number)
        assert (proved.head.server, proved.head.size, proved.head.at) == (KEY.name, size, AT)
        assert proved.is_of(packets_of(number))
        assert not proved.is_of(packets_of(number + 1))


@pytest.mark.parametrize("size", [0, 1, 65, 5_000])
def test_what_is_not_held_is_proved(size: int) -> None:
    one = holder(size)
    for number in range(size, size + 20):
        proved = verify(one.prove(name_of(number)), KEY)
        assert proved.packets is None
        assert not proved.is_of(packets_of(number))


@pytest.mark.parametrize("octets", [16, 20, 32])
def test_fingerprints_of_all_versions_have_proofs(octets: int) -> None:
    name, other = b"\x01" * octets, b"\x02" * octets
    one = Holder({name: Held(b"packets")})
    assert verify(one.prove(name), KEY).is_of(b"packets")
    assert verify(one.prove(other), KEY).packets is None


def test_what_is_set_aside_is_part_of_the_value_and_what_is_served_is_shown() -> None:
    one = Holder({name_of(1): Held(packets_of(1), b"aside"), name_of(2): Held(packets_of(2))})
    document = one.prove(name_of(1))
    assert verify(document, KEY).is_of(packets_of(1))
    edits: list[Callable[[Proof], Proof]] = [
        lambda one: msgspec.structs.replace(one, aside=b""),
        lambda one: msgspec.structs.replace(one, aside=one.packets, packets=one.aside),
        lambda one: msgspec.structs.replace(one, packets=b""),
        lambda one: msgspec.structs.replace(one, aside=one.aside * 2),
    ]
    for edit in edits:
        with pytest.raises(BadProofError):
            verify(edited(document, edit), KEY)


def edited(document: bytes, edit: Callable[[Proof], Proof]) -> bytes:
    return msgspec.json.encode(edit(msgspec.json.decode(document, type=Proof)))


def test_no_changed_octet_of_a_proof_is_believed() -> None:
    chance = Random(0)
    document = holder(300).prove(name_of(7))
    for at in range(len(document)):
        changed = bytearray(document)
        changed[at] ^= 1 << chance.randrange(8)
        with pytest.raises((BadProofError, BadNoteError, NotSignedError)):
            verify(bytes(changed), KEY)


@pytest.mark.parametrize("size", [1, 300, 5_000])
def test_another_certificates_proof_does_not_serve(size: int) -> None:
    """Nor one of absence, made from where another is."""
    server = holder(size)
    other = name_of(size + 1)
    moved = edited(
        server.prove(name_of(0)), lambda one: msgspec.structs.replace(one, fingerprint=other.hex())
    )
    with pytest.raises(BadProofError):
        verify(moved, KEY)


def test_a_leaf_that_hides_an_entry_is_not_believed() -> None:
    server = holder(5_000)
    key = HASHES["blake3"](b"\x05" + name_of(7))

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
    lambda one: msgspec.structs.replace(one, fingerprint=one.fingerprint.upper()),
    lambda one: msgspec.structs.replace(one, fingerprint=one.fingerprint[:38]),
    lambda one: msgspec.structs.replace(one, fingerprint=""),
    lambda one: msgspec.structs.replace(one, packets=b""),
    lambda one: msgspec.structs.replace(one, packets=bytes(32)),
    lambda one: msgspec.structs.replace(one, aside=bytes(32)),
]


@pytest.mark.parametrize("edit", EDITS)
def test_what_proves_nothing_is_refused(edit: Callable[[Proof], Proof]) -> None:
    document = holder(300).prove(name_of(7))
    with pytest.raises(BadProofError):
        verify(edited(document, edit), KEY)


def test_a_proof_of_absence_has_no_packets() -> None:
    document = holder(300).prove(name_of(300))
    edits: list[Callable[[Proof], Proof]] = [
        lambda one: msgspec.structs.replace(one, packets=bytes(32)),
        lambda one: msgspec.structs.replace(one, aside=bytes(32)),
    ]
    for edit in edits:
        said = edited(document, edit)
        with pytest.raises(BadProofError):
            verify(said, KEY)


def test_a_tree_is_no_deeper_than_twenty_nibbles() -> None:
    """A server could sign a root of any shape: nobody follows it for ever."""
    hash_ = HASHES["blake3"]
    name = name_of(1)
    place, value = hash_(b"\x05" + name), hash_(b"\x02" + packets_of(1))

    def deep(depth: int) -> bytes:
        leaf = place + value
        node, siblings = hash_(b"\x00" + leaf), bytes(15 * 32)
        for nibble in reversed(place.hex()[:depth]):
            at = int(nibble, 16) * 32
            node = hash_(b"\x01" + siblings[:at] + node + siblings[at:])
        head = SIGNER.sign(Head(KEY.name, "blake3", 1, node, AT).lines())
        path = (siblings,) * depth
        return msgspec.json.encode(Proof(name.hex(), head, path, leaf, packets=value))

    assert verify(deep(20), KEY).is_of(packets_of(1))
    for depth in (1, 2, 21, 64):
        with pytest.raises(BadProofError, match="stands nowhere"):
            verify(deep(depth), KEY)


def test_a_proof_may_be_written_with_spaces_and_in_another_order() -> None:
    document = holder(300).prove(name_of(7))
    fields = msgspec.json.decode(document)
    loose = msgspec.json.format(msgspec.json.encode(dict(reversed(fields.items()))), indent=2)
    assert verify(loose + b"\n", KEY) == verify(document, KEY)


def test_a_proof_of_another_root_is_not_believed() -> None:
    document, other = holder(300).prove(name_of(7)), holder(301)
    moved = edited(document, lambda one: msgspec.structs.replace(one, head=other.head))
    with pytest.raises(BadProofError, match="does not lead"):
        verify(moved, KEY)


def test_the_head_of_another_server_is_not_taken_for_this_ones() -> None:
    """Though the same key were used for both, or one signed in the other's name."""
    lines = Head("other.example.org", "blake3", 0, bytes(32), AT).lines()
    with pytest.raises(BadProofError, match="another server"):
        parse_head(SIGNER.sign(lines).encode(), KEY)
    other = SignerKey("other.example.org", bytes(32))
    with pytest.raises(NotSignedError):
        parse_head(other.sign(lines).encode(), KEY)


@pytest.mark.parametrize(
    "document",
    [
        *(b"", b"{}", b"[1]", b"1", b"null", b"\xff", b" " * (PROOF_OCTETS_MAX + 1)),
        *(b"[" * 100_000, b'{"fingerprint":' * 10_000, b'{"fingerprint": 7, "head": ""}'),
        *(b'{"fingerprint": "\\ud800", "head": ""}', b"1" * 10_000),
    ],
    ids=range(12),
)
def test_what_is_no_proof_is_refused(document: bytes) -> None:
    with pytest.raises(BadProofError):
        verify(document, KEY)


ROOT = b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "lines",
    [
        "something else\n",
        f"keygrove-set-2 {KEY.name}\nblake3\n0\n{ROOT}\n1\n",
        f"keygrove-set-1 {KEY.name}\nmd5\n1\n{ROOT}\n1\n",
        f"keygrove-set-1 {KEY.name}\nblake3\n1\nAAAA\n1\n",
        f"keygrove-set-1 {KEY.name}\nblake3\none\n{ROOT}\n1\n",
        f"keygrove-set-1 {KEY.name}\nblake3\n-1\n{ROOT}\n1\n",
        f"keygrove-set-1 {KEY.name}\nblake3\n+1\n{ROOT}\n1\n",
        f"keygrove-set-1 {KEY.name}\nblake3\n01\n{ROOT}\n1\n",
        f"keygrove-set-1 {KEY.name}\nblake3\n1_0\n{ROOT}\n1\n",
        f"keygrove-set-1 {KEY.name}\nblake3\n\u0661\n{ROOT}\n1\n",
        f"keygrove-set-1 {KEY.name}\nblake3\n{'1' * 5_000}\n{ROOT}\n1\n",
        f"keygrove-set-1 {KEY.name}\nblake3\n1\n{ROOT}\n1\nmore\n",
        f"keygrove-set-1 {KEY.name}\nblake3\n1\n{ROOT[:-2]}B=\n1\n",
    ],
    ids=range(13),
)
def test_a_head_that_cannot_be_read_proves_nothing(lines: str) -> None:
    note = SIGNER.sign(lines)
    with pytest.raises(BadProofError):
        parse_head(note.encode(), KEY)
    document = edited(
        holder(3).prove(name_of(1)), lambda one: msgspec.structs.replace(one, head=note)
    )
    with pytest.raises(BadProofError):
        verify(document, KEY)

"""Whatever is held, and whatever is asked: a proof holds if and only if it is honest.

What is honest is checked twice: by ours, and by a second verifier from the page on proofs.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keygrove_protocols.proofs.note import (
    BadNoteError,
    BadVerifierKeyError,
    NotSignedError,
    parse_verifier_key,
)
from keygrove_protocols.proofs.proof import BadProofError, Proved, verify
from tests.unit.keygrove.storage import naive_tree
from tests.unit.protocols.proofs import naive_verifier
from tests.unit.protocols.proofs.holder import HASHES, KEY, Held, Holder

REFUSED = (BadProofError, BadNoteError, NotSignedError)

NAMES = st.one_of(*(st.binary(min_size=size, max_size=size) for size in (16, 20, 32)))
HELD = st.builds(Held, st.binary(max_size=40), st.one_of(st.just(b""), st.binary(max_size=40)))
SETS = st.dictionaries(NAMES, HELD, max_size=200)


def proved(document: bytes) -> Proved | None:
    try:
        return verify(document, KEY)
    except REFUSED:
        return None


@given(SETS, st.lists(NAMES, max_size=20), st.sampled_from(sorted(HASHES)))
def test_a_certificate_is_proved_if_and_only_if_it_is_held(
    held: dict[bytes, Held], others: list[bytes], hash_name: str
) -> None:
    holder = Holder(held, hash_name)
    for name in (*list(held)[:20], *others):
        document = holder.prove(name)
        shown = verify(document, KEY)
        assert shown.packets == naive_verifier.check(document, str(KEY))
        assert shown.fingerprint == name
        assert (shown.packets is not None) == (name in held)
        if name in held:
            assert shown.is_of(held[name].packets)
            assert not shown.is_of(held[name].packets + b"x")


@given(SETS, st.sampled_from(sorted(HASHES)))
def test_the_root_that_is_signed_is_that_of_the_definition(
    held: dict[bytes, Held], hash_name: str
) -> None:
    hash_ = HASHES[hash_name]

    def value(one: Held) -> bytes:
        packets = hash_(b"\x02" + one.packets)
        return hash_(b"\x08" + packets + hash_(b"\x09" + one.aside)) if one.aside else packets

    entries = {hash_(b"\x05" + name): value(one) for name, one in held.items()}
    shown = verify(Holder(held, hash_name).prove(b"\0" * 20), KEY)
    assert shown.head.root == naive_tree.root(hash_name, entries)
    assert shown.head.size == len(held)


@given(SETS, NAMES, st.data())
def test_no_octet_of_a_proof_can_be_another(
    held: dict[bytes, Held], name: bytes, data: st.DataObject
) -> None:
    document = Holder(held).prove(data.draw(st.sampled_from([name, *held])))
    at = data.draw(st.integers(0, len(document) - 1))
    octet = data.draw(st.integers(0, 255).filter(lambda octet: octet != document[at]))
    other = proved(document[:at] + bytes([octet]) + document[at + 1 :])
    # Where few are held, what shows that a name is not held may show it of another name.
    assert other is None or not (other.fingerprint in held or other.fingerprint == name)


@given(SETS, NAMES, st.data())
def test_no_octet_of_a_proof_can_be_missing(
    held: dict[bytes, Held], name: bytes, data: st.DataObject
) -> None:
    document = Holder(held).prove(data.draw(st.sampled_from([name, *held])))
    at = data.draw(st.integers(0, len(document) - 1))
    shorter = proved(document[:at] + document[at + 1 :])
    assert shorter is None


@given(SETS, SETS, st.data())
def test_a_proof_of_one_set_is_none_of_another(
    held: dict[bytes, Held], others: dict[bytes, Held], data: st.DataObject
) -> None:
    one, other = Holder(held), Holder(others)
    name = data.draw(st.sampled_from([b"\0" * 20, *held, *others]))
    moved = one.prove(name).replace(_quoted(one.head), _quoted(other.head))
    assert (proved(moved) is not None) == (one.tree.root == other.tree.root)


def _quoted(note: str) -> bytes:
    return note.replace("\n", "\\n").encode()


@given(st.binary(max_size=2_000))
def test_whatever_is_sent_is_refused_in_order(data: bytes) -> None:
    assert proved(data) is None


@given(st.text(max_size=100))
def test_whatever_is_given_for_a_key_is_refused_in_order(text: str) -> None:
    with pytest.raises(BadVerifierKeyError):
        parse_verifier_key(text)

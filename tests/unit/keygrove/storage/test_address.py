"""Hashes and slots: golden values, for what is stored is placed by them."""

from keygrove.storage.address import SLOTS, content_hash, slot, text_hash, tree_key

FINGERPRINT = bytes(range(20))


def test_the_hashes_are_those_of_every_version_before() -> None:
    assert tree_key(FINGERPRINT).hex() == (
        "dfa7ab3f640dfa608f65b31ddf1c2b1f4c163e91db78c9258e4f0c74fbc504ec"
    )
    assert content_hash(b"packets").hex() == (
        "652325f0f7db3f6f3f559950603764a88b08623e285f0cb2472a4ad62b4aa202"
    )
    assert text_hash("alice").hex() == "1a4bab6bab25c6e9ecf6b8bacfc31d67"


def test_a_slot_is_the_first_three_nibbles_of_the_tree_key() -> None:
    for number in range(64):
        fingerprint = bytes([number]) * 20
        assert slot(fingerprint) == int(tree_key(fingerprint).hex()[:3], 16)
        assert 0 <= slot(fingerprint) < SLOTS


def test_uses_are_kept_apart() -> None:
    assert len({tree_key(b"x")[:16], content_hash(b"x")[:16], text_hash("x")}) == 3
    of_both = {content_hash(b"xy"), content_hash(b"x", b"y"), content_hash(b"", b"xy")}
    assert len(of_both) == 3

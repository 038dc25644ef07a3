"""What a certificate is found by."""

from keygrove_protocols.openpgp.certificate import Certificate, Component
from keygrove_protocols.openpgp.keys import parse_key
from keygrove_protocols.openpgp.packets import Packet, Tag
from keygrove_protocols.openpgp.terms import WORDS_MAX, terms

V4, SUB = b"\x04" + bytes(4) + b"\x63one", b"\x04" + bytes(4) + b"\x63two"
V6 = b"\x06" + bytes(4) + b"\x63" + (3).to_bytes(4) + b"one"


def certificate(primary: bytes, *names: bytes) -> Certificate:
    user_ids = tuple(Component(Packet(Tag.USER_ID, name)) for name in names)
    subkey = Component(Packet(Tag.PUBLIC_SUBKEY, SUB))
    photo = Component(Packet(Tag.USER_ATTRIBUTE, b"photo@example.org"))
    return Certificate(Packet(Tag.PUBLIC_KEY, primary), (), (*user_ids, photo, subkey))


def test_p103_a_certificate_is_found_by_its_primary_key_and_its_subkeys() -> None:
    found, keys = terms(certificate(V4)), [parse_key(V4), parse_key(SUB)]
    assert found.fingerprints == {key.fingerprint for key in keys}
    assert found.key_ids == {key.key_id for key in keys}
    assert found.short_ids == {key.key_id[4:] for key in keys}


def test_a_v6_key_has_a_key_id_and_no_short_id() -> None:
    found = terms(certificate(V6))
    assert parse_key(V6).key_id in found.key_ids
    assert found.short_ids == {parse_key(SUB).key_id[4:]}


def test_a_certificate_is_found_by_its_user_ids() -> None:
    found = terms(certificate(V4, b"Alice <A@Example.org>", b"J\xc3\x96RG", b"", b"\xff"))
    assert found.addresses == {"a@example.org"}
    assert found.texts == {"alice <a@example.org>", "jörg", "\ufffd"}
    assert found.words == {"alice", "a", "example", "org", "jörg"}


def test_a_certificate_is_found_by_so_many_words_and_no_more() -> None:
    names = [" ".join(f"w{at}x{word}" for word in range(60)).encode() for at in range(60)]
    assert len(terms(certificate(V4, *names)).words) == WORDS_MAX

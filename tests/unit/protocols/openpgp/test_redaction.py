"""Leaving out user IDs that are named by their hashes."""

import hashlib

from keygrove_protocols.openpgp.findings import Bundle, Findings
from keygrove_protocols.openpgp.packets import Packet, Tag
from keygrove_protocols.openpgp.redaction import user_id_hash, without_parts
from keygrove_protocols.openpgp.verification import verify
from tests.openpgp import BINDING, NAME, OTHER_NAME, SUBKEY, on_subkey

FOUND = verify(on_subkey(BINDING))
GONE = frozenset({user_id_hash(NAME.body)})


def test_a_user_id_is_named_by_the_sha256_of_its_octets() -> None:
    assert user_id_hash(b"Alice") == hashlib.sha256(b"Alice").digest()


def test_a_redacted_user_id_goes_with_its_signatures_and_nothing_else_does() -> None:
    left = without_parts(FOUND, GONE)
    assert left.facts() == {(SUBKEY.subkey, None), (SUBKEY.subkey, BINDING)}
    assert left.direct == FOUND.direct


def test_what_has_no_redacted_user_id_is_left_alone() -> None:
    assert without_parts(FOUND, frozenset({user_id_hash(OTHER_NAME.body)})) is FOUND
    assert without_parts(FOUND, frozenset()) is FOUND
    attribute = Bundle(Packet(Tag.USER_ATTRIBUTE, NAME.body), ())
    with_attribute = Findings(FOUND.primary, (), (attribute,))
    assert without_parts(with_attribute, GONE) is with_attribute

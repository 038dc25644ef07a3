"""The union of two states."""

import pytest

from keygrove_protocols.errors import PrimaryMismatchError
from keygrove_protocols.openpgp.certificate import Certificate, Component
from keygrove_protocols.openpgp.merge import merge
from keygrove_protocols.openpgp.packets import Packet, Tag

PRIMARY = Packet(Tag.PUBLIC_KEY, b"\x04" + bytes(4) + b"\x63" + b"opaque")
ALICE, BOB = Packet(Tag.USER_ID, b"Alice"), Packet(Tag.USER_ID, b"Bob")
S1, S2 = Packet(Tag.SIGNATURE, b"1"), Packet(Tag.SIGNATURE, b"2")


def test_a_merge_has_all_of_both_once() -> None:
    a = Certificate(PRIMARY, (S1,), (Component(ALICE, (S1,)),))
    b = Certificate(PRIMARY, (S1, S2), (Component(BOB), Component(ALICE, (S2, S1))))
    assert merge(a, b) == Certificate(
        PRIMARY, (S1, S2), (Component(ALICE, (S1, S2)), Component(BOB))
    )


def test_p084_different_primary_keys_do_not_merge() -> None:
    v3 = b"\x03" + bytes(6) + b"\x01"
    one = Packet(Tag.PUBLIC_KEY, v3 + b"\x00\x48\x01" + bytes(8) + b"\x00\x08\xff")
    other = Packet(Tag.PUBLIC_KEY, v3 + b"\x00\x48\x01" + bytes(8) + b"\x00\x10\x00\xff")
    with pytest.raises(PrimaryMismatchError):
        merge(Certificate(one), Certificate(other))

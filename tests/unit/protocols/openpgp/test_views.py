"""What old clients get."""

import pytest

from keygrove_protocols.openpgp.certificate import Certificate, Component
from keygrove_protocols.openpgp.packets import Packet, Tag
from keygrove_protocols.openpgp.views import legacy_view

ALICE = Packet(Tag.USER_ID, b"\x06lice")
OLD, NEW, EMPTY = Packet(2, b"\x04old"), Packet(2, b"\x06new"), Packet(2, b"")


@pytest.mark.parametrize(
    ("version", "is_shown"), [(2, True), (3, True), (4, True), (5, False), (6, False)]
)
def test_h026_old_clients_get_old_certificates(version: int, *, is_shown: bool) -> None:
    certificate = Certificate(Packet(Tag.PUBLIC_KEY, bytes([version])))
    assert legacy_view(certificate) == (certificate if is_shown else None)


def test_h026_newer_subkeys_and_signatures_are_left_out() -> None:
    primary, old, new = (Packet(tag, bytes([v])) for tag, v in ((6, 4), (14, 4), (14, 5)))
    certificate = Certificate(
        primary,
        (OLD, NEW),
        (Component(ALICE, (NEW, OLD, EMPTY)), Component(old, (OLD,)), Component(new, (OLD,))),
    )
    assert legacy_view(certificate) == Certificate(
        primary, (OLD,), (Component(ALICE, (OLD,)), Component(old, (OLD,)))
    )

"""Which shard holds what."""

from collections import Counter

import pytest

from keygrove.cluster.placement import Placement
from keygrove.storage.address import SLOTS, slot
from keygrove_protocols.openpgp.keys import Fingerprint


def fingerprints() -> dict[int, Fingerprint]:
    """One fingerprint for each slot."""
    found: dict[int, Fingerprint] = {}
    number = 0
    while len(found) < SLOTS:
        one = Fingerprint(number.to_bytes(20))
        found.setdefault(slot(one), one)
        number += 1
    return found


ALL = fingerprints()


def owners(shards: int) -> list[int]:
    placement = Placement(shards)
    return [placement.shard(ALL[at]) for at in range(SLOTS)]


def test_certificates_stay_where_every_version_before_put_them() -> None:
    placement = Placement(4)
    held = [placement.shard(Fingerprint(bytes([n]) * 20)) for n in range(16)]
    assert held == [0, 2, 3, 1, 0, 0, 0, 2, 0, 2, 0, 1, 2, 3, 2, 1]


def test_one_shard_holds_everything() -> None:
    assert set(owners(1)) == {0}


@pytest.mark.parametrize("shards", [2, 4, 8, 16])
def test_shards_hold_about_the_same(shards: int) -> None:
    held = Counter(owners(shards))
    fair = SLOTS / shards
    assert sorted(held) == list(range(shards))
    assert all(abs(number - fair) < 0.25 * fair for number in held.values())


@pytest.mark.parametrize("shards", [1, 2, 3, 4, 7])
def test_slots_move_to_a_new_shard_and_nowhere_else(shards: int) -> None:
    moved = [(a, b) for a, b in zip(owners(shards), owners(shards + 1), strict=True) if a != b]
    assert {to for _, to in moved} == {shards}
    assert 0.7 < len(moved) * (shards + 1) / SLOTS < 1.3


def test_a_certificate_is_placed_by_its_slot_alone() -> None:
    placement = Placement(5)
    for number in range(100):
        one = Fingerprint(number.to_bytes(32))
        assert placement.shard(one) == placement.shard(ALL[slot(one)])

"""Digests of our side, and whose they are."""

from keygrove.recon.listing import Shown
from keygrove.recon.ours import Ours
from keygrove_protocols.openpgp.keys import Digest, Fingerprint


def some(first: int, second: int, fingerprint: bytes) -> Shown:
    return Shown(Digest(bytes((first, second)) + bytes(14)), Fingerprint(fingerprint))


def test_each_digest_tells_its_certificate_of_either_version() -> None:
    ended_by_zeros = b"\x11" * 16 + bytes(4)
    several = [
        some(7, 1, b"\x01" * 20),
        some(7, 2, ended_by_zeros),
        some(7, 3, ended_by_zeros[:16]),
        some(8, 1, b"\x02" * 16),
    ]
    ours = Ours()
    for one in several:
        ours.add(one)
    assert ours.gathered.count == len(several)
    assert ours.whose({one.digest for one in several}) == {
        one.digest: one.fingerprint for one in several
    }
    assert ours.whose({several[1].digest}) == {several[1].digest: ended_by_zeros}


def test_what_is_not_ours_is_nobodys() -> None:
    ours = Ours()
    ours.add(some(7, 1, b"\x01" * 20))
    assert ours.whose({Digest(b"\x07" * 16), Digest(b"\x08" * 16)}) == {}

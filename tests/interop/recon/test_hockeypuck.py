"""Recon with a real Hockeypuck, which keeps less of certificates than SKS does."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.conftest import Server, eventually, needs, needs_debian_keyring
from tests.interop.recon.conftest import Grove
from tests.interop.recon.peers import CONVERGE_S, OURS, SKS_ADDRESS, Hockeypuck, Sks, debian

pytestmark = [pytest.mark.slow, needs_debian_keyring]


@pytest.fixture
def hockeypuck(hockeypuck_peer: Path, tmp_path: Path) -> Iterator[Hockeypuck]:
    # Its database runs as another user, who has to reach it.
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    found = Hockeypuck(hockeypuck_peer, tmp_path / "hockeypuck")
    yield found
    found.stop()


def start(
    grove: Grove, hockeypuck: Hockeypuck, ours: Sequence[bytes], theirs: Sequence[bytes]
) -> Server:
    hockeypuck.start(grove.recon, grove.http, theirs)
    return grove.start([f'name = "hockeypuck", recon = "{OURS}:{hockeypuck.recon}"'], ours)


FEW = 10
"""Certificates of Debian's that Hockeypuck does not take, or not as they are."""


def test_halves_with_overlap_become_the_union_at_both_ends(
    grove: Grove, hockeypuck: Hockeypuck
) -> None:
    certificates = debian()
    ours, theirs = list(certificates.values())[:600], list(certificates.values())[300:]
    server = start(grove, hockeypuck, ours, theirs)

    def they_have_as_many() -> bool:
        return len(hockeypuck.digests()) == server.total() > len(certificates) - FEW

    eventually(they_have_as_many, within_s=CONVERGE_S)
    assert len(hockeypuck.digests() - set(certificates)) < FEW
    assert len(set(certificates) - grove.held(list(certificates))) < FEW

    # What each of them has in a form of its own is found lacking in each round, and fetched once.
    def rounds() -> float:
        return server.metric("keygrove_recon_rounds_total", result="done")

    def fetched() -> float:
        return server.metric("keygrove_recon_recovered_total")

    settled = rounds() + 4
    eventually(lambda: rounds() > settled, within_s=CONVERGE_S)
    before, later = fetched(), rounds() + 4
    eventually(lambda: rounds() > later, within_s=CONVERGE_S)
    assert fetched() == before


@needs("sks")
def test_between_sks_and_hockeypuck_which_refuse_each_other_both_converge(
    grove: Grove, hockeypuck: Hockeypuck, tmp_path: Path
) -> None:
    certificates = debian()
    all_of_them = list(certificates.values())
    sks = Sks(tmp_path / "sks", f"{OURS} {grove.recon}", all_of_them[:400])
    hockeypuck.start(grove.recon, grove.http, all_of_them[500:])
    partners = [
        f'name = "hockeypuck", recon = "{OURS}:{hockeypuck.recon}"',
        f'name = "sks", recon = "{SKS_ADDRESS}:{sks.recon}"',
    ]
    server = grove.start(partners, all_of_them[350:550])
    sks.start()
    try:

        def they_have_all() -> bool:
            count = server.total()
            is_much = count > len(certificates) - FEW
            return is_much and len(hockeypuck.digests()) == count

        eventually(they_have_all, within_s=CONVERGE_S)
        eventually(lambda: len(sks.held()) > len(certificates) - FEW, within_s=CONVERGE_S)
    finally:
        sks.stop()

"""Recon with Debian's real SKS."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.conftest import eventually, needs, needs_debian_keyring
from tests.interop.recon.conftest import Grove
from tests.interop.recon.peers import CONVERGE_S, OURS, SKS_ADDRESS, Sks, debian

pytestmark = [pytest.mark.slow, needs("sks"), needs_debian_keyring]


class Both:
    """Keygrove and SKS, partners of each other."""

    def __init__(self, grove: Grove, folder: Path) -> None:
        self.grove = grove
        self._folder = folder
        self._sks: Sks | None = None

    @property
    def sks(self) -> Sks:
        assert self._sks is not None, "not started"
        return self._sks

    def start(self, ours: Sequence[bytes], theirs: Sequence[bytes], *, weight: int = 100) -> None:
        self._sks = Sks(self._folder, f"{OURS} {self.grove.recon}", theirs)
        partner = f'name = "sks", recon = "{SKS_ADDRESS}:{self.sks.recon}", weight = {weight}'
        self.grove.start([partner], ours)
        self.sks.start()

    def close(self) -> None:
        if self._sks is not None:
            self._sks.stop()

    def until_both_have_all(self) -> None:
        wanted = set(debian())
        eventually(lambda: self.grove.held(list(debian())) == wanted, within_s=CONVERGE_S)
        eventually(lambda: self.sks.held() == wanted, within_s=CONVERGE_S)


@pytest.fixture
def both(grove: Grove, tmp_path: Path) -> Iterator[Both]:
    found = Both(grove, tmp_path / "sks")
    yield found
    found.close()


def test_halves_with_overlap_become_the_union_at_both_ends(both: Both) -> None:
    certificates = list(debian().values())
    both.start(certificates[:600], certificates[300:])
    both.until_both_have_all()


def test_so_they_do_where_only_sks_begins(both: Both) -> None:
    certificates = list(debian().values())
    both.start(certificates[:880], certificates[20:], weight=0)
    both.until_both_have_all()


def test_an_empty_keygrove_is_filled(both: Both) -> None:
    both.start((), list(debian().values()))
    both.until_both_have_all()

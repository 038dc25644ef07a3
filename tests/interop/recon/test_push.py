"""Push to real servers, which are no partners of recon."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from keygrove_protocols.openpgp.keys import Digest
from tests.e2e.conftest import (
    Server,
    Servers,
    eventually,
    keygrove,
    make_certificate,
    needs,
    needs_debian_keyring,
)
from tests.interop.recon.peers import OURS, Hockeypuck, Sks, debian

pytestmark = [pytest.mark.slow, needs_debian_keyring]

SOME = 20
"""Debian's, of those that are not too large."""
SIZE_MAX = 20_000


def some() -> dict[Digest, bytes]:
    small = [(digest, one) for digest, one in debian().items() if len(one) < SIZE_MAX]
    return dict(small[:SOME])


@pytest.fixture
def hockeypuck(hockeypuck_peer: Path, tmp_path: Path) -> Iterator[Hockeypuck]:
    # Its database runs as another user, who has to reach it.
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    found = Hockeypuck(hockeypuck_peer, tmp_path / "hockeypuck")
    yield found
    found.stop()


def start(servers: Servers, folder: Path, to: str) -> Server:
    file = folder / "push.toml"
    file.write_text(f'[policy]\npreset = "sks-compatible"\n[[push]]\nto = "{to}"\nsender = "us"\n')
    server = servers.start("--config", str(file))

    def has_begun() -> bool:
        return '"lag":0' in keygrove("push", "status", "--json", "--data", server.data).out

    eventually(has_begun)
    for one in some().values():
        assert server.add(one).is_success
    # A version that SKS, and Hockeypuck's releases, cannot read: it keeps nobody waiting.
    assert server.add(make_certificate("six", ["<six@push.example>"], version=6).packets).is_success
    return server


@needs("sks")
def test_sks_is_sent_what_it_can_read(servers: Servers, tmp_path: Path) -> None:
    sks = Sks(tmp_path / "sks", f"{OURS} 9", list(debian().values())[-5:])
    sks.start()
    try:
        start(servers, tmp_path, sks.url.replace("http:", "hkp:"))
        eventually(lambda: sks.held() >= set(some()))
    finally:
        sks.stop()


def test_hockeypuck_is_sent_what_it_can_read(
    servers: Servers, hockeypuck: Hockeypuck, tmp_path: Path
) -> None:
    hockeypuck.start(0, 0, [])
    start(servers, tmp_path, hockeypuck.url.replace("http:", "hkp:"))

    def has_all() -> bool:
        return all(
            httpx.get(
                f"{hockeypuck.url}/pks/lookup", params={"op": "hget", "search": digest.hex()}
            ).is_success
            for digest in some()
        )

    eventually(has_all)

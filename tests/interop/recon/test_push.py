"""Push to real servers, which are no partners of recon."""

from pathlib import Path

import pytest

from tests.e2e.conftest import (
    Server,
    Servers,
    eventually,
    keygrove,
    make_certificate,
    needs,
    needs_debian_keyring,
)
from tests.interop.recon.conftest import Hockeypucks, SksServers
from tests.interop.recon.corpus import Cert, debian, digests
from tests.interop.recon.hockeypuck import needs_hockeypuck
from tests.interop.recon.ports import free_ports

pytestmark = [pytest.mark.slow, needs_debian_keyring]

SOME = 20
"""Debian's, of those that are not too large."""
SIZE_MAX = 20_000


def some() -> list[Cert]:
    return [one for one in debian() if len(one.octets) < SIZE_MAX][:SOME]


def start(servers: Servers, folder: Path, to: str) -> Server:
    file = folder / "push.toml"
    file.write_text(f'[policy]\npreset = "sks-compatible"\n[[push]]\nto = "{to}"\nsender = "us"\n')
    server = servers.start("--config", str(file))

    def has_begun() -> bool:
        return '"lag":0' in keygrove("push", "status", "--json", "--data", server.data).out

    eventually(has_begun)
    for one in some():
        assert server.add(one.octets).is_success
    # A version that SKS, and Hockeypuck's releases, cannot read: it keeps nobody waiting.
    assert server.add(make_certificate("six", ["<six@push.example>"], version=6).packets).is_success
    return server


@needs("sks")
def test_sks_is_sent_what_it_can_read(
    servers: Servers, sks_servers: SksServers, tmp_path: Path
) -> None:
    (nobody,) = free_ports(1)
    sks = sks_servers(nobody)
    sks.build(debian()[-5:])
    sks.start(gossips=False)
    start(servers, tmp_path, sks.url.replace("http:", "hkp:"))
    eventually(lambda: sks.held() >= digests(some()))


@needs_hockeypuck
def test_hockeypuck_is_sent_what_it_can_read(
    servers: Servers, hockeypucks: Hockeypucks, tmp_path: Path
) -> None:
    hockeypuck = hockeypucks((0, 0))
    hockeypuck.start(gossips=False)
    start(servers, tmp_path, hockeypuck.url.replace("http:", "hkp:"))
    eventually(lambda: hockeypuck.digests() >= digests(some()))

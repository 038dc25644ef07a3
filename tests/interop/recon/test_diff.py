"""`keygrove recon diff` against real servers: what differs is told, and nobody fetches anything."""

from pathlib import Path

import msgspec
import pytest

from tests.e2e.conftest import Ended, keygrove, needs, needs_debian_keyring
from tests.interop.recon.conftest import Hockeypucks, Nodes, SksServers
from tests.interop.recon.corpus import Cert, debian, digests, written
from tests.interop.recon.hockeypuck import Hockeypuck, needs_hockeypuck
from tests.interop.recon.meeting import settled
from tests.interop.recon.node import Partner
from tests.interop.recon.ports import free_ports
from tests.interop.recon.sks import Sks

pytestmark = [pytest.mark.slow, needs_debian_keyring]


class Only(msgspec.Struct):
    digest: str
    fingerprint: str | None


class Report(msgspec.Struct):
    program: str
    compared: int
    theirs: list[Only]
    ours: list[Only]
    has_all_of_theirs: bool
    has_all_of_ours: bool


def said(ended: Ended) -> Report:
    assert ended.status == 0, ended.err
    return msgspec.json.decode(ended.out, type=Report)


def differing(report: Report) -> tuple[set[str], set[str]]:
    assert report.has_all_of_theirs
    assert report.has_all_of_ours
    assert all(one.fingerprint for one in report.ours)
    return {one.digest for one in report.theirs}, {one.digest for one in report.ours}


def compared(server: Sks | Hockeypuck, dump: Path) -> Report:
    address = f"127.0.0.1:{server.recon_port}"
    return said(keygrove("recon", "diff", address, "--dump", dump, "--json"))


@needs("sks")
@pytest.mark.parametrize(("here", "there"), [(600, 500), (60, 1), (0, 60), (300, 905)])
def test_a_dump_and_a_real_sks(
    here: int, there: int, sks_servers: SksServers, tmp_path: Path
) -> None:
    everything = debian()
    mine, theirs = everything[:here], everything[len(everything) - there :]
    sks = sks_servers(free_ports(1)[0])
    sks.build(theirs)
    sks.start(gossips=False)
    report = compared(sks, dumped(mine, tmp_path))
    assert differing(report) == (
        digests(theirs) - digests(mine),
        digests(mine) - digests(theirs),
    )
    assert (report.program, report.compared) == ("sks", here)
    # It was told nothing, or else it would be busy with fetching, and close at once.
    assert differing(compared(sks, dumped(mine, tmp_path))) == differing(report)
    assert sks.held() == digests(theirs)


@needs_hockeypuck
def test_a_dump_and_a_real_hockeypuck(hockeypucks: Hockeypucks, tmp_path: Path) -> None:
    everything = debian()
    mine = everything[:800]
    http_port, recon_port = free_ports(2)
    hockeypuck = hockeypucks((recon_port, http_port))
    hockeypuck.build(everything[500:])
    hockeypuck.start(gossips=False)
    report = compared(hockeypuck, dumped(mine, tmp_path))
    theirs = hockeypuck.digests()
    assert differing(report) == (theirs - digests(mine), digests(mine) - theirs)
    assert report.program == "hockeypuck"


def dumped(several: tuple[Cert, ...], folder: Path) -> Path:
    (folder / "dump").mkdir(exist_ok=True)
    if several:
        written(several, folder / "dump/keys.pgp")
    return folder / "dump"


def test_a_store_and_a_running_keygrove(nodes: Nodes) -> None:
    everything = debian()
    node, other = nodes(), nodes()
    node.load(everything[:500])
    other.load(everything[400:])
    other.start(Partner("node", node.recon_port))
    node.start(Partner("other", other.recon_port))
    settled(lambda: other.status()["tree"]["waiting_for"] == "")
    report = said(node.command("recon", "diff", "other", "--json"))
    assert differing(report) == (digests(everything[500:]), digests(everything[:400]))
    assert report.program == "keygrove"
    assert other.partner("node")["recovery"]["results"] == {}
    assert node.digests() == digests(everything[:500])

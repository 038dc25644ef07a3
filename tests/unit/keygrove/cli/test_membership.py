"""Partners of SKS and Hockeypuck as settings of ours."""

import tomllib
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from keygrove.cli.config import config
from keygrove.cli.membership import Imported, as_toml, read_partners
from keygrove.settings import ReconPartner, Settings

MEMBERSHIP = """
# our friends
keys.example.org 11370 # Ann <ann@example.org> 0x0123456789ABCDEF
192.0.2.7\t11372
2001:db8::7 11370
"""

HOCKEYPUCK = """
[hockeypuck]
hostname = "keys.example.net"
[hockeypuck.hkp]
bind = ":11371"
[hockeypuck.conflux.recon]
reconAddr = ":11370"
allowCIDRs = ["192.0.2.0/24"]
gossipIntervalSecs = 30
[hockeypuck.conflux.recon.partner.ann]
httpAddr = "keys.example.org:80"
reconAddr = "keys.example.org:11370"
[hockeypuck.conflux.recon.partner.bob]
reconAddr = "[2001:db8::7]:11370"
weight = 50
[hockeypuck.conflux.recon.partner.cleo]
reconAddr = "cleo.example:11370"
weight = -1
"""


def test_each_line_of_a_membership_is_a_partner_that_tells_its_http_port() -> None:
    found = read_partners(MEMBERSHIP)
    assert found.problems == ()
    assert found.recon.partner == (
        ReconPartner("keys.example.org", "keys.example.org:11370"),
        ReconPartner("192.0.2.7", "192.0.2.7:11372"),
        ReconPartner("2001-db8--7", "[2001:db8::7]:11370"),
    )


def test_each_table_of_hockeypuck_is_a_partner_with_its_weight() -> None:
    found = read_partners(HOCKEYPUCK)
    assert found.problems == ()
    assert found.recon.partner == (
        ReconPartner("ann", "keys.example.org:11370", "keys.example.org:80"),
        ReconPartner("bob", "[2001:db8::7]:11370", weight=50),
        ReconPartner("cleo", "cleo.example:11370", weight=0),
    )
    assert found.recon.allow == ("192.0.2.0/24",)
    assert found.recon.gossip_interval == 30


def recon_of(line: str) -> Imported:
    return read_partners(f"[hockeypuck.conflux.recon]\n{line}")


def test_an_address_within_a_network_is_written_as_the_network() -> None:
    found = recon_of('allowCIDRs = ["10.1.2.3/8", "2001:db8::1/32", "192.0.2.7/32"]')
    assert found.problems == ()
    assert found.recon.allow == ("10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32")


@pytest.mark.parametrize("bad", ['"192.0.2.0/33"', '"example.org"', "7"])
def test_a_network_that_is_none_is_named_and_the_others_stay(bad: str) -> None:
    found = recon_of(f'gossipIntervalSecs = 30\nallowCIDRs = ["10.0.0.0/8", {bad}]')
    assert found.recon.allow == ("10.0.0.0/8",)
    assert found.recon.gossip_interval == 30
    assert [one.startswith("allowCIDRs: left out") for one in found.problems] == [True]


def test_an_interval_that_is_none_is_named_and_the_networks_stay() -> None:
    found = recon_of('gossipIntervalSecs = "soon"\nallowCIDRs = ["10.0.0.0/8"]')
    assert found.recon.allow == ("10.0.0.0/8",)
    assert [one.startswith("gossipIntervalSecs: left out") for one in found.problems] == [True]


def test_hockeypucks_old_list_of_partners_is_read() -> None:
    found = read_partners('[hockeypuck.conflux.recon]\npartners = ["a.example:11370"]')
    assert found.recon.partner == (ReconPartner("a.example", "a.example:11370"),)


def test_what_is_printed_are_settings_that_say_the_same() -> None:
    for text in (MEMBERSHIP, HOCKEYPUCK):
        recon = read_partners(text).recon
        assert msgspec.convert(tomllib.loads(as_toml(recon)), Settings).recon == recon


def test_two_of_one_name_get_two_names() -> None:
    found = read_partners("a.example 1\na.example 2\n")
    assert [one.name for one in found.recon.partner] == ["a.example", "a.example-2"]


def test_what_cannot_be_taken_over_is_named_and_the_rest_is_printed(tmp_path: Path) -> None:
    file = tmp_path / "membership"
    file.write_text("keys.example.org 11370\nkeys.example.net\nkeys.example.com 99999\n")
    result = CliRunner().invoke(config, ["import", str(file)])
    assert result.exit_code == 1
    assert result.stdout == (
        '[[recon.partner]]\nname = "keys.example.org"\nrecon = "keys.example.org:11370"\n'
    )
    assert "line 2: left out" in result.stderr
    assert "line 3: left out" in result.stderr


def test_a_partner_behind_a_unix_socket_is_left_out() -> None:
    text = '[hockeypuck.conflux.recon.partner.x]\nreconNet = "unix"\nreconAddr = "/run/x"'
    found = read_partners(text)
    assert found.recon.partner == ()
    assert "Unix socket" in found.problems[0]

"""Partners of SKS and Hockeypuck as settings of ours."""

import tomllib
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from keygrove.cli import membership
from keygrove.cli.config import config
from keygrove.cli.membership import Imported, as_toml
from keygrove.configuration import load
from keygrove.settings import PushTarget, ReconPartner, Settings

PKS = """
[hockeypuck.pks]
from = "keys.example.net"
to = ["hkps://push.example/", "vks://keys.openpgp.example", "mailto:pks@example.org"]
[hockeypuck.conflux.recon.partner.ann]
httpAddr = "ann.example:11371"
reconAddr = "ann.example:11370"
pksFailover = true
[hockeypuck.conflux.recon.partner.bob]
reconAddr = "bob.example:11370"
pksFailover = true
"""

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


def read_partners(text: str) -> Imported:
    return membership.read_partners(text.encode())


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
    assert found.recon.listen == ("0.0.0.0:11370",)
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
    (told,) = found.problems
    why = "recon.gossip_interval: 'soon' will not do; write a number of seconds"
    assert told.startswith(f"gossipIntervalSecs: left out: {why}")


def test_hockeypucks_old_list_of_partners_is_read() -> None:
    found = read_partners('[hockeypuck.conflux.recon]\npartners = ["a.example:11370"]')
    assert found.recon.partner == (ReconPartner("a.example", "a.example:11370"),)


def test_what_is_printed_are_settings_that_say_the_same() -> None:
    for text in (MEMBERSHIP, HOCKEYPUCK, PKS):
        found = read_partners(text)
        settings = msgspec.convert(tomllib.loads(as_toml(found)), Settings)
        assert (settings.recon, settings.push) == (found.recon, found.push)


@pytest.mark.parametrize("other", ["a.example", "A.Example"])
def test_two_of_one_name_get_two_names(other: str) -> None:
    found = read_partners(f"a.example 1\n{other} 2\n")
    assert [one.name for one in found.recon.partner] == ["a.example", "a.example-2"]


def test_two_tables_whose_names_differ_in_case_get_two_names() -> None:
    head = "[hockeypuck.conflux.recon.partner"
    found = read_partners(f'{head}.Ann]\nreconAddr = "a:1"\n{head}.ann]\nreconAddr = "b:1"')
    assert [one.name for one in found.recon.partner] == ["Ann", "ann-2"]


@pytest.mark.parametrize("other", ["a.example", "A.Example", "a.example."])
def test_a_host_that_is_there_twice_is_one_partner(other: str) -> None:
    found = read_partners(f"a.example 1\n{other} 1\n")
    assert found.recon.partner == (ReconPartner("a.example", "a.example:1"),)
    assert found.problems == (f"line 2: left out: {other}:1 is there already: a.example",)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("a.example 99999", "recon.partner.recon: 'a.example:99999' will not do; write HOST:PORT,"),
        ("a.example 011370", "recon.partner.recon: 'a.example:011370' will not do; write"),
        ("a_ä.example 11370", "recon.partner.recon: 'a_ä.example:11370' will not do; write"),
        ("a.example 0", "a.example:0 will not do: no server has the TCP port 0"),
        ("999.1.1.1 11370", "999.1.1.1:11370 will not do: 999.1.1.1 is no IP address"),
    ],
)
def test_what_cannot_be_a_partner_is_told_in_words(line: str, why: str) -> None:
    found = read_partners(line)
    assert found.recon.partner == ()
    (told,) = found.problems
    assert told.startswith(f"line 1: left out: {why}")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('weight = "much"', "recon.partner.weight: 'much' will not do; write a number from 0 to"),
        ("weight = 1001", "recon.partner.weight: 1001 will not do; write a number from 0 to 1000"),
        ("httpAddr = 80", "recon.partner.http: 80 will not do; write HOST:PORT"),
        ('httpAddr = "h:0"', "h:0 will not do: no server has the TCP port 0"),
    ],
)
def test_a_table_that_cannot_be_a_partner_is_told_in_words(line: str, why: str) -> None:
    head = '[hockeypuck.conflux.recon.partner.ann]\nreconAddr = "h:1"\n'
    found = read_partners(head + line)
    assert found.recon.partner == ()
    (told,) = found.problems
    assert told.startswith(f"partner.ann: left out: {why}")


def test_what_cannot_be_taken_over_is_named_and_the_rest_is_printed(tmp_path: Path) -> None:
    file = tmp_path / "membership"
    file.write_text("keys.example.org 11370\nkeys.example.net\nkeys.example.com 99999\n")
    result = CliRunner().invoke(config, ["import", str(file)])
    assert result.exit_code == 1
    assert result.stdout.startswith("[recon]\n# Partners have to reach this server")
    assert result.stdout.endswith(
        '[[recon.partner]]\nname = "keys.example.org"\nrecon = "keys.example.org:11370"\n'
    )
    assert "line 2: left out" in result.stderr
    assert "line 3: left out" in result.stderr


def test_settings_of_hockeypuck_that_are_no_toml_are_no_membership() -> None:
    found = read_partners(f"{HOCKEYPUCK}\nreconAddr = ")
    assert found.recon.partner == ()
    (told,) = found.problems
    assert told.startswith("it is not TOML: ")


def test_a_partner_behind_a_unix_socket_is_left_out() -> None:
    text = '[hockeypuck.conflux.recon.partner.x]\nreconNet = "unix"\nreconAddr = "/run/x"'
    found = read_partners(text)
    assert found.recon.partner == ()
    assert "Unix socket" in found.problems[0]


def test_whom_hockeypuck_sends_what_changes_are_targets(tmp_path: Path) -> None:
    found = read_partners(PKS)
    sender = "keys.example.net"
    assert found.push == (
        PushTarget("hkps://push.example", sender=sender),
        PushTarget("vks://keys.openpgp.example", sender=sender),
        PushTarget("hkp://ann.example:11371", "failover", "ann", sender),
    )
    mail, bob = found.problems
    assert mail.startswith("pks.to: left out: push.to: 'mailto:pks@example.org' will not do; write")
    assert bob == "partner.bob: pksFailover: left out: it needs httpAddr, and a weight above 0"
    file = tmp_path / "keygrove.toml"
    file.write_text(as_toml(found))
    assert load(file, {}, {}).settings.push == found.push


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ('["hkp://a.example", "hkp://a.example:11371"]', "hkp://a.example:11371 is there already"),
        ('"hkp://0.0.0.0"', "hkp://0.0.0.0 will not do: 0.0.0.0 stands for all addresses"),
        ("7", "push.to: 7 will not do; write hkps://HOST"),
    ],
)
def test_a_target_that_cannot_be_one_is_told_in_words(to: str, why: str) -> None:
    (told,) = read_partners(f"[hockeypuck.pks]\nto = {to}").problems
    assert told.startswith(f"pks.to: left out: {why}")


@pytest.mark.parametrize(
    ("line", "listen"),
    [
        ('reconAddr = "[2001:db8::9]:11370"', ("[2001:db8::9]:11370",)),
        ('reconAddr = ":11372"', ("0.0.0.0:11372",)),
        ("", ()),
    ],
)
def test_where_hockeypuck_listens_we_do(line: str, listen: tuple[str, ...]) -> None:
    found = recon_of(f'partners = ["a.example:11370"]\n{line}')
    assert (found.recon.listen, found.problems) == (listen, ())
    assert ("# listen = " in as_toml(found)) == (not listen)


def test_where_nobody_can_listen_is_told() -> None:
    (told,) = recon_of('partners = ["a.example:1"]\nreconAddr = "here"').problems
    assert told.startswith("reconAddr: left out: recon.listen[0]: 'here' will not do; write a list")


def test_of_a_line_the_first_two_words_count_as_sks_has_it() -> None:
    found = read_partners("a.example 11370 since 2014\n[2001:db8::2] 11370\n")
    assert found == read_partners("a.example 11370\n2001:db8::2 11370\n")
    assert [one.recon for one in found.recon.partner] == ["a.example:11370", "[2001:db8::2]:11370"]


def test_comments_may_be_of_any_encoding_and_begin_with_a_mark() -> None:
    line = "a.example 11370 # Jürgen"
    for octets in (line.encode("latin-1"), line.encode("utf-8-sig"), line.encode()):
        found = membership.read_partners(octets)
        assert found == read_partners("a.example 11370")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[hockeypuck]\nhostname = "a"', "there is nothing to take over"),
        ("[hockeypuck]", "there is nothing to take over"),
        ("# nobody yet", "there is nothing to take over"),
        ("[recon]\nlisten = []", "it has no table [hockeypuck]"),
    ],
)
def test_where_there_is_nobody_that_is_said(text: str, why: str) -> None:
    assert read_partners(text) == Imported(problems=(why,))


def test_a_dash_is_standard_input() -> None:
    result = CliRunner().invoke(config, ["import", "-"], input="a.example 11370\n")
    assert result.exit_code == 0
    assert 'recon = "a.example:11370"' in result.stdout

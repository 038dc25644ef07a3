"""Where a target takes certificates, in what form, and who it is."""

from urllib.parse import parse_qs

import msgspec
import pytest

from keygrove.push.address import address_of, host_in, names_of
from keygrove.settings import PushTarget, ReconPartner
from keygrove_chaos.certificates import armored, made


@pytest.mark.parametrize(
    ("to", "url"),
    [
        ("hkp://h", "http://h:11371/pks/add"),
        ("hkp://h:80", "http://h:80/pks/add"),
        ("hkps://keys.example.org", "https://keys.example.org:443/pks/add"),
        ("vks://keys.example.org", "https://keys.example.org:443/vks/v1/upload"),
        ("hkp://[2001:db8::1]:81", "http://[2001:db8::1]:81/pks/add"),
    ],
)
def test_each_protocol_has_its_port_and_path(to: str, url: str) -> None:
    assert address_of(to).url == url


def test_a_form_begins_as_sks_wants_it_and_an_upload_is_json() -> None:
    text = armored(made(1, "Alice & Bob + Carol"))
    form = address_of("hkp://h").body(text)
    assert form.startswith(b"keytext=-----BEGIN%20PGP%20PUBLIC%20KEY%20BLOCK-----%0A")
    assert parse_qs(form.decode()) == {"keytext": [text.decode()]}
    upload = address_of("vks://h").body(text)
    assert msgspec.json.decode(upload) == {"keytext": text.decode()}


@pytest.mark.parametrize(
    "sender",
    [
        "keys.example.org",
        "Keys.Example.Org:11371",
        "hkps://keys.example.org/pks/add",
        "pks@keys.example.org",
        "mailto://pks@keys.example.org",
    ],
)
def test_the_host_is_found_in_what_servers_call_themselves(sender: str) -> None:
    assert host_in(sender) == "keys.example.org"


def test_a_target_is_the_partner_that_is_named_or_those_on_its_host() -> None:
    partners = (
        ReconPartner("one", "h.example:11370"),
        ReconPartner("two", "H.EXAMPLE:11380"),
        ReconPartner("three", "other.example:11370"),
    )
    assert names_of(PushTarget("hkp://h.example"), partners).partners == {"one", "two"}
    assert names_of(PushTarget("hkp://h.example", partner="three"), partners).partners == {"three"}


def test_a_target_is_known_by_its_host_unless_it_has_another_name() -> None:
    assert names_of(PushTarget("hkps://H.example:1"), ()).senders == {"h.example"}
    assert names_of(PushTarget("hkp://h", known_as="The-Other"), ()).senders == {"the-other"}

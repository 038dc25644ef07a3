"""Addresses of partners, and ours towards them."""

import pytest

from keygrove.recon.hosts import divided, is_within, joined, source_for


@pytest.mark.parametrize("address", ["keys.example.org:11370", "[2001:db8::7]:80", "192.0.2.7:1"])
def test_an_address_is_divided_and_joined_again(address: str) -> None:
    assert joined(*divided(address)) == address


@pytest.mark.parametrize(
    ("listen", "target", "source"),
    [
        ([], "192.0.2.7", ""),
        (["0.0.0.0:11370"], "192.0.2.7", ""),
        (["[::]:11370"], "192.0.2.7", ""),
        (["198.51.100.1:11370"], "192.0.2.7", "198.51.100.1"),
        (["198.51.100.1:11370"], "keys.example.org", "198.51.100.1"),
        (["127.0.0.1:11370"], "192.0.2.7", ""),
        (["127.0.0.1:11370"], "127.0.0.1", "127.0.0.1"),
        (["198.51.100.1:11370"], "127.0.0.1", ""),
        (["[2001:db8::1]:11370", "198.51.100.1:11370"], "192.0.2.7", "198.51.100.1"),
        (["keys.example.net:11370"], "192.0.2.7", ""),
    ],
)
def test_partners_are_reached_from_the_address_that_they_know(
    listen: list[str], target: str, source: str
) -> None:
    assert source_for(listen, target) == source


@pytest.mark.parametrize(
    ("address", "is_in"),
    [("192.0.2.7", True), ("192.0.3.7", False), ("2001:db8::1", True), ("node-1", False)],
)
def test_who_may_connect_is_named_by_address_or_network(address: str, is_in: bool) -> None:
    assert is_within(address, ["192.0.2.0/24", "2001:db8::1"]) is is_in

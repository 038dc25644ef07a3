"""Who a partner is by its address, and from which of ours it knows us."""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

UNSPECIFIED: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, never bound


def divided(address: str) -> tuple[str, int]:
    """Host and TCP port of HOST:PORT, without brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def joined(host: str, port: int) -> str:
    """HOST:PORT, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_within(address: str, networks: Sequence[str]) -> bool:
    """Whether an address is one of these, or in one of these networks."""
    try:
        found = ip_address(address)
    except ValueError:
        return False  # simulated hosts have none
    return any(found in ip_network(network) for network in networks)


def source_for(listen: Sequence[str], target: str) -> str:
    """The address of ours by which the host `target` knows us; empty: the system chooses.

    The first of those that are listened on, unless that means all of them. One of loopback reaches
    loopback only, and one of either family its own (recon.md, T15).
    """
    for address in listen:
        host, _ = divided(address)
        if host in UNSPECIFIED:
            return ""
        try:
            ours = ip_address(host)
        except ValueError:
            return ""
        try:
            theirs = ip_address(target)
        except ValueError:
            return "" if ours.is_loopback else str(ours)
        if ours.version == theirs.version and ours.is_loopback == theirs.is_loopback:
            return str(ours)
    return ""


def host_of(url: str) -> str:
    """The host of a URL."""
    return urlsplit(url).hostname or ""

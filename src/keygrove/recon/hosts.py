"""Who a partner is by its address, and from which of ours it knows us."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

UNSPECIFIED: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, never bound
HOST_MAX: Final = 253
LABEL_MAX: Final = 63
"""Octets of a name, and of what stands between two dots: RFC 1035, section 2.3.4."""
ENCODED: Final = "xn--"
"""What begins so is other letters in punycode: RFC 5890, section 2.3.2.1."""


def divided(address: str) -> tuple[str, int]:
    """Host and TCP port of HOST:PORT, without brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def bracketed(host: str) -> str:
    """The host, an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def joined(host: str, port: int) -> str:
    """HOST:PORT, an IPv6 host in brackets."""
    return f"{bracketed(host)}:{port}"


def normal(address: str) -> str:
    """HOST:PORT as it is compared: of two that are written otherwise and mean the same, one."""
    host, port = divided(address)
    try:
        return joined(str(ip_address(host)), port)
    except ValueError:
        return joined(host.lower().rstrip("."), port)


def host_fault(host: str) -> str:
    """Why nobody can have a host, as far as it shows without a look-up; empty: it does not."""
    labels = host.removesuffix(".").split(".")
    if ":" in host or labels[-1].isdecimal():
        try:
            ip_address(host)
        except ValueError:
            return f"{host} is no IP address"
    elif len(host) > HOST_MAX or not all(map(_is_label, labels)):
        return f"{host} is no name of a host"
    return ""


def _is_label(label: str) -> bool:
    """Whether it may stand between two dots; an encoded one has to encode something."""
    rest = label.lower().removeprefix(ENCODED)
    if rest != label.lower():
        try:
            rest = rest.encode().decode("punycode")
        except UnicodeError:
            return False
    return bool(rest) and len(label) <= LABEL_MAX


def target_fault(address: str) -> str:
    """Why no server can be reached at HOST:PORT, as far as it shows; empty: it does not."""
    host, port = divided(address)
    if host in UNSPECIFIED:
        return f"{host} stands for all addresses of a machine, and is none of another one"
    return host_fault(host) or ("" if port else "no server has the TCP port 0")


def is_ours(address: str, listen: Sequence[str]) -> bool:
    """Whether who connects to HOST:PORT meets us, as far as it shows without a look-up."""
    host, port = divided(address)
    return any(port == own_port and _meets(host, own) for own, own_port in map(divided, listen))


def _meets(target: str, listened: str) -> bool:
    """Whether it is the host that is listened on, or a loopback where all addresses are."""
    if target.lower() == listened.lower():
        return True
    return any(
        one == ours or (one.is_loopback and ours.is_unspecified and one.version == ours.version)
        for one in _literal(target)
        for ours in _literal(listened)
    )


def _literal(host: str) -> tuple[IPv4Address | IPv6Address, ...]:
    """The addresses of a host that nobody has to be asked for."""
    if host.lower() == "localhost":
        return ip_address("127.0.0.1"), ip_address("::1")
    try:
        return (ip_address(host),)
    except ValueError:
        return ()


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

"""Whom a limit holds for: where a request comes from. Pure."""

from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Final

NETWORK_BITS: Final = 64
"""Of an IPv6 address; a host chooses the others as it likes. Source: RFC 4291, section 2.5.4."""


def place_of(client: str | None) -> str | None:
    """An IPv4 address, or the network of 64 bits of an IPv6 one; what is no address is itself.

    An IPv4 address that came over IPv6 is one of IPv4.
    """
    try:
        address = ip_address(client or "")
    except ValueError:
        return client
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), NETWORK_BITS), strict=False))

"""What does not change while a node runs."""

import msgspec


class NodeFacts(msgspec.Struct, frozen=True):
    """Facts that pages, probes and statistics show."""

    version: str
    http_address: str
    recon_address: str
    durability: str
    engine: str
    """What keeps the certificates."""

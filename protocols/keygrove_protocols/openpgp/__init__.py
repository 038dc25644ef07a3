"""OpenPGP: RFC 9580 and its predecessors."""

"""Sending to other servers what changes here, one way, by the protocols of clients."""

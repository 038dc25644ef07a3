"""What a certificate is found by, apart from its fingerprint and its words."""

from enum import IntEnum

import msgspec


class TermKind(IntEnum):
    """What a certificate can be found by, apart from its fingerprint and its words."""

    FINGERPRINT = 1
    """Of the primary key or a subkey."""
    KEY_ID = 2
    SHORT_ID = 3
    DIGEST = 4
    ADDRESS = 5
    TEXT = 6
    """A whole user ID, normalised and hashed."""
    PRIMARY_ID = 7
    """The primary key's ID alone, behind its version: see `derive.primary_term`."""


class Term(msgspec.Struct, frozen=True, cache_hash=True, gc=False):
    """One thing to find certificates by."""

    kind: TermKind
    value: bytes

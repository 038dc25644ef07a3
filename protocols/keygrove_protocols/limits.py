"""Every limit on bytes from outside, with the defaults of a submission over HTTP.

They say what is read; how much of a certificate is kept is for `openpgp.policy.Bounds` to say,
after what is not wanted has been left out: certificates poisoned on purpose hold 30,000 to
150,000 signatures.
"""

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much of what is read. None: as much as there is."""

    body_bytes_max: int = 8 << 20
    """Of one input, armored or not: checked before anything is decoded."""

    input_packets_max: int = 100_000
    """Of all certificates of one input: without it, packets of two octets each would
    take twenty times the memory of the input."""

    certificates_max: int | None = 100
    """Of one input."""

    certificate_bytes_max: int = 64 << 20
    """Of one certificate cut out of a stream."""


SUBMISSION = Limits()
"""For certificates that anybody may send."""

OWN = Limits(
    body_bytes_max=1 << 40,
    input_packets_max=1 << 40,
    certificates_max=None,
    certificate_bytes_max=1 << 40,
)
"""For what we wrote ourselves: what was stored must be readable, whatever it grew to."""

BULK = Limits(
    body_bytes_max=64 << 20,
    input_packets_max=1_000_000,
    certificates_max=None,
)
"""For dumps of other keyservers, and what they send: the poisoned certificates are among it."""

SUBPACKETS_MAX = 512
"""Of one signature; one with more counts as malformed."""

EMBEDDED_MAX = 8
"""Signatures embedded in one; one with more counts as malformed. A binding needs one, and for each
in the subkey's name the subkey's owner can have us do arithmetic of the slowest kind."""

SEARCH_BYTES_MAX = 2_048
"""Of the text searched for: as long as the longest user ID."""

FIELDS_MAX = 100
"""Of a query or form. gpg sends five, browsers a few more."""

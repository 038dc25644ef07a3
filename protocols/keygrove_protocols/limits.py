"""Every limit on bytes from outside, with the defaults of a submission over HTTP.

Where others draw their lines: Hockeypuck takes packets of 8 KiB, signatures of 64 KiB and
certificates of 1 MiB; GnuPG refuses user IDs above 2,048 octets; post-quantum signatures
reach 30 kB; certificates poisoned on purpose hold 30,000 to 150,000 signatures.
"""

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much of what is taken. None: as much as there is.

    A packet above its own limit is dropped, together with the signatures on it; a
    certificate above its own is refused, and those next to it are not.
    """

    body_bytes_max: int = 8 << 20
    """Of one input, armored or not: checked before anything is decoded."""

    input_packets_max: int = 100_000
    """Of all certificates of one input: without it, packets of two octets each would
    take twenty times the memory of the input."""

    certificates_max: int | None = 100
    """Of one input."""

    certificate_bytes_max: int = 1 << 20
    """Of one certificate: the bodies of all packets that are kept."""

    packets_max: int = 20_000
    """Of one certificate: the packets that are kept."""

    packet_bytes_max: int = 8_192
    """Of the body of a key."""

    signature_bytes_max: int = 65_536
    """Of the body of a signature."""

    user_id_bytes_max: int = 2_048
    """Of the body of a user ID."""

    user_attribute_bytes_max: int = 65_536
    """Of the body of a user attribute."""


SUBMISSION = Limits()
"""For certificates that anybody may send."""

BULK = Limits(
    body_bytes_max=64 << 20,
    input_packets_max=1_000_000,
    certificates_max=None,
    certificate_bytes_max=64 << 20,
    packets_max=1_000_000,
    packet_bytes_max=65_536,
    user_attribute_bytes_max=16 << 20,
)
"""For dumps of other keyservers: poisoned certificates are read, to be cleaned later."""

SUBPACKETS_MAX = 512
"""Of one signature; one with more counts as malformed."""

SEARCH_BYTES_MAX = 2_048
"""Of the text searched for: as long as the longest user ID."""

FIELDS_MAX = 100
"""Of a query or form. gpg sends five, browsers a few more."""

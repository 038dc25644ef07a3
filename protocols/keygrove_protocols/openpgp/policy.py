"""What may be chosen about which parts of certificates are kept: presets, and bounds.

`rules` has the rules themselves.
"""

from typing import Literal, TypeAlias

import msgspec

from keygrove_protocols.openpgp.keys import Fingerprint

Preset: TypeAlias = Literal["verified", "minimal", "sks-compatible"]
ThirdParty: TypeAlias = Literal["all", "attested", "none"]


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a certificate is kept. They apply to what the rules before left over.

    Where others draw their lines: Hockeypuck takes packets of 8 KiB, signatures of 64 KiB and
    certificates of 1 MiB; GnuPG refuses user IDs above 2,048 octets; post-quantum signatures
    reach 30 kB.
    """

    key_octets: int = 8_192
    signature_octets: int = 65_536
    user_id_octets: int = 2_048
    user_attribute_octets: int = 65_536
    certificate_octets: int = 1 << 20
    """Of all bodies but those of the primary key's revocations, which nothing may keep out.
    The last of others' signatures may end beyond it."""
    packets: int = 20_000
    user_ids: int = 1_000
    """With user attributes."""
    subkeys: int = 1_000
    own_signatures: int = 2_000
    """At one place, beside revocations: the latest; so many attestations beside them."""
    third_party_signatures: int = 5_000
    """At one place: the oldest."""
    aside_packets: int = 200_000
    """Stored, with those that are not served, where these are set aside. The largest certificates
    known in the network, all of them poisoned, hold 150,000."""
    aside_octets: int = 64 << 20
    """Of their bodies: as much as is taken of one certificate on any way in."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Which preset, and what is set apart from it."""

    preset: Preset = "verified"
    third_party: ThirdParty = "all"
    user_attributes: bool = False
    weak_third_party_until: int | None = None
    """Others' SHA-1 signatures made later (UTC seconds) are not kept; None: all are."""
    blocked: frozenset[Fingerprint] = frozenset()
    """Certificates of which nothing is kept."""
    bounds: Bounds = Bounds()

    @property
    def keeps_unverified(self) -> bool:
        """Whether what is not served is stored, as SKS does, so that digests are SKS's."""
        return self.preset == "sks-compatible"


VERIFIED = Policy()
MINIMAL = Policy(preset="minimal", third_party="none")
SKS_COMPATIBLE = Policy(preset="sks-compatible")
PRESETS = {one.preset: one for one in (VERIFIED, MINIMAL, SKS_COMPATIBLE)}

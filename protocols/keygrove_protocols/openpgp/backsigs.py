"""Back-signatures: where a subkey says that it wants to be bound.

A binding takes it along as an embedded signature. It may stand in the unhashed area, which nobody
signed: there anybody may put another in its place, or take it away.

Source: RFC 9580, sections 5.2.1.9 (kind 0x19) and 5.2.3.34; GnuPG looks at the latest one,
Sequoia at all.
"""

from collections.abc import Iterator

import msgspec

from keygrove_protocols.openpgp.crypto.hashes import HASHES
from keygrove_protocols.openpgp.hashing import proves_nothing
from keygrove_protocols.openpgp.keys import parse_key
from keygrove_protocols.openpgp.packets import Packet
from keygrove_protocols.openpgp.signatures import (
    PRIMARY_KEY_BINDING,
    SUBKEY_BINDING,
    Signature,
    read_signature,
)


class Backsig(msgspec.Struct, frozen=True, gc=False):
    """What says to be a back-signature, and its body. `is_attached` where nobody signed it."""

    signature: Signature
    body: bytes
    is_attached: bool


def backsigs(binding: Signature, subkey: Packet) -> Iterator[Backsig]:
    """Those in the subkey's name that would prove something, if it made them."""
    if binding.kind != SUBKEY_BINDING or not binding.embedded:
        return
    key = parse_key(subkey.body)
    signed = len(binding.embedded) - binding.attached
    for at, body in enumerate(binding.embedded):
        back = read_signature(body)
        if (
            back is not None
            and back.kind == PRIMARY_KEY_BINDING
            and back.fits(key)
            and back.claims(key)
            and not back.has_unknown_critical
            and back.hash_algorithm in HASHES
            and not proves_nothing(back)
        ):
            yield Backsig(back, body, at >= signed)

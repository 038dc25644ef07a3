"""What signatures are made over, as digests.

    digest  = hash(salt, only in version 6 | data | trailer)
    data    = the primary key, framed; then, for a signature on a component, that one, framed
    key     = versions 2 to 4: 0x99, u16 length, body; 5 and 6: 0x9A/0x9B, u32 length, body
    user ID = 0xB4, u32 length, body; version 3 signatures: the body alone
    user attribute = 0xD1, u32 length, body; version 3 signatures cannot be made over it
    trailer = version 3: u8 kind, u32 created; later: the octets up to the end of the hashed
              area, u8 version, 0xFF, u32 (version 5: u64) their number

A key is framed as its own version wants it, whatever the version of the signature: so do
Sequoia, GnuPG and Go's library where RFC 9580 could be read otherwise.

Source: RFC 9580, sections 5.2.4 and 9.5.
"""

import hashlib
from functools import cached_property
from typing import Protocol, Self

from keygrove_protocols.openpgp.packets import Packet, Tag
from keygrove_protocols.openpgp.signatures import Signature

MD5, SHA1, RIPEMD160 = 1, 2, 3

_NAMES = {
    MD5: "md5",
    SHA1: "sha1",
    RIPEMD160: "ripemd160",
    8: "sha256",
    9: "sha384",
    10: "sha512",
    11: "sha224",
    12: "sha3_256",
    14: "sha3_512",
}
HASHES_MAX = len(_NAMES)
"""How many hash algorithms there are."""
_KEY_FRAMES = {5: b"\x9a", 6: b"\x9b"}
_FRAMES = {Tag.USER_ID: b"\xb4", Tag.USER_ATTRIBUTE: b"\xd1"}
_OLD = (2, 3)
_OF_DOCUMENTS = (4, 6)


class Hasher(Protocol):
    """A hash of `hashlib` under way."""

    def update(self, data: bytes, /) -> None:
        """Take in more."""
        ...

    def digest(self) -> bytes:
        """The hash of all so far."""
        ...

    def copy(self) -> Self:
        """Another that has taken in the same."""
        ...


def missing_hashes() -> tuple[str, ...]:
    """The hash algorithms that this build of Python lacks, of those that signatures use."""
    return tuple(name for name in _NAMES.values() if name not in hashlib.algorithms_available)


def proves_nothing(signature: Signature) -> bool:
    """MD5, which was still in use when version 3 was, and is taken by nobody in version 4."""
    return signature.hash_algorithm == MD5 and signature.version not in _OLD


class Scope:
    """What signatures at one place of a certificate are made over.

    What stands in front of each signature is hashed once for each algorithm. `component` is
    None for signatures on the primary key itself. Where nothing is signed nothing is copied.
    """

    def __init__(self, primary: Packet, component: Packet | None = None) -> None:
        self._primary = primary
        self.component = component
        self._begun: dict[int, Hasher] = {}

    @cached_property
    def _framed(self) -> bytes:
        framed = _frame_key(self._primary.body)
        return framed if self.component is None else framed + _frame(self.component)

    @cached_property
    def _old_framed(self) -> bytes | None:
        """What version 3 signatures are made over, where there is such a thing."""
        framed = _frame_key(self._primary.body)
        return framed if self.component is None else _old_frame(framed, self.component)

    def digest(self, signature: Signature, body: bytes) -> bytes | None:
        """The digest that a signature is made over; None where there is no such thing."""
        if signature.version in _OLD:
            return self._old_digest(signature.hash_algorithm, body)
        hasher = self._salted(signature) if signature.salt else self._begin(signature)
        if hasher is None:
            return None
        hasher.update(_trailer(signature, body))
        return hasher.digest()

    def _begin(self, signature: Signature) -> Hasher | None:
        begun = self._begun.get(signature.hash_algorithm)
        if begun is None:
            begun = _new(signature.hash_algorithm)
            if begun is None:
                return None
            begun.update(self._framed)
            self._begun[signature.hash_algorithm] = begun
        return begun.copy()

    def _salted(self, signature: Signature) -> Hasher | None:
        hasher = _new(signature.hash_algorithm)
        if hasher is not None:
            hasher.update(signature.salt + self._framed)
        return hasher

    def _old_digest(self, algorithm: int, body: bytes) -> bytes | None:
        hasher = _new(algorithm)
        if hasher is None or self._old_framed is None:
            return None
        hasher.update(self._old_framed + body[2:7])
        return hasher.digest()


def document_digest(signature: Signature, body: bytes, document: bytes) -> bytes | None:
    """The digest that a signature over a document is made over; None where there is no such thing.

    Of a text the line ends have to be CR LF already. Only versions 4 and 6.
    """
    hasher = _new(signature.hash_algorithm)
    if hasher is None or signature.version not in _OF_DOCUMENTS:
        return None
    hasher.update(signature.salt)
    hasher.update(document)
    hasher.update(_trailer(signature, body))
    return hasher.digest()


def attested_digest(algorithm: int, signature: Signature, body: bytes) -> bytes | None:
    """How an attestation made with this hash algorithm names a certification.

    The certification's body is hashed with its unhashed area emptied, behind 0x88 and a u32
    length (section 5.2.4; draft-dkg-openpgp-1pa3pc).
    """
    hasher = _new(algorithm)
    if hasher is None:
        return None
    emptied = body
    if signature.version not in _OLD:  # which have no areas
        width = 4 if signature.version == 6 else 2
        emptied = body[: signature.hashed_end] + bytes(width) + body[signature.digest_at :]
    hasher.update(b"\x88" + len(emptied).to_bytes(4) + emptied)
    return hasher.digest()


def _new(algorithm: int) -> Hasher | None:
    """A hash object; None for an algorithm that is unknown."""
    name = _NAMES.get(algorithm)
    return None if name is None else hashlib.new(name, usedforsecurity=False)


def _trailer(signature: Signature, body: bytes) -> bytes:
    """What follows on what is signed, from version 4 on."""
    end = signature.hashed_end
    octets = 8 if signature.version == 5 else 4
    return body[:end] + bytes((signature.version, 0xFF)) + end.to_bytes(octets)


def _old_frame(primary: bytes, component: Packet) -> bytes | None:
    """What version 3 signatures are made over, where there is such a thing."""
    match component.tag:
        case Tag.USER_ID:
            return primary + component.body
        case Tag.PUBLIC_SUBKEY:
            return primary + _frame_key(component.body)
        case _:
            return None


def _frame(component: Packet) -> bytes:
    if component.tag == Tag.PUBLIC_SUBKEY:
        return _frame_key(component.body)
    return _FRAMES[Tag(component.tag)] + len(component.body).to_bytes(4) + component.body


def _frame_key(body: bytes) -> bytes:
    frame = _KEY_FRAMES.get(body[0])
    if frame is None:
        return b"\x99" + len(body).to_bytes(2) + body
    return frame + len(body).to_bytes(4) + body

"""One packet for each signature: what to do with copies that differ where nobody signed.

The unhashed area, the two octets of the digest and leading zeros of numbers are not signed:
whoever passes a signature on can make any number of copies of it that all verify. Of each
signature one copy is kept, by an order in which the complete one comes first, so that any
order of arrival ends with the same one.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from keygrove_protocols.openpgp.backsigs import backsigs
from keygrove_protocols.openpgp.findings import Finding, Mark
from keygrove_protocols.openpgp.hashing import MD5, RIPEMD160, SHA1, Scope
from keygrove_protocols.openpgp.signatures import Signature

_TAIL_OCTETS = 16
"""Copies of a signature end alike; others practically never do."""
_NUMBERS = frozenset({1, 2, 3, 16, 17, 19, 20, 22})
"""Algorithms whose material is a row of numbers, each u16 bits and its octets."""
_WEAK = frozenset({MD5, SHA1, RIPEMD160})
_NEVER = 1 << 33
"""After all that 32 bits can say in seconds, and a span of as many."""

_Worth: TypeAlias = tuple[bool, int, int]
_WORST: _Worth = (True, 0, 0)
_Rank: TypeAlias = tuple[bool, bool, bool, bool, bool, _Worth, bool, int, bytes]


def fold_variants(findings: Sequence[Finding], scope: Scope) -> tuple[Finding, ...]:
    """Keep one copy of each signature at one place of a certificate, in the order given.

    First comes the copy that is known to be the primary key's, then one with a back-signature,
    which `verification` saw to be the subkey's, then one that names one issuer, then one with
    the right octets of the digest, then one whose numbers have the bits that they say, for
    Sequoia reads no others, then the one with the best back-signature, then one that hints at
    nothing but the issuer, then the shortest, then the smallest. Of somebody else's signature
    nobody can tell which copy names the right issuer, so there one is kept for each issuer named.
    """
    tails: defaultdict[bytes, list[Finding]] = defaultdict(list)
    for finding in findings:
        tails[finding.packet.body[-_TAIL_OCTETS:]].append(finding)
    if len(tails) == len(findings):
        return tuple(findings)
    kept: set[int] = set()
    for alike in tails.values():
        copies: defaultdict[bytes, list[Finding]] = defaultdict(list)
        for finding in alike:
            copies[signature_id(finding)].append(finding)
        for some in copies.values():
            kept.update(id(one) for one in _best(some, scope))
    return tuple(finding for finding in findings if id(finding) in kept)


def signature_id(finding: Finding) -> bytes:
    """What a signature is, whatever copy of it: 32 octets over what is signed, and the values.

    Of version 4: the octets up to the end of the hashed area, salt, and the material with
    its numbers as short as they can be.
    """
    signature, body = finding.signature, finding.packet.body
    if signature is None:
        return hashlib.sha256(body).digest()
    material = body[signature.material_at :]
    if signature.algorithm in _NUMBERS:
        material = _shortest(material)
    signed = body[: signature.hashed_end]
    if signature.version < 4:
        signed += body[signature.hashed_end : signature.digest_at]  # who, and how
    return hashlib.sha256(signed + signature.salt + material).digest()


def _shortest(material: bytes) -> bytes:
    """The numbers as short as they can be; material that is no row of numbers as it is."""
    numbers: list[bytes] = []
    at = 0
    while at < len(material):
        start = at + 2
        at = start + (int.from_bytes(material[at:start]) + 7 >> 3)
        if at > len(material):
            return material
        number = material[start:at].lstrip(b"\0")
        numbers.append(int.from_bytes(number).bit_length().to_bytes(2) + number)
    return b"".join(numbers)


def _best(copies: Sequence[Finding], scope: Scope) -> Iterable[Finding]:
    """The best of the copies; of those by somebody else the best for each issuer named."""
    by_issuer: dict[bytes | None, Finding] = {}
    for one in sorted(copies, key=lambda one: _rank(one, scope)):
        if one.mark is Mark.VALID:
            return (one,)
        said = one.signature
        by_issuer.setdefault((said.issuer_fingerprint or said.issuer) if said else None, one)
    return by_issuer.values()


def _rank(finding: Finding, scope: Scope) -> _Rank:
    """A sort key: the smallest is kept."""
    signature, body = finding.signature, finding.packet.body
    if signature is None:
        return (True, True, True, True, True, _WORST, True, len(body), body)
    backs = [] if scope.component is None else [*backsigs(signature, scope.component)]
    said = [(signature, body), *((one.signature, one.body) for one in backs if one.is_attached)]
    return (
        finding.mark is not Mark.VALID,
        not backs,
        not all(one.has_one_issuer for one, _ in said),
        not all(_is_marked_right(one, octets, scope) for one, octets in said),
        not all(_has_exact_numbers(one, octets) for one, octets in said),
        min((_worth(one.signature) for one in backs), default=_WORST),
        not signature.has_plain_hints,
        len(body),
        body,
    )


def _worth(back: Signature) -> _Worth:
    """Of a back-signature: a strong hash before a weak one, then the longest lived, the latest."""
    until = back.created + back.expires_s if back.expires_s else _NEVER
    return (back.hash_algorithm in _WEAK, -until, -back.created)


def _has_exact_numbers(signature: Signature, body: bytes) -> bool:
    material = body[signature.material_at :]
    return signature.algorithm not in _NUMBERS or material == _shortest(material)


def _is_marked_right(signature: Signature, body: bytes, scope: Scope) -> bool:
    digest = scope.digest(signature, body) or b""
    return digest[:2] == body[signature.digest_at : signature.digest_at + 2]

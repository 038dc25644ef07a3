"""Signature packets: what one says. Whether that holds is not decided here.

    version  body
    2, 3     u8 version, u8 5, u8 kind, u32 created, issuer's key ID (8), u8 key algorithm,
             u8 hash algorithm, 2 octets of the digest, material
    4, 5     u8 version, u8 kind, u8 key algorithm, u8 hash algorithm, u16 octets of the
             hashed area, that, u16 octets of the unhashed area, that, 2 octets of the
             digest, material
    6        the same with u32 twice, and u8 length and salt in front of the material

An area is a row of subpackets: length (1 octet below 192; 2 octets from 192 to 254, so
unlike a packet's; 255 and u32), which counts what follows, u8 type with bit 7 for
"critical", data. The last of one type wins. Only the hashed area is believed; the unhashed
one may hint at the issuer, for nothing but the key can confirm that.

What is signed is the octets up to the end of the hashed area; the material is what
`crypto` reads.

Source: RFC 9580, section 5.2.
"""

import msgspec

from keygrove_protocols.limits import EMBEDDED_MAX, SUBPACKETS_MAX
from keygrove_protocols.openpgp.keys import Fingerprint, Key, KeyId

CERTIFICATIONS = frozenset({0x10, 0x11, 0x12, 0x13})
ATTESTATION = 0x16
SUBKEY_BINDING = 0x18
PRIMARY_KEY_BINDING = 0x19
DIRECT_KEY = 0x1F
KEY_REVOCATION = 0x20
SUBKEY_REVOCATION = 0x28
CERTIFICATION_REVOCATION = 0x30

SUBPACKET_OCTETS_MIN = 2

SOFT_REASONS = frozenset({1, 3, 32})
"""Superseded, retired, no longer valid: what was signed before stays good (section 5.2.3.31)."""


class Signature(msgspec.Struct, frozen=True, gc=False):
    """What a signature says. Times are UTC seconds, spans seconds.

    `created` is 0 where it is not said. A span of 0 is "never"; `key_expires_s` is None
    where nothing is said about it. `has_unknown_critical` tells that it says something
    which one must understand and we do not: it is not to be relied on.

    `flags` is what the key may be used for, None where nothing is said about it; `attested`
    the digests that an attestation approves, one behind the other; `revokers` may revoke the
    key; `embedded` are the bodies of signatures in this one, of which the last `attached` stand
    in the unhashed area. Offsets count octets of the body: `hashed_end` ends what is signed,
    `digest_at` is where the first two octets of the digest stand, and `material_at` the
    material. `has_plain_hints` tells that the unhashed area has nothing but issuers and embedded
    signatures, each type at most once; `has_one_issuer` that nothing there is said twice, and
    that all that names the issuer, in either area, names the same key: readers differ in what
    they look at first.
    """

    version: int
    kind: int
    algorithm: int
    hash_algorithm: int
    created: int = 0
    expires_s: int = 0
    key_expires_s: int | None = None
    is_primary_user_id: bool = False
    is_exportable: bool = True
    reason_code: int | None = None
    issuer: KeyId | None = None
    issuer_fingerprint: Fingerprint | None = None
    has_unknown_critical: bool = False
    flags: int | None = None
    attested: bytes | None = None
    revokers: tuple[Fingerprint, ...] = ()
    embedded: tuple[bytes, ...] = ()
    attached: int = 0
    hashed_end: int = 0
    unhashed_octets: int = 0
    has_plain_hints: bool = True
    has_one_issuer: bool = True
    digest_at: int = 0
    salt: bytes = b""
    material_at: int = 0

    def claims(self, key: Key) -> bool:
        """Whether it says to be made by this key. A fingerprint counts more than a key ID."""
        if self.issuer_fingerprint is not None:
            return self.issuer_fingerprint == key.fingerprint
        return self.issuer == key.key_id

    def fits(self, key: Key) -> bool:
        """Whether keys of this key's version make signatures of its version."""
        return self.version in _MADE_BY.get(key.version, ())


_MADE_BY = {2: (2, 3, 4), 3: (2, 3, 4), 4: (2, 3, 4), 6: (6,)}
_CREATED, _EXPIRES, _EXPORTABLE, _KEY_EXPIRES = 2, 3, 4, 9
_REVOKER, _ISSUER, _NOTATION, _PRIMARY_USER_ID, _FLAGS, _REASON = 12, 16, 20, 25, 27, 29
_EMBEDDED, _ISSUER_FINGERPRINT, _ATTESTED = 32, 33, 37

_OCTETS = {_CREATED: 4, _EXPIRES: 4, _EXPORTABLE: 1, _KEY_EXPIRES: 4, _PRIMARY_USER_ID: 1}
_KNOWN = frozenset({*range(2, 8), 9, 11, 12, 16, *range(20, 36), 37, 38, 39})
_REPEATED = frozenset({_REVOKER, _EMBEDDED, _ATTESTED})  # all count, not only the last
_UNDERSTOOD = _KNOWN - {_NOTATION}  # a critical notation says something under a name we don't know

_HINTS = frozenset({_ISSUER, _EMBEDDED, _ISSUER_FINGERPRINT})

_FINGERPRINT_OCTETS = {4: 20, 5: 32, 6: 32}
_REVOKER_OCTETS = 22
_REVOKER_CLASS = 0x80
_SALT_OCTETS = {8: 16, 9: 24, 10: 32, 11: 16, 12: 16, 14: 32}  # hash algorithm: RFC 9580, 9.5


def kind_of(body: bytes) -> int | None:
    """The kind that a signature says to be of, without reading more of it."""
    at = 2 if body[:1] in (b"\x02", b"\x03") else 1
    return body[at] if len(body) > at else None


def read_signature(body: bytes) -> Signature | None:
    """Read the body of a signature packet; None if it is malformed."""
    match body[0] if body else None:
        case 2 | 3:
            return _read_v3(body)
        case 4 | 5:
            return _read_areas(body, 2)
        case 6:
            return _read_areas(body, 4)
        case _:
            return None


def areas_octets(body: bytes) -> int:
    """How many octets of a signature are subpackets, about, as its lengths say; none is read."""
    width = {4: 2, 5: 2, 6: 4}.get(body[0] if body else 0)
    if width is None:
        return 0
    hashed_end = 4 + width + int.from_bytes(body[4 : 4 + width])
    unhashed = int.from_bytes(body[hashed_end : hashed_end + width])
    return min(hashed_end + unhashed, len(body))


def _read_v3(body: bytes) -> Signature | None:
    if len(body) < 19 or body[1] != 5:
        return None
    return Signature(
        version=body[0],
        kind=body[2],
        created=int.from_bytes(body[3:7]),
        issuer=KeyId(body[7:15]),
        algorithm=body[15],
        hash_algorithm=body[16],
        hashed_end=7,
        digest_at=17,
        material_at=19,
    )


def _read_areas(body: bytes, width: int) -> Signature | None:
    """Read version 4 and later, where the lengths of the areas take `width` octets."""
    hashed_at = 4 + width
    hashed_end = hashed_at + int.from_bytes(body[4:hashed_at])
    unhashed_at = hashed_end + width
    unhashed_end = unhashed_at + int.from_bytes(body[hashed_end:unhashed_at])
    if unhashed_end + 2 > len(body) or (body[0] == 6 and not _has_salt(body, unhashed_end + 2)):
        return None
    hashed = _read_area(body[hashed_at:hashed_end])
    unhashed = _read_area(body[unhashed_at:unhashed_end])
    if hashed is None or unhashed is None or hashed.count + unhashed.count > SUBPACKETS_MAX:
        return None
    if (hashed.repeated or unhashed.repeated) and len(_embedded(hashed, unhashed)) > EMBEDDED_MAX:
        return None
    if any(len(data) != _OCTETS.get(kind, len(data)) for kind, data in hashed.last.items()):
        return None
    return _signature(body, hashed, unhashed, (hashed_end, unhashed_end))


def _has_salt(body: bytes, at: int) -> bool:
    """Whether the salt is all there and as long as the hash algorithm wants it."""
    octets = _SALT_OCTETS.get(body[3])
    return octets is not None and body[at : at + 1] == bytes((octets,)) and at + octets < len(body)


class _Area(msgspec.Struct, frozen=True, gc=False):
    """The data of the last subpacket of each type, and how many there are in all."""

    last: dict[int, bytes]
    count: int
    has_unknown_critical: bool
    repeated: tuple[tuple[int, bytes], ...] = ()
    """Type and data of those of which all count."""


def _read_area(area: bytes) -> _Area | None:
    """Read an area; None if a subpacket is empty, or beyond the end, or one too many."""
    last: dict[int, bytes] = {}
    repeated: list[tuple[int, bytes]] = []
    at, size, count, has_unknown_critical = 0, len(area), 0, False
    while at < size:
        if count == SUBPACKETS_MAX:
            return None
        length, at = area[at], at + 1
        if length == 255:
            length, at = int.from_bytes(area[at : at + 4]), at + 4
        elif length >= 192:
            length, at = (length - 192 << 8) + 192 + int.from_bytes(area[at : at + 1]), at + 1
        end = at + length
        if not length or end > size:
            return None
        kind = area[at]
        if kind > 0x7F:
            kind &= 0x7F
            has_unknown_critical |= kind not in _UNDERSTOOD
        last[kind] = area[at + 1 : end]
        if kind in _REPEATED:
            repeated.append((kind, last[kind]))
        count += 1
        at = end
    return _Area(last, count, has_unknown_critical, tuple(repeated))


def _signature(body: bytes, area: _Area, hints: _Area, ends: tuple[int, int]) -> Signature:
    said = area.last
    fingerprint = _fingerprint(said) or _fingerprint(hints.last)
    issuer = said.get(_ISSUER) or hints.last.get(_ISSUER)
    key_expires, reason, flags = said.get(_KEY_EXPIRES), said.get(_REASON), said.get(_FLAGS)
    key_id = _key_id(body[0], issuer, fingerprint)
    hashed_end, digest_at = ends
    salt_at = digest_at + 3
    salt_end = salt_at + body[digest_at + 2] if body[0] == 6 else digest_at + 2
    return Signature(
        version=body[0],
        kind=body[1],
        algorithm=body[2],
        hash_algorithm=body[3],
        created=int.from_bytes(said.get(_CREATED, b"")),
        expires_s=int.from_bytes(said.get(_EXPIRES, b"")),
        key_expires_s=None if key_expires is None else int.from_bytes(key_expires),
        is_primary_user_id=said.get(_PRIMARY_USER_ID, b"\0") != b"\0",
        is_exportable=said.get(_EXPORTABLE, b"\1") != b"\0",
        reason_code=reason[0] if reason else None,
        issuer=key_id,
        issuer_fingerprint=fingerprint,
        has_unknown_critical=area.has_unknown_critical,
        flags=None if flags is None else int.from_bytes(flags[:2], "little"),
        attested=_attested(area),
        revokers=_revokers(area) if area.repeated else (),
        embedded=_embedded(area, hints) if area.repeated or hints.repeated else (),
        attached=len(_embedded(hints)) if hints.repeated else 0,
        hashed_end=hashed_end,
        unhashed_octets=digest_at - hashed_end,
        has_plain_hints=hints.count == len(hints.last) and hints.last.keys() <= _HINTS,
        has_one_issuer=hints.count == len(hints.last) and _has_one_issuer(said, hints.last, key_id),
        digest_at=digest_at,
        salt=body[salt_at:salt_end],
        material_at=salt_end,
    )


def _attested(area: _Area) -> bytes | None:
    if _ATTESTED not in area.last:
        return None
    return b"".join(data for kind, data in area.repeated if kind == _ATTESTED)


def _revokers(area: _Area) -> tuple[Fingerprint, ...]:
    """Who may revoke the key: u8 class with bit 7 set, u8 algorithm, fingerprint (version 4)."""
    return tuple(
        Fingerprint(data[2:])
        for kind, data in area.repeated
        if kind == _REVOKER and len(data) == _REVOKER_OCTETS and data[0] & _REVOKER_CLASS
    )


def _embedded(*areas: _Area) -> tuple[bytes, ...]:
    return tuple(data for area in areas for kind, data in area.repeated if kind == _EMBEDDED)


def _fingerprint(area: dict[int, bytes]) -> Fingerprint | None:
    data = area.get(_ISSUER_FINGERPRINT)
    if not data or _FINGERPRINT_OCTETS.get(data[0]) != len(data) - 1:
        return None
    return Fingerprint(data[1:])


def _key_id(version: int, said: bytes | None, fingerprint: Fingerprint | None) -> KeyId | None:
    """The issuer's key ID, by its fingerprint or as said; version 6 knows the former only."""
    if version == 6:
        said = None
    if said is not None and len(said) != 8:
        return None
    if fingerprint is not None:
        return _id_of(fingerprint)
    return None if said is None else KeyId(said)


def _id_of(fingerprint: Fingerprint) -> KeyId:
    return KeyId(fingerprint[-8:] if len(fingerprint) == 20 else fingerprint[:8])


def _has_one_issuer(
    hashed: dict[int, bytes], unhashed: dict[int, bytes], issuer: KeyId | None
) -> bool:
    """Whether whatever names the issuer agrees with its key ID as it is understood."""
    name = hashed.get(_ISSUER_FINGERPRINT)
    return (
        hashed.get(_ISSUER, issuer) == issuer
        and unhashed.get(_ISSUER, issuer) == issuer
        and (name is None or unhashed.get(_ISSUER_FINGERPRINT, name) == name)
    )

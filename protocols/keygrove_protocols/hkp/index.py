"""The machine-readable index of HKP, both ways, and the same as JSON.

    info:1:<number of pub lines>
    pub:<fingerprint>:<algorithm>:<bits>:<created>:<expires>:<flags>
    uid:<user ID>:<created>:<expires>:<flags>

Lines end in LF. Fingerprints are upper-case hex, numbers decimal, times UTC seconds; what
is unknown or never is empty. Flags: r revoked, e expired, d disabled. Of a user ID, "%",
":", controls and all octets that are not ASCII are written as %XX: else a user ID with a
line end could forge lines.

Source: draft-shaw-openpgp-hkp-00, section 5.2; draft-gallagher-openpgp-hkp.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, overload

import msgspec

from keygrove_protocols.errors import BadIndexError
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.packets import Tag
from keygrove_protocols.openpgp.summary import SubkeySummary, Summary, UserIdSummary, is_expired

_ESCAPED = re.compile(rb"[^\x20-\x7e]|[%:]")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_NAME = re.compile(rb"(?:[0-9A-Fa-f]{2}){4,32}")
_NUMBER = re.compile(rb"[0-9]{1,20}")


class IndexUserId(msgspec.Struct, frozen=True):
    """A uid line."""

    text: bytes
    created: int | None
    expires: int | None
    flags: str


class IndexKey(msgspec.Struct, frozen=True):
    """A pub line with the uid lines below it.

    Old servers give a key ID where the fingerprint should be.
    """

    fingerprint: Fingerprint
    algorithm: int | None
    bits: int | None
    created: int | None
    expires: int | None
    flags: str
    user_ids: tuple[IndexUserId, ...]


def write_index(summaries: Sequence[Summary], now: int) -> bytes:
    """Write the index of these certificates, in their order."""
    lines = [b"info:1:%d" % len(summaries)]
    for summary in summaries:
        lines.append(_pub_line(summary, now))
        lines += [_uid_line(user_id, now) for user_id in summary.user_ids]
    return b"\n".join([*lines, b""])


def _pub_line(summary: Summary, now: int) -> bytes:
    fields = (
        "pub",
        summary.fingerprint.hex().upper(),
        str(summary.algorithm),
        str(summary.bits or ""),
        str(summary.created),
        _number(summary.expires),
        _flags(summary.expires, now, is_revoked=summary.is_revoked),
    )
    return ":".join(fields).encode()


def _uid_line(user_id: UserIdSummary, now: int) -> bytes:
    flags = _flags(user_id.expires, now, is_revoked=user_id.is_revoked)
    times = f"{_number(user_id.created)}:{_number(user_id.expires)}"
    return b"uid:%s:%s:%s" % (_escape(user_id.text), times.encode(), flags.encode())


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _flags(expires: int | None, now: int, *, is_revoked: bool) -> str:
    return ("r" if is_revoked else "") + ("e" if is_expired(expires, now) else "")


def _escape(text: bytes) -> bytes:
    return _ESCAPED.sub(lambda octet: b"%%%02X" % ord(octet[0]), text)


def parse_index(data: bytes) -> list[IndexKey]:
    """Read another server's index; lines and fields it does not know are passed over.

    Raises:
        BadIndexError: another version, a user ID before the first key, a name that is not
            hexadecimal, or a number that is none.
    """
    found: list[_Found] = []
    for line in data.splitlines():
        kind, *fields = line.strip().split(b":")
        if kind == b"info" and fields[:1] != [b"1"]:
            raise BadIndexError("an index of another version than 1")
        if kind == b"pub":
            found.append(_Found(fields, []))
        elif kind == b"uid":
            if not found:
                raise BadIndexError("an index has a user ID before the first key")
            found[-1].user_ids.append(_read_user_id(fields))
    return [_read_key(fields, user_ids) for fields, user_ids in found]


class _Found(NamedTuple):
    fields: list[bytes]
    user_ids: list[IndexUserId]


def _read_key(fields: list[bytes], user_ids: list[IndexUserId]) -> IndexKey:
    name, algorithm, bits, created, expires, flags, *_ = [*fields, *[b""] * 6]
    if not _NAME.fullmatch(name):
        raise BadIndexError("an index has a key whose name is not hexadecimal")
    return IndexKey(
        fingerprint=Fingerprint(bytes.fromhex(name.decode())),
        algorithm=_read_number(algorithm),
        bits=_read_number(bits),
        created=_read_number(created),
        expires=_read_number(expires),
        flags=flags.decode(errors="replace"),
        user_ids=tuple(user_ids),
    )


def _read_user_id(fields: list[bytes]) -> IndexUserId:
    text, created, expires, flags, *_ = [*fields, *[b""] * 4]
    return IndexUserId(
        text=_ESCAPE.sub(lambda escape: bytes.fromhex(escape[1].decode()), text),
        created=_read_number(created),
        expires=_read_number(expires),
        flags=flags.decode(errors="replace"),
    )


def _read_number(field: bytes) -> int | None:
    """SKS writes a hyphen where there is none."""
    if field in (b"", b"-"):
        return None
    if not _NUMBER.fullmatch(field):
        raise BadIndexError("an index has a number that is none")
    return int(field)


class _Algorithm(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    name: str
    code: int
    bit_length: int
    curve: str | None = None


class _Packet(msgspec.Struct, frozen=True):
    tag: int


class _Valid(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """`is_expired` and `is_revoked` are of the draft of HKP 2, and as of today."""

    expiration: datetime | None = None
    never_expires: bool = False
    is_expired: bool
    is_revoked: bool


class _UserId(_Valid, frozen=True, kw_only=True):
    keywords: str
    validsince: datetime | None = None


class _Key(_Valid, frozen=True, kw_only=True):
    fingerprint: str
    long_key_id: str = msgspec.field(name="longKeyID")
    creation: datetime
    version: int
    algorithm: _Algorithm
    packet: _Packet


class _Certificate(_Key, frozen=True, kw_only=True):
    sub_keys: tuple[_Key, ...] = ()
    user_ids: tuple[_UserId, ...] = msgspec.field(name="userIDs", default=())


def write_json(summaries: Iterable[Summary], now: int) -> bytes:
    """The index as Hockeypuck writes it for `options=json`, as far as a summary goes.

    Hockeypuck leaves it to the reader to find revocations among the signatures, which a summary
    does not have. So each key and user ID says itself whether it is expired or revoked.

    Source: Hockeypuck's `jsonhkp`; draft-gallagher-openpgp-hkp, section 7.1.1.
    """
    return msgspec.json.encode([_certificate(summary, now) for summary in summaries])


def _certificate(summary: Summary, now: int) -> _Certificate:
    return _Certificate(
        expiration=_date(summary.expires),
        never_expires=summary.expires is None,
        is_expired=is_expired(summary.expires, now),
        is_revoked=summary.is_revoked,
        fingerprint=summary.fingerprint.hex(),
        long_key_id=summary.key_id.hex(),
        creation=_date(summary.created),
        version=summary.version,
        algorithm=_algorithm(summary),
        packet=_Packet(Tag.PUBLIC_KEY),
        sub_keys=tuple(_subkey(subkey, now) for subkey in summary.subkeys),
        user_ids=tuple(_user_id(user_id, now) for user_id in summary.user_ids),
    )


def _subkey(subkey: SubkeySummary, now: int) -> _Key:
    return _Key(
        expiration=_date(subkey.expires),
        never_expires=subkey.expires is None,
        is_expired=is_expired(subkey.expires, now),
        is_revoked=subkey.is_revoked,
        fingerprint=subkey.fingerprint.hex(),
        long_key_id=subkey.key_id.hex(),
        creation=_date(subkey.created),
        version=subkey.version,
        algorithm=_algorithm(subkey),
        packet=_Packet(Tag.PUBLIC_SUBKEY),
    )


def _user_id(user_id: UserIdSummary, now: int) -> _UserId:
    return _UserId(
        expiration=_date(user_id.expires),
        never_expires=user_id.expires is None,
        is_expired=is_expired(user_id.expires, now),
        is_revoked=user_id.is_revoked,
        keywords=user_id.text.decode(errors="replace"),
        validsince=_date(user_id.created),
    )


_PREFIXES = {1: "rsa", 2: "rsa", 3: "rsa", 16: "elg", 17: "dsa", 20: "elg"}


def algorithm_name(key: Summary | SubkeySummary) -> str:
    """What GnuPG calls it: `rsa2048`, `ed25519`; by number where it has no name."""
    prefix = _PREFIXES.get(key.algorithm)
    return f"{prefix}{key.bits}" if prefix else key.curve or f"algorithm{key.algorithm}"


def _algorithm(key: Summary | SubkeySummary) -> _Algorithm:
    return _Algorithm(algorithm_name(key), key.algorithm, key.bits, key.curve)


@overload
def _date(seconds: int) -> datetime: ...
@overload
def _date(seconds: None) -> None: ...
def _date(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

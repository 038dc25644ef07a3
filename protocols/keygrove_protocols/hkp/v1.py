"""Requests of the first HKP version: /pks/lookup and /pks/add.

Clients send what no grammar of URLs allows, and it is data: gpg leaves `<>@"|#` and a plus
raw in a query, so nothing here cuts at "#", and a plus is first taken as it stands.

Source: draft-shaw-openpgp-hkp-00; draft-gallagher-openpgp-hkp; dirmngr 2.2, Hockeypuck.
"""

import re
from enum import Enum

import msgspec

from keygrove_protocols.errors import BadQueryError, UnsupportedQueryError, quoted
from keygrove_protocols.hkp.form import decode, parse_form, parse_query
from keygrove_protocols.limits import SEARCH_BYTES_MAX
from keygrove_protocols.openpgp.keys import Digest, Fingerprint, KeyId


class Op(Enum):
    """What is asked for."""

    GET = "get"
    INDEX = "index"
    VINDEX = "vindex"
    HGET = "hget"
    STATS = "stats"


class ByFingerprint(msgspec.Struct, frozen=True, tag=True):
    """The certificates with this primary key or subkey."""

    fingerprint: Fingerprint


class ByKeyId(msgspec.Struct, frozen=True, tag=True):
    """The certificates with a key of this ID; there may be several."""

    key_id: KeyId


class ByShortId(msgspec.Struct, frozen=True, tag=True):
    """The certificates with a key whose ID ends in these 4 octets: as good as a guess."""

    short_id: bytes


class ByDigest(msgspec.Struct, frozen=True, tag=True):
    """The certificate in exactly this state."""

    digest: Digest


class ByText(msgspec.Struct, frozen=True, tag=True):
    """The certificates with a user ID of this text; the first reading that finds some counts."""

    readings: tuple[str, ...]


class Unfindable(msgspec.Struct, frozen=True, tag=True):
    """Hexadecimal digits, but as many as no key has: there is nothing to be found."""


Search = ByFingerprint | ByKeyId | ByShortId | ByDigest | ByText | Unfindable


class Lookup(msgspec.Struct, frozen=True):
    """A request to /pks/lookup. Only `Op.STATS` comes without a search."""

    op: Op
    search: Search | None
    options: frozenset[str]
    exact: bool


class AddRequest(msgspec.Struct, frozen=True):
    """A submission: armored text as it was before the form, and what answer is wanted."""

    keytext: bytes
    options: frozenset[str]


class AddEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One certificate in the answer to a submission."""

    version: int
    fingerprint: str
    comment: str = ""


class AddResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a submission, as JSON has it; what is empty is left out.

    `deleted` is for administrators.
    """

    inserted: tuple[AddEntry, ...] = ()
    updated: tuple[AddEntry, ...] = ()
    deleted: tuple[AddEntry, ...] = ()
    ignored: tuple[AddEntry, ...] = ()
    invalid: tuple[AddEntry, ...] = ()


_OPS = {op.value: op for op in Op} | {"x-hget": Op.HGET}

_HEX = re.compile(r"[0-9A-Fa-f]+")
_GROUPED_HEX = re.compile(r"[0-9A-Fa-f]{4}(?: {0,2}[0-9A-Fa-f]{4})+")
_BARE_DIGITS = (16, 32, 40, 64)


def parse_lookup(query: bytes) -> Lookup:
    """Read the query of /pks/lookup as it stands in the request line, behind the "?".

    Unknown parameters and options are passed over; of a repeated one, the first counts.

    Raises:
        BadQueryError: no op or an unknown one, no search where one is needed, digits that
            are none, or octets that are no UTF-8.
        UnsupportedQueryError: an extension (`x-…`) that is not known here.
    """
    fields = parse_query(query)
    op = _op(_text(fields.get(b"op", b"")))
    return Lookup(
        op=op,
        search=None if op is Op.STATS else _search(op, fields.get(b"search", b"")),
        options=_options(fields.get(b"options", b"")),
        exact=fields.get(b"exact") == b"on",
    )


def _op(name: str) -> Op:
    if name in _OPS:
        return _OPS[name]
    if name.startswith("x-"):
        raise UnsupportedQueryError(f"op={quoted(name)} is not offered: use get or index")
    raise BadQueryError(f"op={quoted(name)} is no operation: use get or index")


def _search(op: Op, raw: bytes) -> Search:
    spaced = _text(raw).strip()
    if not spaced:
        raise BadQueryError("there is no search: say what to search for")
    if len(raw) > SEARCH_BYTES_MAX and len(decode(raw)) > SEARCH_BYTES_MAX:
        raise BadQueryError(f"the search has more than {SEARCH_BYTES_MAX} octets: shorten it")
    digits = spaced[2:] if spaced[:2] in ("0x", "0X") else None
    if op is Op.HGET:
        return _by_digest(spaced if digits is None else digits)
    if digits is not None:
        return _by_digits(digits.replace(" ", ""))
    if _GROUPED_HEX.fullmatch(spaced) and len(spaced.replace(" ", "")) in _BARE_DIGITS:
        return _by_digits(spaced.replace(" ", ""))
    if b"+" not in raw:
        return ByText((spaced,))
    literal = _text(raw.replace(b"+", b"%2B")).strip()
    return ByText((literal, spaced))


def _by_digest(digits: str) -> Search:
    if len(digits) != 32 or not _HEX.fullmatch(digits):
        raise BadQueryError(f"search={quoted(digits)} is no digest: give 32 hex digits")
    return ByDigest(Digest(bytes.fromhex(digits)))


def _by_digits(digits: str) -> Search:
    if not _HEX.fullmatch(digits):
        raise BadQueryError(f"search={quoted(digits)} is no number: give hex digits after 0x")
    match len(digits):
        case 8:
            return ByShortId(bytes.fromhex(digits))
        case 16:
            return ByKeyId(KeyId(bytes.fromhex(digits)))
        case 32 | 40 | 64:
            return ByFingerprint(Fingerprint(bytes.fromhex(digits)))
        case _:
            return Unfindable()


def parse_fingerprint(query: bytes) -> Fingerprint:
    """Read the query of /pks/proof: its `search` is a fingerprint, as /pks/lookup takes it.

    Raises:
        BadQueryError: it is none.
    """
    found = _search(Op.GET, parse_query(query).get(b"search", b""))
    if not isinstance(found, ByFingerprint):
        raise BadQueryError("the search is no fingerprint: give 32, 40 or 64 hex digits")
    return found.fingerprint


def parse_add(body: bytes, content_type: str | None) -> AddRequest:
    """Read the form posted to /pks/add.

    Raises:
        BadQueryError: the form cannot be read, or has no `keytext`.
    """
    fields = parse_form(body, content_type)
    keytext = fields.get(b"keytext", b"")
    if not keytext.strip():
        raise BadQueryError("there is no keytext: send a form with an armored certificate in it")
    return AddRequest(keytext, _options(fields.get(b"options", b"")))


def _options(raw: bytes) -> frozenset[str]:
    """The names in a comma list; whoever asked for something unknown does without it."""
    names = _text(raw).split(",")
    return frozenset(name.strip() for name in names if name.strip())


def _text(raw: bytes) -> str:
    try:
        return decode(raw.replace(b"+", b" ")).decode()
    except UnicodeDecodeError as error:
        raise BadQueryError("the query is not UTF-8: encode it so") from error

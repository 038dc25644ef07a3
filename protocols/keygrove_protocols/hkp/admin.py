"""What administrators ask of a server: the text that they sign, both ways, and Hockeypuck's form.

    keygrove-admin-1
    action: delete
    server: keys.example.org
    date: 2026-11-21T11:20:10Z
    nonce: 32 hex digits
    reason: one line, may be left out
    certificate: SHA-256 of the packets that take the place of others; with "replace" only
    user-id: SHA-256 of a user ID; with "redact-uid" and "unredact-uid" only, as often as need be
    fingerprint: 32, 40 or 64 hex digits; as often as need be, once with "replace" and user IDs

The first line stands first, the others in any order; line ends are LF or CR LF. Nothing else
may be in it: whoever signs has to mean all of it, and we have to understand all of it.

Source: openpgp.md §6.5 of the project; Hockeypuck, src/hockeypuck/server/server.go, for the
other form.
"""

import hashlib
import re
from datetime import UTC, datetime
from enum import Enum

import msgspec

from keygrove_protocols.errors import (
    BadQueryError,
    OtherCertificateError,
    OtherServerError,
    StaleRequestError,
    quoted,
)
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.redaction import PartHash

FIRST_LINE = "keygrove-admin-1"
TEXT_BYTES_MAX = 16 << 10
FINGERPRINTS_MAX = 100
USER_IDS_MAX = 100
REASON_CHARS_MAX = 500
NONCE_OCTETS = 16
AGE_S_MAX = 3_600
"""How far a request's date may be off: as long as somebody may have to find the key's card."""


class AdminAction(Enum):
    """What is asked for."""

    BLOCK = "block"
    DELETE = "delete"
    """The same as `BLOCK`: what is only deleted is back with the next submission."""
    UNBLOCK = "unblock"
    REPLACE = "replace"
    REDACT = "redact-uid"
    """Neither keep nor take these user IDs of the certificate."""
    UNREDACT = "unredact-uid"


OF_USER_IDS = frozenset({AdminAction.REDACT, AdminAction.UNREDACT})


class AdminRequest(msgspec.Struct, frozen=True):
    """What is asked for, of whom, and when (UTC seconds). The nonce makes it unique."""

    action: AdminAction
    server: str
    date: int
    nonce: bytes
    fingerprints: tuple[Fingerprint, ...]
    reason: str = ""
    certificate: bytes = b""
    """The SHA-256 of the packets that replace others."""
    user_ids: tuple[PartHash, ...] = ()


class HockeypuckRequest(msgspec.Struct, frozen=True):
    """What is asked for in Hockeypuck's form, and the armor that stands below its first line."""

    action: AdminAction
    keytext: bytes


_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)")
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}")
_DIGITS = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_REQUIRED = ("action", "server", "date", "nonce", "fingerprint")
_ONCE = ("action", "server", "date", "nonce", "reason", "certificate")
_LISTS = {"fingerprint": FINGERPRINTS_MAX, "user-id": USER_IDS_MAX}
_SHA256_OCTETS = 32


def write_request(request: AdminRequest) -> bytes:
    """The text to be signed, in the order above."""
    date = datetime.fromtimestamp(request.date, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = [
        FIRST_LINE,
        f"action: {request.action.value}",
        f"server: {request.server}",
        f"date: {date}",
        f"nonce: {request.nonce.hex()}",
        *([f"reason: {request.reason}"] if request.reason else []),
        *([f"certificate: {request.certificate.hex()}"] if request.certificate else []),
        *(f"user-id: {one.hex()}" for one in request.user_ids),
        *(f"fingerprint: {name.hex().upper()}" for name in request.fingerprints),
    ]
    return "\n".join([*lines, ""]).encode()


def parse_request(text: bytes) -> AdminRequest:
    """Read the text that was signed.

    Raises:
        BadQueryError: anything in it is not as above.
    """
    values = _values(text)
    for name in _REQUIRED:
        if not values.get(name, [""])[0]:
            raise BadQueryError(f"the request has no line {name!r}, or an empty one: write it")
    action = _action(values["action"][0])
    fingerprints = tuple(_fingerprint(value) for value in values["fingerprint"])
    if len(set(fingerprints)) < len(fingerprints):
        raise BadQueryError("the request names a fingerprint twice: name it once")
    if len(fingerprints) > 1 and (action is AdminAction.REPLACE or action in OF_USER_IDS):
        raise BadQueryError(f"{action.value} takes one fingerprint: make a request for each")
    return AdminRequest(
        action=action,
        server=values["server"][0],
        date=_date(values["date"][0]),
        nonce=_octets("nonce", values["nonce"][0], NONCE_OCTETS),
        fingerprints=fingerprints,
        reason=_reason(values.get("reason", [""])[0]),
        certificate=b"".join(_hashes(values, "certificate", is_due=action is AdminAction.REPLACE)),
        user_ids=tuple(map(PartHash, _hashes(values, "user-id", is_due=action in OF_USER_IDS))),
    )


def check_request(request: AdminRequest, server: str, now: int) -> None:
    """Hold a request against who and when we are.

    Raises:
        OtherServerError: it is not for us.
        StaleRequestError: its date is more than AGE_S_MAX off.
    """
    if request.server.lower() != server.lower():
        text = f"the request is for {quoted(request.server)}, this is {server!r}: make one for it"
        raise OtherServerError(text)
    if abs(now - request.date) > AGE_S_MAX:
        hours = abs(now - request.date) / 3_600
        which = "old" if request.date < now else "ahead"
        raise StaleRequestError(
            f"the request is {hours:.1f} h {which}, at most 1 h is taken: make a new one, "
            "and set the clock right if it is wrong"
        )


def check_certificate(request: AdminRequest, packets: bytes) -> None:
    """Whether these packets are the ones that a replacement is to be made with.

    Raises:
        OtherCertificateError: they are not.
    """
    if hashlib.sha256(packets).digest() != request.certificate:
        text = "the certificate is not the one of the request: send the file that it was made from"
        raise OtherCertificateError(text)


def parse_hockeypuck(keytext: bytes) -> HockeypuckRequest:
    """Read the signed field of Hockeypuck's form: a path in its first line, armor below.

    Raises:
        BadQueryError: the first line is something else.
    """
    first, _, rest = keytext.replace(b"\r", b"\n", 1).partition(b"\n")
    match first:
        case b"/pks/delete":
            return HockeypuckRequest(AdminAction.DELETE, rest)
        case b"/pks/replace":
            return HockeypuckRequest(AdminAction.REPLACE, rest)
        case _:
            text = "the first line of keytext is neither /pks/delete nor /pks/replace: add it"
            raise BadQueryError(text)


def _values(text: bytes) -> dict[str, list[str]]:
    """The values of each line by its name, checked for what may repeat."""
    values: dict[str, list[str]] = {}
    for line in _lines(text):
        name, separator, value = line.removesuffix("\r").partition(": ")
        if not separator or name not in (*_ONCE, *_LISTS):
            raise BadQueryError(f"{quoted(line)} is no line of a request: leave it out")
        known = values.setdefault(name, [])
        if known and name in _ONCE:
            raise BadQueryError(f"the request has two lines {name!r}: leave one out")
        known.append(value)
    for name, most in _LISTS.items():
        if len(values.get(name, ())) > most:
            raise BadQueryError(f"more than {most} lines {name!r}: split the request")
    return values


def _lines(text: bytes) -> list[str]:
    """What stands below the first line."""
    if len(text) > TEXT_BYTES_MAX:
        raise BadQueryError(f"the request has more than {TEXT_BYTES_MAX} octets: split it")
    try:
        first, *lines = text.decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise BadQueryError("the request is not UTF-8: encode it so") from error
    if first.removesuffix("\r") != FIRST_LINE:
        raise BadQueryError(f"the first line of the request is not {FIRST_LINE!r}: write that")
    return lines


def _hashes(values: dict[str, list[str]], name: str, *, is_due: bool) -> list[bytes]:
    """The SHA-256 in each line of this name, which the action needs, or does not take."""
    found = values.get(name, [])
    if is_due and not found:
        raise BadQueryError(f"the action needs a line {name!r}: write one")
    if found and not is_due:
        raise BadQueryError(f"a line {name!r} does not go with the action: leave it out")
    return [_octets(name, value, _SHA256_OCTETS) for value in found]


def _action(value: str) -> AdminAction:
    try:
        return AdminAction(value)
    except ValueError as error:
        known = ", ".join(one.value for one in AdminAction)
        raise BadQueryError(f"{quoted(value)} is no action: use one of {known}") from error


def _date(value: str) -> int:
    if _DATE.fullmatch(value):
        try:
            return int(datetime.fromisoformat(value).timestamp())
        except (ValueError, OverflowError):
            pass
    raise BadQueryError(f"{quoted(value)} is no date: write it as 2026-11-21T11:20:10Z")


def _fingerprint(value: str) -> Fingerprint:
    digits = value.replace(" ", "")
    if not _FINGERPRINT.fullmatch(digits):
        raise BadQueryError(f"{quoted(value)} is no fingerprint: give all of its hex digits")
    return Fingerprint(bytes.fromhex(digits))


def _octets(name: str, value: str, octets: int) -> bytes:
    if not _DIGITS.fullmatch(value) or len(value) != 2 * octets:
        raise BadQueryError(f"{name} is {quoted(value)}: give {2 * octets} hex digits")
    return bytes.fromhex(value)


def _reason(value: str) -> str:
    if len(value) > REASON_CHARS_MAX or not (value.isprintable()):
        text = f"the reason is no line of up to {REASON_CHARS_MAX} printable characters: shorten it"
        raise BadQueryError(text)
    return value

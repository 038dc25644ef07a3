"""`keygrove inspect`."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click
import msgspec

from keygrove.cli.console import counted, out
from keygrove.cli.options import FoundProblems, WrongUse, common, configure, errors_worded
from keygrove.cli.words import Place
from keygrove.ingest.able import ensure_able
from keygrove.ingest.policy import policy_of
from keygrove.ingest.reasons import left_out
from keygrove.ingest.unpacking import BadCompressionError, form_of, unpacked
from keygrove.system.clock import SystemClock
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.certificate import Certificate, group
from keygrove_protocols.openpgp.inspection import InspectedCertificate, Inspection, inspect
from keygrove_protocols.openpgp.packets import split
from keygrove_protocols.openpgp.policy import Policy
from keygrove_protocols.openpgp.summary import is_expired

OCTETS_MAX = BULK.body_bytes_max + 1
"""Enough to be too much."""
_ERRORS = {
    "NoValidSelfSig": "its key has signed for nothing of it",
    "TooLarge": "it is larger than what is kept of a certificate",
    "Blocked": "the settings say so",
}
_REVOKED = {
    "hard": "at all times, for its key may be in other hands",
    "soft:1": "it was superseded",
    "soft:3": "it is no longer used",
    "soft:32": "its user ID is no longer valid",
}


class InspectedFile(msgspec.Struct, frozen=True):
    """An inspection as one line of JSON: the file, and the fields of `Inspection`."""

    file: str
    outcome: str
    error: str | None
    certificates: tuple[InspectedCertificate, ...]
    bare_revocation: object
    text: str


@click.command("inspect", short_help="Show what would be kept of certificates.")
@common
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=Place(exists=True, dir_okay=False, allow_dash=True),
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each file.")
def inspect_files(
    *, config: Path | None, data: Path | None, debug: bool, files: tuple[Path, ...], as_json: bool
) -> None:
    """Say what the certificates in FILES are, what would be kept of them when loaded, and why.

    Needs no server and no store. FILES may be compressed, and `-` is standard input. The policy is
    that of the settings. A revocation that comes alone is held against the certificates of all
    FILES, and one by a designated revoker against the revoker's, if it is among them.
    """
    with errors_worded(debug=debug):
        ensure_able()
        policy = policy_of(configure(config, data).settings.policy)
        inputs = [(str(path), _read(path)) for path in files]
        beside = [one for _, octets in inputs for one in _certificates(octets)]
        is_good, now = True, SystemClock().now()
        for name, octets in inputs:
            found = _inspect(octets, policy, beside)
            is_good = is_good and _is_good(found)
            if as_json:
                click.echo(msgspec.json.encode(_line(name, found)))
            else:
                for line in _told(name, found, policy, now):
                    out().print(line)
    if not is_good:
        sys.exit(FoundProblems.exit_code)


def _read(path: Path) -> bytes | ProtocolError:
    """What is in a file, compressed or not, or as much of it as is enough to be too much."""
    try:
        if path == Path("-"):
            return _unpacked(sys.stdin.buffer)
        with path.open("rb") as file:
            return _unpacked(file)
    except BadCompressionError as error:
        return error
    except OSError as error:
        raise WrongUse(f"cannot read {path}: {error.strerror}") from error


def _unpacked(file: BinaryIO) -> bytes:
    octets = file.read(OCTETS_MAX)
    form = form_of(octets)
    if form is None:
        return octets
    pieces: list[bytes] = []
    size = 0
    for piece in unpacked([octets], form):
        pieces.append(piece)
        size += len(piece)
        if size >= OCTETS_MAX:
            break
    return b"".join(pieces)[:OCTETS_MAX]


def _inspect(
    octets: bytes | ProtocolError, policy: Policy, beside: Sequence[Certificate]
) -> Inspection:
    if isinstance(octets, ProtocolError):
        return Inspection("error", octets.code, text=str(octets))
    return inspect(octets, BULK, policy, beside)


def _certificates(octets: bytes | ProtocolError) -> list[Certificate]:
    if isinstance(octets, ProtocolError):
        return []
    try:
        found = group(split(dearmor(octets, BULK).data, BULK), BULK)
    except ProtocolError:
        return []  # the inspection says why
    return [one for one in found if isinstance(one, Certificate)]


def _is_good(found: Inspection) -> bool:
    if found.bare_revocation is not None:
        return found.bare_revocation.verifies is not False
    return found.error is None and all(one.error is None for one in found.certificates)


def _line(name: str, found: Inspection) -> InspectedFile:
    return InspectedFile(
        name, found.outcome, found.error, found.certificates, found.bare_revocation, found.text
    )


def _told(name: str, found: Inspection, policy: Policy, now: int) -> Iterator[str]:
    """The lines for a terminal."""
    yield f"{_shown(name)}:"
    if found.error is not None:
        yield f"  nothing of it would be taken: {found.text} ({found.error})"
    if found.bare_revocation is not None:
        bare = found.bare_revocation
        yield f"  a revocation by {bare.issuer.upper()}: {bare.effect}"
    for one in found.certificates:
        yield from _told_one(one, policy, now)


def _told_one(one: InspectedCertificate, policy: Policy, now: int) -> Iterator[str]:
    name = one.fingerprint.upper() or "that cannot be named"
    yield f"  certificate {name}, version {one.version or 'unknown'}"
    if one.revoked is not None:
        yield f"    revoked: {_REVOKED.get(one.revoked, one.revoked)}"
    for revoker, weight in one.revoked_by.items():
        by = f"its designated revoker {revoker.upper()}"
        yield f"    revoked by {by}: {_REVOKED.get(weight, weight)}"
    yield from _names(one, now)
    if one.error is not None:
        yield f"    nothing of it would be kept: {one.text or _ERRORS[one.error]} ({one.error})"
    else:
        own = counted(one.self_sigs_kept, "signature")
        others = counted(one.third_party_kept, "signature")
        yield f"    kept by policy {policy.preset}: {own} of its own, {others} of others"
    if one.attested_third_party is not None:
        yield f"    of those, {one.attested_third_party:,} approved by the owner"
    for reason in left_out(Counter(one.dropped), one.pruned):
        yield f"    {reason}"
    if one.sks_digest:
        yield f"    digest at SKS servers {one.sks_digest}"
    if one.filtered_digest not in (None, one.sks_digest):
        yield f"    digest of what is kept {one.filtered_digest}"


def _names(one: InspectedCertificate, now: int) -> Iterator[str]:
    """Its user IDs and subkeys, and how long all of it holds."""
    if one.expires is not None:
        yield f"    {_expiry(one.expires, now)}"
    for name in one.valid_uids:
        marks = _marks(one.uid_expires.get(name), now, is_revoked=name in one.revoked_uids)
        yield f"    user ID {_shown(name)}{marks}"
    for what in one.user_attributes:
        yield f"    user attribute: {_shown(what)}"
    for name in one.valid_subkeys:
        marks = _marks(one.subkey_expires.get(name), now, is_revoked=name in one.revoked_subkeys)
        yield f"    subkey {name.upper()}{marks}"


def _marks(expires: int | None, now: int, *, is_revoked: bool) -> str:
    marks = ["revoked"] if is_revoked else []
    if expires is not None:
        marks.append(_expiry(expires, now))
    return f" ({', '.join(marks)})" if marks else ""


def _expiry(expires: int, now: int) -> str:
    """In the past or in the future; to the day, as OpenPGP programs show it."""
    at = datetime.fromtimestamp(expires, UTC)
    return f"{'expired' if is_expired(expires, now) else 'expires'} {at:%Y-%m-%d}"


def _shown(text: str) -> str:
    """Text from outside as a terminal may get it."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
